"""The supply chain: packages are locked with hashes, their licences known, and listed."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
PACKAGES = [package for package in LOCK["package"] if "editable" not in package["source"]]


def test_everything_locked_has_a_hash_and_comes_from_one_place() -> None:
    assert len(PACKAGES) > 100
    ((kind, _),) = {next(iter(package["source"].items())) for package in PACKAGES}
    assert kind == "registry"
    hosts = set()
    for package in PACKAGES:
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert files, package["name"]
        for file in files:
            hosts.add(urlsplit(file["url"])[:2])
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"])
    ((scheme, _),) = hosts
    assert scheme == "https"


@pytest.mark.parametrize("name", ["uv", "build"])
def test_what_installs_and_builds_is_locked_as_well(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z-]+==\S+( ;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+", line.rstrip())


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_nothing_is_installed_without_a_hash(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", "")
    installs = re.findall(r"(?:pip|uv pip)\b.* install [^\n&]*|uv pip install [^\n&]*", text)
    # PyTorch for the CPU comes from an index that the user names, and only on request.
    installs = [command for command in installs if not command.endswith(" $(TORCH_CPU)")]
    assert len(installs) >= 2
    for command in installs:
        assert "--require-hashes" in command or "--build-constraints requirements/build" in command


# -- PyTorch without CUDA


def setup(venv: Path, *arguments: str) -> list[str]:
    """The commands that install packages, as `make setup` would run them."""
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    command = ["make", "--dry-run", "setup", f"VENV={venv}", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    return [line for line in done.stdout.splitlines() if re.search(r"/uv (sync|pip) ", line)]


def needed_for_cuda() -> set[str]:
    """What PyTorch needs on Linux only, with all that this needs."""
    packages = {package["name"]: package for package in PACKAGES}
    found: set[str] = set()
    ahead = [
        needed["name"]
        for needed in packages["torch"]["dependencies"]
        if "sys_platform == 'linux'" in needed.get("marker", "")
    ]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            package = packages[name]
            extras = package.get("optional-dependencies", {}).values()
            lists = [package.get("dependencies", []), *extras]
            ahead += [needed["name"] for list_ in lists for needed in list_]
    return found


def test_cuda_can_be_left_out(tmp_path: Path) -> None:
    torch, sync, _ = setup(tmp_path, "TORCH=cpu")
    locked = {package["name"]: package["version"] for package in PACKAGES}
    wanted = [f"{name}=={locked[name]}+cpu" for name in ("torch", "torchvision")]
    assert torch.split()[-2:] == wanted
    left_out = re.findall(r"--no-install-package (\S+)", sync)
    assert len(needed_for_cuda()) > 10
    assert set(left_out) == needed_for_cuda() | {"torch", "torchvision"}


def test_the_choice_without_cuda_is_kept_until_it_is_changed(tmp_path: Path) -> None:
    sync, _ = setup(tmp_path)
    assert "--no-install-package" not in sync
    (tmp_path / ".synced-cpu").touch()
    assert setup(tmp_path) == []  # all is there
    os.utime(tmp_path / ".synced-cpu", (0, 0))  # older than the lock file
    assert "+cpu" in setup(tmp_path)[0]
    sync, _ = setup(tmp_path, "TORCH=locked")
    assert "--no-install-package" not in sync


# -- the extras


def exported(uv: str, dockerfile: str) -> set[str]:
    """The packages that the Dockerfile installs."""
    found = re.search(r"/uv (export [^\\]*)", dockerfile)
    assert found is not None
    done = subprocess.run(
        [uv, *found[1].split(), "--no-hashes"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(re.findall(r"^([a-z0-9-]+)==", done.stdout, re.MULTILINE))


def test_the_image_has_what_the_service_needs_and_not_the_demo(uv: str) -> None:
    packages = exported(uv, (ROOT / "Dockerfile").read_text())
    assert {"torch", "fastapi", "celery", "boto3"} <= packages
    assert not {"matplotlib", "scikit-learn", "scipy"} & packages


# -- licences


def licences(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "licences.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environ,
    )


def test_licences_are_fine_and_listed(tmp_path: Path) -> None:
    done = licences("--write", str(tmp_path / "licences.md"))
    assert done.returncode == 0, done.stdout
    found = set((tmp_path / "licences.md").read_text().splitlines())
    # Other platforms install fewer packages than are listed.
    listed = set((ROOT / "docs" / "licences.md").read_text().splitlines())
    rows = {line for line in found if line.startswith("| ") and line.count("|") == 3}
    assert len(rows) > 70
    assert rows <= listed, "run `make licences`"


@pytest.mark.parametrize(
    ("package", "field"),
    [
        ("rich", "License-Expression: AGPL-3.0-only"),
        ("rich", "License-Expression: MIT AND SSPL-1.0"),
        ("rich", "License: Free for friends"),
        ("rich", "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)"),
        ("rich", "Keywords: none"),
        ("psycopg", "License-Expression: GPL-3.0-only"),
    ],
)
def test_an_unknown_licence_is_refused(tmp_path: Path, package: str, field: str) -> None:
    folder = tmp_path / f"{package}-99.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {package}\nVersion: 99\n{field}\n"
    )
    done = licences("--write", str(tmp_path / "list"), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith(f"{package}: ")
    assert not (tmp_path / "list").exists()


# -- advisories and the list of parts


@pytest.fixture
def uv() -> str:
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        pytest.skip("uv is not installed beside this Python: run `make setup`")
    return found


class Advisories(BaseHTTPRequestHandler):
    """A database of advisories as https://api.osv.dev has it, about one package at most."""

    bad = ""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        known = {"id": "TEST-1", "modified": "2026-01-01T00:00:00Z"}
        self._answer(
            {
                "results": [
                    {"vulns": [known]} if query["package"]["name"] == self.bad else {}
                    for query in asked
                ]
            }
        )

    def do_GET(self) -> None:
        package = {"name": self.bad, "ecosystem": "PyPI"}
        events = [{"introduced": "0"}, {"fixed": "999"}]
        self._answer(
            {
                "id": "TEST-1",
                "modified": "2026-01-01T00:00:00Z",
                "summary": "Made up",
                "affected": [
                    {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
                ],
            }
        )

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def advisories() -> Iterator[Callable[[str], str]]:
    """A function that starts a database in which one package is bad, and returns its URL."""
    with HTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def start(bad: str) -> str:
            Advisories.bad = bad
            return f"http://127.0.0.1:{server.server_port}/"

        yield start
        server.shutdown()


def looked_up(uv: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".ci" / "advisories", uv],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"OSV_URL": url, "UV_HTTP_RETRIES": "0", "NO_PROXY": "127.0.0.1"},
    )


