"""Where things are in a checkout, and links to it under the name nostrclient."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder that is the extension, whatever it is called."""

DATA = CHECKOUT / ".data"
"""What `make run` keeps. Ignored by git."""

EXTENSION_ID = "nostrclient"


def link(path: Path, target: Path) -> None:
    """Make `path` a link to the folder `target`, whatever link was there before."""
    target = target.resolve()
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target, target_is_directory=True)


def link_package() -> None:
    """Give the checkout the name under which the tools and tests import it.

    The name of a checkout's folder is up to whoever cloned it, but Python takes a
    folder's name as the package's name.
    """
    link(CHECKOUT / ".build" / "ext" / EXTENSION_ID, CHECKOUT)
