"""Commands of the pages run one after another, as a reader types them, and say what is shown."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.docs.commands import Command, commands, keys
from tests.docs.pages import ROOT
from tests.e2e.harness import Service, wait_for
from tests.pictures import png as picture

pytestmark = pytest.mark.slow

# They are about the machine that the reader has, or run for good.
NOT_TYPED = ("cd accrue", ". .venv/bin/activate", "accrue up", "ACCRUE_KEYS=required accrue up")
# Generators make clients in tests/clients/test_generated.py.
ELSEWHERE = ("npx ", "openapi-python-client ")
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
        for command in commands(ROOT / page):
            if command.text.startswith((*NOT_TYPED, *ELSEWHERE)):
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


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    """A function that makes a reader of a service, or of none yet."""
    readers: list[Reader] = []

    def make(service: Service | None, **environment: str) -> Reader:
        readers.append(Reader(tmp_path, service and service.http, **environment))
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Service]:
    """A service with nothing in it."""
    service = Service(tmp_path / "alone")
    yield service
    service.stop()


def test_readme(read: Callable[..., Reader], alone: Service) -> None:
    read(alone).follow("README.md")


def test_quickstart(read: Callable[..., Reader], alone: Service) -> None:
    reader = read(alone)
    (reader.folder / "corrections.csv").write_text("first/1/006.png,0\nfirst/1/007.png,\n")

    def prepare(text: str) -> str:
        if text.startswith("accrue learn photos"):
            return text.replace("FOLDER", "first")
        if text.startswith("accrue evaluate"):
            shutil.copytree(reader.folder / "digits" / "test", reader.folder / "test")
        return text.replace("--seconds 60", "--seconds 1").replace("epochs=15", "epochs=1")

    reader.follow("docs/quickstart.md", prepare)
    assert (reader.folder / "evaluation.png").exists()
    assert (reader.folder / "accrue-bench.json").exists()


def archives(folder: Path) -> None:
    """Write the files that the pages about the API name."""
    images = {
        f"{label}/{seed}.png": picture(seed, 16, 16)
        for seed in range(40)
        for label in (("stop", "yield")[seed % 2],)
    }
    with zipfile.ZipFile(folder / "signs.zip", "w") as file:
        for name, image in images.items():
            file.writestr(name, image)
    for name, mode in (("signs.tar", "w"), ("signs.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode) as tar:  # type: ignore[call-overload]
            for inside, image in images.items():
                member = tarfile.TarInfo(inside)
                member.size = len(image)
                tar.addfile(member, io.BytesIO(image))
    for name in ("a.jpg", "b.jpg", "sign.jpg", "flower.jpg"):
        (folder / name).write_bytes(picture(100 + len(name) + ord(name[0]), 16, 16))
    for label in ("go", "wait"):
        (folder / "folder" / label).mkdir(parents=True)
        for seed in range(6):
            image = picture(500 + seed + ord(label[0]), 16, 16)
            (folder / "folder" / label / f"{seed}.png").write_bytes(image)


class Api:
    """Fills in what stands as `…` in the commands of docs/api.md."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.made = 0

    def __call__(self, text: str) -> str:
        if '"upl_…"' in text:
            text = text.replace("upl_…", self._upload(known='"evaluate"' in text))
        hashes = self._of_upload() if "/v1/uploads/" in text else self._of_version()
        for shown, real in zip(("9f86d0…", "60303a…"), hashes, strict=True):
            text = text.replace(shown, real)
        for seed in (900, 901):
            image = base64.b64encode(picture(seed, 16, 16)).decode()
            text = text.replace('"b64": "…"', f'"b64": "{image}"', 1)
        # An address that needs no name server; less time; and version 2 has been purged by then.
        for shown, real in (
            ("https://example.org", "https://1.1.1.1"),
            ('"seconds": 60', '"seconds": 1'),
            ("versions/2/checkpoint", "versions/live/checkpoint"),
        ):
            text = text.replace(shown, real)
        return text

    def _upload(self, *, known: bool) -> str:
        """An upload of new images, of classes that are new or those of the first such upload."""
        self.made += 1
        number = 1 if known else self.made
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for seed in range(8):
                for label in ("a", "b"):
                    image = picture(1000 * self.made + seed + 100 * ord(label), 16, 16)
                    file.writestr(f"{label}{number}/{seed}.png", image)
        return self.service.upload(archive.getvalue())

    def _of_upload(self) -> list[str]:
        upload = self.service.http.get("/v1/uploads").json()["data"][0]["id"]
        images = self.service.http.get(f"/v1/uploads/{upload}/images").json()["data"]
        return [images[0]["sha256"], images[-1]["sha256"]]

    def _of_version(self) -> list[str]:
        path = "/v1/classifiers/signs/versions/live/exemplars?label=stop"
        found = self.service.http.get(path)
        data = [] if found.is_error else found.json()["data"]
        return [each["sha256"] for each in data[:2]] if len(data) > 1 else ["", ""]


def test_api(read: Callable[..., Reader], alone: Service) -> None:
    reader = read(alone)
    archives(reader.folder)
    alone.create("signs", memory={"exemplars": 200}, validation_fraction=0.1, image_size=16)
    prepare = Api(alone)
    reader.follow("docs/api.md", prepare)
    reader.follow("docs/export.md")
    alone.http.delete("/v1/classifiers/signs?confirm=signs").raise_for_status()
    if shutil.which("jq"):
        reader.follow("docs/images.md")
        assert (reader.folder / "heat.png").read_bytes().startswith(b"\x89PNG")


def test_keys(read: Callable[..., Reader], tmp_path: Path) -> None:
    """The page makes a key before there is a service, which then asks for it."""
    data_dir = tmp_path / "accrue-data"
    reader = read(None, ACCRUE_DATA_DIR=str(data_dir))
    started: list[Service] = []

    def prepare(text: str) -> str:
        if text.startswith("curl") and not started:
            started.append(Service(data_dir, ACCRUE_KEYS="required"))
            reader.replaced |= dict.fromkeys(("https://accrue.example.org", "$U"), started[0].url)
            reader.http = started[0].http
            key = (tmp_path / "admin.key").read_text().strip()
            reader.http.headers["Authorization"] = f"Bearer {key}"
            reader.http.post("/v1/classifiers", json={"name": "signs"}).raise_for_status()
        return text

    try:
        reader.follow("docs/keys.md", prepare)
        reader.follow("docs/monitoring.md")
    finally:
        for service in started:
            service.stop()
