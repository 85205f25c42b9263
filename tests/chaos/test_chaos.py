"""The short form of the chaos test: a dozen jobs on each backend. `make chaos` is the long one."""

import time

import pytest

from tests.chaos.run import Backend, Plan, run

# One round: everything that can go wrong does so once.
PLAN = Plan(jobs=12, seed=7, pause=0.8, rounds=1, classifiers=4, apis=1)


@pytest.mark.timeout(600)  # on a machine that does much else
@pytest.mark.parametrize("backend", ["files", "servers"])
def test_every_job_ends_and_takes_effect_once(backend: Backend) -> None:
    started = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - started:.0f} s: {what}")

    result = run(backend, PLAN, tell)
    assert not result.violations, "\n".join([f"seed {result.seed}:", *result.violations])
    # Not a quiet run: somebody was killed, and jobs were done all the same.
    assert result.harm["workers killed"] + result.harm["training processes killed"] > 0
    assert result.counts["jobs succeeded"] > 0
