"""Each command of docs/deployment.md is typed by a test of the deployment. Needs no Docker."""

import ast
import re

from tests.deploy.docker import ROOT
from tests.deploy.page import composed, shown

# Commands that are typed in other words, and where.
OTHERWISE = {
    "build": "test_5_backup.py builds an image of another name.",
    "up --build -d": "Stack.up starts an image that is there.",
    "up -d": "Stack.up.",
    "up -d --scale worker=3": "test_3_scaling.py has a proxy and two API containers beside.",
    "-f docker-compose.yml -f docker-compose.gpu.yml up --build -d": "test_1_start.py reads both "
    "files, as it needs no GPU.",
}


def test_each_command_is_typed() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "tests/deploy").glob("*.py"))
    calls = re.findall(r"\bshown\((\"[^)]*\")\)", sources)
    typed = [shown(*ast.literal_eval(f"[{call}]")) for call in calls]
    without = [" ".join(command) for command in composed() if command not in typed]
    assert set(without) == OTHERWISE.keys()


def test_the_folder_of_a_backup_belongs_to_the_user_of_the_image() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    (user,) = set(re.findall(r"chown (\d+:\d+) backup", page))
    assert f"USER {user}" in (ROOT / "Dockerfile").read_text()
