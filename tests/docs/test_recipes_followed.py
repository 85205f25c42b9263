"""The recipes of CONTRIBUTING.md are followed in a copy of the code, and do what they say."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import indent

import pytest

from models import methods, networks
from tests.docs.blocks import snippets
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow

PAGE = ROOT / "CONTRIBUTING.md"
FOLDERS = ("app", "clients", "migrations", "models", "tests", "worker")
FILES = ("Makefile", "pyproject.toml", "uv.lock")


class Copy:
    """A copy of the code that is changed as the recipes say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        for name in FOLDERS:
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in FILES:
            shutil.copy2(ROOT / name, folder / name)

    def write(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)

    def append(self, file: str, text: str) -> None:
        self.write(file, f"{(self.folder / file).read_text()}\n\n{text}")

    def insert(self, file: str, text: str, *, after: str = "", before: str = "") -> None:
        """Insert lines beside the only place in a file with a text, with the indentation there."""
        place = after or before
        whole = (self.folder / file).read_text()
        assert whole.count(place) == 1, f"{file}: {place!r}"
        line = next(line for line in place.splitlines() if line.strip())
        lines = indent(text, " " * (len(line) - len(line.lstrip())))
        self.write(file, whole.replace(place, place + lines if after else lines + place))

    def run(self, *command: str) -> None:
        """Run a command with the copy instead of the code that is installed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    def make(self, program: str, *arguments: str) -> None:
        """Run make with the environment of the code that is installed, which stays as it is."""
        assert program == "make"
        venv = Path(sys.executable).parents[1]
        (self.folder / ".venv").symlink_to(venv)
        stamps = [part for each in venv.glob(".synced-*") for part in ("-o", f".venv/{each.name}")]
        self.run(program, *stamps, *arguments)

    def python(self, code: str) -> None:
        self.run(sys.executable, "-c", code)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy in which every recipe has been followed."""
    copy = Copy(tmp_path_factory.mktemp("recipes"))
    # All of them: a new one needs a line here.
    python = snippets("CONTRIBUTING.md", "python")
    count, use_case, route, probe, error, method, network, backbone = python[:8]
    column, metric, metric_field, gauge, value, setting = python[8:]
    (scope,) = snippets("CONTRIBUTING.md", "text")
    copy.append("app/db/repositories/classifiers.py", count)
    copy.write("app/services/classifiers/summary.py", f"{use_case}\n\n{error}")
    copy.write("app/api/summary.py", route)
    copy.insert("app/main.py", "summary,\n", after="    similar,\n    tickets,\n")
    copy.insert("app/main.py", "summary,\n", after="        classifiers,\n        versions,\n")
    first = '    "GET /v1/classifiers": Probe("empty"),\n'
    copy.insert("tests/app/api/test_workspaces.py", probe, before=first)
    copy.insert("tests/app/api/test_access.py", scope, before='    "GET /v1/key",\n')
    copy.write("models/methods/slow_backbone.py", method)
    copy.write("models/networks/tiny.py", backbone)
    beside = '    "resnet32": _Registered("accrue", lambda: CifarResNet(5)),\n'
    copy.insert("models/networks/__init__.py", network, after=beside)
    name = "    name: Mapped[str] = mapped_column(String(200))\n"
    copy.insert("app/db/tables/classifiers.py", column, after=name)
    copy.insert(
        "models/evaluate.py",
        "per_class = [_mean(right[own]) for own in of_class]\n",
        before='    return {\n        "accuracy": accuracies[-1],\n',
    )
    copy.insert("models/evaluate.py", metric, before='        "accuracies": accuracies,\n')
    first = '    standard_error_kind: Literal["binomial", "cluster_robust"] | None = None\n'
    copy.insert("app/services/classifiers/version_views.py", metric_field, before=first)
    process = "app/monitoring/process.py"
    copy.insert(process, gauge, after="        self.versions = VersionMetrics(self.registry)\n")
    copy.insert(process, value, after="        self._capacity.set(batcher.capacity)\n")
    imported = "from app.inference.budget import inference_threads\n"
    copy.insert(process, imported, before="from app.inference.registry import Registry\n")
    copy.insert("app/settings.py", setting, before="    data_dir: Path = Field(")
    (command,) = snippets("CONTRIBUTING.md", "sh")
    copy.make(*command.split())
    return copy


SERVICE = """
from fastapi.testclient import TestClient
from app.main import create_app
from app.settings import Settings
import migrations

settings = Settings()
migrations.upgrade(settings.database_url)
with TestClient(create_app(settings)) as api:
    def get(path):
        return api.get(path).raise_for_status()
    assert get("/v1/summary").json() == {"classifiers": 0}
    body = {"name": "c", "method": "icarl", "backbone": "resnet44"}
    api.post("/v1/classifiers", json=body).raise_for_status()
    assert get("/v1/summary").json() == {"classifiers": 1}
    assert "accrue_predict_threads" in get("/metrics").text
    assert "Accuracy of the worst class." in get("/openapi.json").text
"""


def test_the_column_has_a_migration(copy: Copy) -> None:
    (written,) = copy.folder.glob("migrations/versions/*_add_colour.py")
    assert "server_default='grey'" in written.read_text().replace('"', "'")


def test_the_service_has_the_route_the_backbone_the_metric_and_the_field(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCRUE_DATA_DIR", str(tmp_path))
    copy.python(SERVICE)


def test_the_setting(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    read = "from app.settings import Settings; assert Settings().greeting == {!r}"
    copy.python(read.format("hello"))
    monkeypatch.setenv("ACCRUE_GREETING", "good morning")
    copy.python(read.format("good morning"))


def test_the_error(copy: Copy) -> None:
    copy.python(
        "from app.services.classifiers.summary import SummaryNotReadyError as Error\n"
        "found = Error.status, Error.code, Error.title\n"
        'assert found == (503, "summary-not-ready", "Summary not ready"), found'
    )


def test_entry_points(copy: Copy) -> None:
    """The names of the groups, and classes that are in the snippets beside them."""
    declared = [tomllib.loads(text) for text in snippets("CONTRIBUTING.md", "toml")]
    groups = [each["project"]["entry-points"] for each in declared]
    assert [list(each) for each in groups] == [[methods.ENTRY_POINTS], [networks.ENTRY_POINTS]]
    for group, folder in zip(groups, ("methods", "networks"), strict=True):
        ((name, value),) = next(iter(group.values())).items()
        module, _, made = value.partition(":")
        assert module == f"my_package.{name}"
        copy.python(f"from models.{folder}.{name} import {made}")


def test_the_metric(copy: Copy) -> None:
    copy.python(
        "import torch\nfrom models.evaluate import measure\n"
        "found = measure(None, torch.zeros(0, dtype=torch.int64), (0, 0), None)\n"
        'assert found["worst_class"] is None'
    )


def test_the_backbone(copy: Copy) -> None:
    copy.python(
        "import torch\nfrom models.networks.tiny import Tiny\n"
        "maps, features = Tiny()(torch.zeros(2, 3, 8, 8))\n"
        "assert maps.shape == (2, 16, 8, 8) and features.shape == (2, 16)"
    )


@pytest.mark.parametrize(
    "tests",
    [
        "tests/app/api/test_access.py",
        "tests/app/api/test_workspaces.py",
        "tests/models/test_evaluate.py",
    ],
)
def test_the_tests_that_the_recipe_names_pass(copy: Copy, tests: str) -> None:
    assert tests.rpartition("/")[2] in PAGE.read_text()
    copy.run(sys.executable, "-m", "pytest", "-q", "-x", "-k", "not postgresql", tests)
