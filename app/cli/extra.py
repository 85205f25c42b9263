"""The packages of the extra `demo`, which the service itself does not need."""

from importlib.util import find_spec
from pathlib import Path

from app.client.errors import CommandError

# Of pictures, by the suffix of their file.
FORMATS = (".png", ".svg", ".pdf")
_MODULES = {"matplotlib": "matplotlib", "scikit-learn": "sklearn"}


def present(package: str) -> bool:
    """Say whether a package of the extra is installed."""
    return find_spec(_MODULES[package]) is not None


def check_picture(picture: Path) -> None:
    """Raise CommandError unless a picture can be drawn into this file."""
    require("The picture", "matplotlib")
    if picture.suffix not in FORMATS or not picture.parent.is_dir():
        raise CommandError(
            f"{picture} cannot be the picture: name a file in a folder that exists, ending in "
            f"{', '.join(FORMATS)}."
        )


def require(command: str, *packages: str) -> None:
    """Raise CommandError unless the packages that a command needs are installed."""
    missing = [package for package in packages if not present(package)]
    if missing:
        raise CommandError(
            f"{command} needs {' and '.join(missing)}. Run `make setup` in a checkout of Accrue, "
            "or `pip install 'accrue[demo]'`."
        )
