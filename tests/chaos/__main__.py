"""``python -m tests.chaos``: the long form, as `make chaos` runs it."""

import argparse
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.run import TITLES, ChaosPlan, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100, help="jobs for each backend")
    parser.add_argument("--seed", type=int, default=None, help="chooses what goes wrong, and when")
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between two harms")
    parser.add_argument("--backend", choices=TITLES, action="append", help="all where not given")
    parser.add_argument("--report", type=Path, default=Path("chaos-report.md"))
    given = parser.parse_args()
    # Asked to end, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = int(time.time()) if given.seed is None else given.seed
    results = []
    for backend in given.backend or TITLES:

        def say(what: str, title: str = TITLES[backend]) -> None:
            print(f"{time.strftime('%H:%M:%S')} {title}: {what}", flush=True)

        say(f"{given.jobs} jobs, seed {seed}")
        plan = ChaosPlan(jobs=given.jobs, seed=seed, pause=given.pause)
        try:
            results.append(run(backend, plan, say))
        except pytest.skip.Exception as missing:
            say(f"left out: {missing}")
            continue
        given.report.write_text(report.markdown(results))
    if not results:
        return 1
    print(f"\n{given.report.read_text()}")
    return int(any(result.violations for result in results))


if __name__ == "__main__":
    sys.exit(main())
