"""The folders of a checkout, and links to it under the name nostrclient."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder of the extension, whatever its name."""

DATA = CHECKOUT / ".data"
"""The data of `make run`. Ignored by git."""

EXTENSION_ID = "nostrclient"


def link(path: Path, target: Path) -> None:
    """Make `path` a link to the folder `target`; replace any earlier link."""
    target = target.resolve()
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target, target_is_directory=True)


def link_package() -> None:
    """Link the checkout under the name by which tools and tests import it.

    Python uses a folder's name as the package's name, and a clone may have any name.
    """
    link(CHECKOUT / ".build" / "ext" / EXTENSION_ID, CHECKOUT)
