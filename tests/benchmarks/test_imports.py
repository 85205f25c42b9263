"""Every benchmark starts: they run by hand, so nothing else notices what moved away from them."""

import importlib
import pkgutil

import pytest

import benchmarks

# These run in environments of their own.
ELSEWHERE = "benchmarks.peers"


@pytest.mark.parametrize(
    "name",
    [
        found.name
        for found in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")
        if not found.name.startswith(ELSEWHERE)
    ],
)
def test_a_benchmark_is_imported(name: str) -> None:
    importlib.import_module(name)
