"""The commands of docs/deployment.md, which the tests type with a project of their own."""

import re
import shlex
from collections.abc import Iterator

from tests.docs.commands import commands

PAGE = "docs/deployment.md"
COMPOSE = ["docker", "compose"]


def composed() -> Iterator[list[str]]:
    """Yield the words of each command of Compose after `docker compose`.

    What a shell does with its input or output is left out.
    """
    for command in commands(PAGE):
        for part in command.text.split("&&"):
            words = shlex.split(re.sub(r" [<>] \S+$", "", part), comments=True)
            if words[:2] == COMPOSE:
                yield words[2:]


def shown(*words: str) -> list[str]:
    """Return the one command of Compose on the page that has all of these words."""
    found = {tuple(command) for command in composed() if set(words) <= set(command)}
    assert len(found) == 1, f"{PAGE} has {len(found)} commands with {words}"
    return list(found.pop())
