"""Write the list of problems that the service may answer with.

python .ci/problems.py docs/problems.md
"""

import sys
from pathlib import Path

import app.main  # noqa: F401 - loads every kind
from app.api.problem_catalogue import catalogue

HEAD = """# Problems

Written by `make problems`; do not edit. Every error is a problem document (RFC 9457): see
[the API](api.md#what-do-all-routes-have-in-common). Its `type` leads to a page with the same text,
which the service shows at `/problems/{code}`.
"""


def text() -> str:
    """Return the page."""
    kinds = [
        f"## {kind.code}\n{kind.status}: {kind.title}\n\n{kind.meaning}\n\n"
        f"**What to do**: {kind.remedy}\n"
        for kind in catalogue().values()
    ]
    return "\n".join([HEAD, *kinds])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
