"""``python -m worker``: run one worker with the settings of the environment."""

from worker.main import main

if __name__ == "__main__":
    raise SystemExit(main())
