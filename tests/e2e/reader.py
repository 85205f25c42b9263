"""A shell in which the commands of a page are typed, and what they answer is compared."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.docs.commands import Command, commands, keys
from tests.e2e.harness import wait_for

# Beginnings of commands that are not typed here, and why.
NOT_TYPED = {
    "git ": "The checkout is here,",
    "cd accrue": "and the shell is where its commands are found.",
    "make ": "Its targets are looked up in tests/docs/test_shell.py.",
    "UV_INDEX=": "It installs from an index of the reader's own.",
    ". .venv/bin/activate": "The shell has the path already.",
    "accrue up": "It runs for good: each test has a service,",
    "ACCRUE_KEYS=required accrue up": "which asks for keys where the page does,",
    "ACCRUE_TRAIN_THREADS=1 OMP_NUM_THREADS=1 accrue up": "and has one thread.",
    "docker ": "It needs Docker: tests/deploy types it (make test-deploy; test_page.py),",
    "cp .env.example": "with settings of its own,",
    "mkdir backup && sudo chown": "and a folder that belongs to the containers.",
    "npx ": "Generators make clients in tests/clients/test_generated.py.",
    "openapi-python-client ": "It does so too.",
}
_ID = re.compile(r"\b(job|upl|key)_[0-9a-z]{16,}")
_END = "end of the command"


class Reader:
    """A shell in a folder, in which a reader follows a page with a service of their own."""

    def __init__(self, folder: Path, http: httpx.Client | None, **environment: str) -> None:
        self.folder, self.http = folder, http
        url = "http://127.0.0.1:9" if http is None else str(http.base_url).rstrip("/")
        self.seen: dict[str, str] = {}
        self.replaced = {
            "http://127.0.0.1:8000": url,
            "https://accrue.example.org": url,
        }
        tools = folder / ".tools"
        tools.mkdir()
        # What fails is to be seen: the status, and the problem that is answered.
        shim = (
            '#!/bin/sh\ncase " $* " in *" -f "*) ;; *) set -- --fail-with-body "$@" ;; esac\n'
            f'exec {shutil.which("curl")} -sS "$@"\n'
        )
        (tools / "curl").write_text(shim)
        (tools / "curl").chmod(0o755)
        path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "ACCRUE_URL": url, "COLUMNS": "160", "OMP_NUM_THREADS": "1"}
        own |= {"U": url, "J": "Content-Type: application/json"}
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-o", "pipefail"],
            cwd=folder,
            env=os.environ | own | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        assert self.shell.stdin is not None
        self.shell.stdin.close()
        self.shell.wait(20)

    def follow(self, page: str, prepare: Callable[[str], str] = lambda text: text) -> None:
        """Type the commands of a page, each once the jobs of the one before have ended."""
        for command in commands(page):
            if command.text.startswith(tuple(NOT_TYPED)):
                continue
            text = _ID.sub(lambda found: self.seen.get(found[1], found[0]), command.text)
            said = self.type(prepare(text), f"{page}:{command.line}")
            self._compare(command, said, page)
            self._wait()

    def type(self, text: str, where: str) -> str:
        """Run a command; return its status and what it says."""
        for shown, real in self.replaced.items():
            text = text.replace(shown, real)
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{{ {text}\n}} </dev/null\nended=$?; echo; echo {_END} $ended\n")
        self.shell.stdin.flush()
        lines: list[str] = []
        for line in self.shell.stdout:
            if line.startswith(_END):
                break
            lines.append(line)
        said = "".join(lines)
        ended = int(line.removeprefix(_END))
        assert ended == 0 or refusal(said) is not None, f"{where}: {text}\n{said}"
        for found in _ID.finditer(said):
            self.seen[found[1]] = found[0]
        return said

    def _compare(self, command: Command, said: str, page: str) -> None:
        where = f"{page}:{command.line}: {command.text}\n{said}"
        assert refusal(command.answer) == refusal(said), where
        if "{" in command.answer and '"data":[]' not in said:
            assert keys(command.answer) <= keys(said), where
        elif command.answer and "…" not in command.answer.splitlines()[0]:
            first = command.answer.splitlines()[0]
            assert plain(first) in plain(said), where

    def _wait(self) -> None:
        if (http := self.http) is not None:
            unfinished = {"state": "queued,running,cancelling"}
            wait_for(lambda: not http.get("/v1/jobs", params=unfinished).json()["data"])


def refusal(said: str) -> str | None:
    """The code of the problem that was answered, or what a command says of it."""
    found = re.search(r'"code": ?"([a-z-]+)"|^error: ([^:]+):', said, re.MULTILINE)
    return found and (found[1] or found[2])


def plain(text: str) -> str:
    """The words of a text: numbers, ids and the width of columns differ."""
    return " ".join(re.sub(r"\w*\d[\w.,:]*|[━─]+", "#", text).split())
