"""The digits that a project has."""

from tests.e2e.conftest import digits  # noqa: F401 - a fixture
