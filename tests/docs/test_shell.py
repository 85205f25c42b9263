"""The commands of the pages name what there is: targets, commands with their options, services."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from app.cli import _commands
from tests.docs.blocks import WITH_BLOCKS
from tests.docs.commands import commands
from tests.docs.pages import ROOT, prose

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROFILES = {name for service in SERVICES.values() for name in service.get("profiles", ())}
ACCRUE = typer.main.get_command(_commands)
# Commands within a sentence, and what is none: how `ps` shows processes.
_INLINE = re.compile(r"`((?:accrue|make|docker compose) [^`]*)`")
TITLES = ("accrue api", "accrue job job_…")
_VARIABLE = re.compile(r"[A-Z_]+=\S*$")


def simple(text: str) -> Iterator[list[str]]:
    """The words of each simple command, without variables that are set before it."""
    for part in re.split(r"&&|;|\||\$\(", text.replace("\\\n", " ")):
        try:
            words = shlex.split(part.rstrip(") \n"), comments=True)
        except ValueError:  # a quote that was cut at one of its own signs
            continue
        while words and _VARIABLE.match(words[0]):
            del words[0]
        if words:
            yield words


def make(words: list[str]) -> None:
    given = [word for word in words if not re.match(r"-|[A-Z_]+=|accrue$", word)]
    assert set(given) <= TARGETS


def accrue(words: list[str]) -> None:
    """Assert that there is such a command, and that it has each option."""
    command: Any = ACCRUE
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        assert words[0] in command.commands
        command = command.commands[words.pop(0)]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known | {"--help"}


def compose(words: list[str]) -> None:
    """Assert that there are the files, profiles and services."""
    for before, word in pairwise(words):
        if before == "-f" and word.endswith(".yml"):
            assert (ROOT / word).exists()
        if before == "--profile":
            assert word in PROFILES
        if before == "--scale":
            assert word.partition("=")[0] in SERVICES
    plain = [word for word in words if not word.startswith("-")]
    if {"run", "exec"} & set(plain):
        assert set(plain) & SERVICES.keys()
    for verb in {"stop", "restart", "logs"} & set(plain):
        assert set(plain[plain.index(verb) + 1 :]) <= SERVICES.keys()


def check(text: str) -> None:
    """Assert that what the commands of a line name is there."""
    for program, *words in simple(text):
        if program == "docker" and words[0] == "compose":
            compose(words[1:])
        elif program == "docker" and words[0] == "exec":
            accrue(words[words.index("accrue", 2) + 1 :])
        elif program == "make":
            make(words)
        elif program == "accrue":
            accrue(words)


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.name)
def test_what_is_named_is_there(page: Path) -> None:
    blocks = [command.text for command in commands(str(page.relative_to(ROOT)))]
    for text in blocks + [each for each in _INLINE.findall(prose(page)) if each not in TITLES]:
        try:
            check(text)
        except AssertionError as error:
            raise AssertionError(text) from error
