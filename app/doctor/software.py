"""Python, the packages that this software wants, and whether PyTorch can be loaded."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

from app.doctor.findings import CheckContext, Finding, Say

_REINSTALL = "Install Accrue again, with the versions of its lock file: `make setup`, or the image."


def check(_context: CheckContext) -> Iterator[Finding]:
    """Compare what is installed with what is wanted."""
    say = Say("software")
    accrue = distribution("accrue")
    yield say.ok(f"Accrue {accrue.version} on Python {platform.python_version()}")
    wrong = [found for text in accrue.requires or [] if (found := _unmet(Requirement(text)))]
    if wrong:
        yield say.problem(f"Packages that do not fit: {', '.join(wrong)}", _REINSTALL)
    try:
        import torch  # noqa: PLC0415 - it may be what is broken
        import torchvision  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:
        yield say.problem(f"PyTorch cannot be loaded: {error}", _REINSTALL)
    else:
        yield say.ok(f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}")


def _unmet(wanted: Requirement) -> str | None:
    """Return what is wrong with a requirement, None where it is met or not asked for here."""
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return None
    try:
        installed = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing"
    if wanted.specifier.contains(installed, prereleases=True):
        return None
    return f"{wanted.name} is {installed}, wanted is {wanted.specifier}"
