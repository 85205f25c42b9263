"""The short form of the chaos test: a dozen jobs. `make chaos` is the long form."""

import time

import pytest

from tests.chaos.run import Backend, ChaosPlan, run

# One round: everything that can go wrong does so once.
PLAN = ChaosPlan(jobs=12, seed=7, pause=0.8, rounds=1, classifiers=4, apis=1)


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a machine that does much else
# With files, tests/worker kills the same processes one by one.
@pytest.mark.parametrize("backend", ["files", "servers"])
def test_every_job_ends_and_takes_effect_once(backend: Backend) -> None:
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:.0f} s: {what}")

    result = run(backend, PLAN, say)
    assert not result.violations, "\n".join([f"seed {result.seed}:", *result.violations])
    # The run was not quiet: processes were killed, and jobs succeeded all the same.
    assert result.harm["workers killed"] + result.harm["training processes killed"] > 0
    assert result.counts["jobs succeeded"] > 0
