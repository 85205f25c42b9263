"""What is chosen for a classifier where the request that makes it names nothing.

By name alone it learns in seconds and forgets nothing: `analytic` on a pretrained network that is
installed with the service.
"""

from contextlib import suppress

from app.services.classifiers.spec import ClassifierSpec, NewClassifier
from models import methods, networks
from models.errors import InvalidSpecError
from models.methods import Setup

METHOD = "analytic"
# For requests that name what only a method that trains and keeps exemplars has a use for.
TRAINED_METHOD = "icarl"

# The sizes that are chosen for small images and for others.
SMALL, LARGE = 96, 160


def completed(request: NewClassifier) -> ClassifierSpec:
    """Return the spec that a request asks for; `image_size` is null where images will decide.

    Whether its parts exist and fit together is checked elsewhere.
    """
    method = request.method or _method(request)
    setup = Setup()
    with suppress(InvalidSpecError):  # an unknown method is refused with the rest
        setup = methods.get(method).setup
    backbone = request.backbone or setup.backbone
    weights = request.weights
    if weights is None and networks.packaged(backbone):
        weights = setup.weights
    chosen = {
        "method": method,
        "backbone": backbone,
        "weights": weights,
        "image_size": request.image_size or setup.image_size,
    }
    return ClassifierSpec(**{**dict(request), **chosen})


def image_size(*, small: bool) -> int:
    """Return the size for a classifier whose first images are small, or not."""
    return SMALL if small else LARGE


def possible_sizes(spec: ClassifierSpec) -> tuple[int, ...]:
    """Return the image size, or the sizes of which the first images will choose one."""
    return (SMALL, LARGE) if spec.image_size is None else (spec.image_size,)


def _method(request: NewClassifier) -> str:
    for_training = (
        request.options or "memory" in request.model_fields_set or request.regularizer is not None
    )
    pretrained = (
        request.backbone is None
        or request.weights is not None
        or networks.packaged(request.backbone)
    )
    return METHOD if pretrained and not for_training else TRAINED_METHOD
