"""Where things are in a checkout, and the link that gives it the name nostrclient."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder that is the extension, whatever it is called."""

DATA = CHECKOUT / ".data"
"""What `make run` keeps. Ignored by git."""

EXTENSION_ID = "nostrclient"


def link_extension(parent: Path, extension: Path = CHECKOUT) -> None:
    """Make `parent/nostrclient` a link to the extension.

    The name of a checkout's folder is up to whoever cloned it, but LNbits takes the
    name as the extension's id, and Python as the package's name.
    """
    parent.mkdir(parents=True, exist_ok=True)
    link = parent / EXTENSION_ID
    target = extension.resolve()
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target, target_is_directory=True)
