"""Which kinds of database a test runs on."""

import pytest

# For tests that are hardly about the database: on both kinds all the same, on the second one
# where there is time.
ONE_KIND_AT_FIRST = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
