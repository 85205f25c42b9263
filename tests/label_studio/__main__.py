"""Install Label Studio for the tests of this folder: ``python -m tests.label_studio``."""

from tests import peers
from tests.label_studio.server import REQUIREMENT

peers.install("label-studio", "label-studio", REQUIREMENT)