def test_known_vulnerabilities_fail_the_audit(uv: str, advisories: Callable[[str], str]) -> None:
    done = looked_up(uv, advisories("nothing"))
    assert (done.returncode, "SKIPPED" in done.stdout) == (0, False), done.stdout
    done = looked_up(uv, advisories("pillow"))
    assert done.returncode == 1
    assert "TEST-1" in done.stdout


def test_an_audit_without_the_database_says_so(uv: str) -> None:
    done = looked_up(uv, "http://127.0.0.1:9/")
    assert done.returncode == 0
    assert "SKIPPED: the database of advisories cannot be reached" in done.stdout


def test_parts_are_listed_with_their_hashes(uv: str) -> None:
    command = [uv, "export", "--frozen", "--no-dev", "--all-extras", "--quiet"]
    command += ["--format", "cyclonedx1.5", "--preview-features", "sbom-export"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    parts = json.loads(done.stdout)
    assert (parts["bomFormat"], parts["specVersion"]) == ("CycloneDX", "1.5")
    names = {part["name"] for part in parts["components"]}
    assert {"torch", "fastapi", "psycopg-binary", "celery"} <= names
    assert "pytest" not in names
    # The client is of this repository, like the service, and comes without a file.
    for part in (each for each in parts["components"] if each["name"] != "accrue-client"):
        files = part["externalReferences"]
        assert all(file["hashes"][0]["alg"] == "SHA-256" for file in files), part["name"]


@pytest.mark.slow
def test_what_is_not_what_was_locked_is_not_installed(uv: str, tmp_path: Path) -> None:
    vine = next(package for package in PACKAGES if package["name"] == "vine")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "one"\nversion = "1"\nrequires-python = ">=3.11"\n'
        f'dependencies = ["vine=={vine["version"]}"]\n'
    )

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [uv, *arguments, "--no-cache", "--project", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    if call("lock").returncode or call("sync", "--frozen").returncode:
        pytest.skip("no package index can be reached")
    lock = tmp_path / "uv.lock"
    shutil.rmtree(tmp_path / ".venv")
    lock.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", lock.read_text()))
    done = call("sync", "--frozen")
    assert done.returncode != 0
    assert "Hash mismatch" in done.stderr


@pytest.mark.slow
def test_what_is_not_what_was_locked_builds_nothing(uv: str, tmp_path: Path) -> None:
    def build(constraints: Path) -> subprocess.CompletedProcess[str]:
        command = [uv, "pip", "install", "--no-cache", "--no-deps", "--target", tmp_path / "out"]
        command += ["--build-constraints", constraints, ROOT]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    locked = ROOT / "requirements" / "build.txt"
    if build(locked).returncode:
        pytest.skip("no package index can be reached")
    (tmp_path / "other.txt").write_text(
        re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", locked.read_text())
    )
    done = build(tmp_path / "other.txt")
    assert done.returncode != 0
    assert "Hash mismatch" in done.stderr
