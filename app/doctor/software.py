"""Checks the versions of Python and the packages, and whether PyTorch can be loaded."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

from app.doctor.findings import CheckContext, Finding, Say

_REINSTALL = "Install the locked versions again: `make setup`, or take the image."


def check(_context: CheckContext) -> Iterator[Finding]:
    """Compare the installed packages with the requirements."""
    say = Say("software")
    accrue = distribution("accrue")
    yield say.ok(f"Accrue {accrue.version} on Python {platform.python_version()}")
    wrong = [found for text in accrue.requires or [] if (found := _unmet(Requirement(text)))]
    if wrong:
        yield say.problem(f"Packages that do not fit: {', '.join(wrong)}", _REINSTALL)
    try:
        import torch  # noqa: PLC0415 - it may be broken
        import torchvision  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:
        yield say.problem(f"PyTorch cannot be loaded: {error}", _REINSTALL)
    else:
        yield say.ok(f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}")


def _unmet(wanted: Requirement) -> str | None:
    """Return what is wrong with a requirement; None if it is met or does not apply here."""
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return None
    try:
        installed = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing"
    if wanted.specifier.contains(installed, prereleases=True):
        return None
    return f"{wanted.name} is {installed}, needed is {wanted.specifier}"
