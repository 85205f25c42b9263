"""The JavaScript of docs/export.md runs in a browser, and says what the service says."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.docs.blocks import snippets
from tests.e2e.harness import Service, zip_of
from tests.pictures import png as picture

pytestmark = pytest.mark.slow

# What the snippet takes as given, and where its words go.
_AROUND = """async () => {
  const file = await (await fetch("photo.png", {cache: "no-store"})).blob();
  const said = [];
  const console = {log: (...words) => said.push(...words)};
  SNIPPET
  return said;
}"""
RUNTIME = "onnxruntime-web@1.30.0"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Leave it out."""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ONNX Runtime for browsers, from the registry of packages."""
    if (npm := shutil.which("npm")) is None:
        pytest.skip("Needs npm.")
    folder = tmp_path_factory.mktemp("runtime")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", RUNTIME]
    if subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode:
        pytest.skip(f"{RUNTIME} cannot be installed.")
    return folder / "node_modules" / "onnxruntime-web" / "dist"


@pytest.fixture
def site(runtime: Path) -> Iterator[str]:
    """A web site of that folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=runtime))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_snippet_answers_as_the_service_does(
    browser: Browser, service: Service, runtime: Path, site: str
) -> None:
    service.create("onnx", resize="pad")
    images = {f"{seed % 2}/{seed}.png": picture(seed, 24, 16) for seed in range(16)}
    service.learn("onnx", zip_of(images))
    export = "/v1/classifiers/onnx/versions/live/export"
    model = service.http.get(export, params={"format": "onnx"}).raise_for_status()
    (runtime / "signs.onnx").write_bytes(model.content)
    (runtime / "index.html").write_text('<!doctype html><script src="ort.min.js"></script>')
    (snippet,) = snippets("docs/export.md", "js")
    page = browser.new_page()
    page.goto(site)
    for image in (images["0/2.png"], images["1/5.png"], picture(99, 8, 8)):
        (runtime / "photo.png").write_bytes(image)
        said = page.evaluate(_AROUND.replace("SNIPPET", snippet))
        (result,) = service.predict("onnx", image)["results"]
        assert said == [result["label"], pytest.approx(result["score"], abs=0.02)]
    page.close()
