"""Clients that generators make of the OpenAPI document, and calls of theirs.

Each generator is installed into a folder of its own, so this needs an index of packages.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.db.engine import Database
from app.settings import Settings
from app.storage import BlobStore
from tests.app import learnt
from tests.app.api.test_event_stream import serving
from tests.app.learnt import png
from tests.docs.blocks import snippets
from tests.e2e.harness import zip_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

CALLS = Path(__file__).parent / "generated"
PYTHON_TOOL = "openapi-python-client==0.29.1"
# The page names the package, and says which answers are files: the generator knows not all types.
PYTHON_CONFIG = {
    "post_hooks": [],
    **json.loads(snippets("docs/api.md", "json")[-1]),
}
NODE_TOOLS = (
    "openapi-typescript@7.13.0",
    "openapi-fetch@0.17.0",
    "@hey-api/openapi-ts@0.95.0",
    "tsx@4",
    "typescript@5.9.3",
    "@types/node@20",
)
TSC = "--strict --noEmit --module esnext --moduleResolution bundler --target es2022 --skipLibCheck"


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env=os.environ | {"NO_COLOR": "1", "CI": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def installed(*command: object, cwd: Path) -> None:
    """Install tools, or skip the test where they cannot be had."""
    try:
        run(*command, cwd=cwd)
    except AssertionError as error:
        pytest.skip(f"The generators cannot be installed: {str(error)[-300:]}")


def call(
    settings: Settings,
    database: Database,
    store: BlobStore,
    folder: Path,
    generate: Callable[[], None],
    *command: object,
) -> None:
    """Write the document, have a client made of it, and run its calls on a service."""
    with serving(settings) as running:
        document = running.http.get("/openapi.json").json()
        (folder / "document.json").write_text(json.dumps(document))
        generate()
        running.http.post(
            "/v1/classifiers", json={"name": "signs", **learnt.BODY}
        ).raise_for_status()
        learnt.publish(database, store, "signs", 0)
        (folder / "a.zip").write_bytes(zip_of({"a/1.png": png(1), "b/1.png": png(2)}))
        (folder / "a.png").write_bytes(png(3))
        run(*command, running.http.base_url, folder / "a.zip", folder / "a.png", cwd=folder)


def test_openapi_python_client(
    settings: Settings, database: Database, store: BlobStore, tmp_path: Path
) -> None:
    uv, python = Path(sys.executable).parent / "uv", tmp_path / "tools/bin/python"
    installed(uv, "venv", "--python", sys.executable, "tools", cwd=tmp_path)
    installed(uv, "pip", "install", "--python", python, PYTHON_TOOL, cwd=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(PYTHON_CONFIG))

    def generate() -> None:
        tool = tmp_path / "tools/bin/openapi-python-client"
        options = ("--meta", "none", "--output-path", "accrue_generated", "--fail-on-warning")
        config = ("--config", "config.json")
        said = run(tool, "generate", "--path", "document.json", *config, *options, cwd=tmp_path)
        assert "WARNING" not in said

    shutil.copy(CALLS / "calls.py", tmp_path)
    call(settings, database, store, tmp_path, generate, python, "calls.py")


@pytest.mark.skipif(shutil.which("npm") is None, reason="Needs Node.js with npm.")
def test_openapi_typescript_and_hey_api(
    settings: Settings, database: Database, store: BlobStore, tmp_path: Path
) -> None:
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    installed("npm", "install", "--no-audit", "--no-fund", *NODE_TOOLS, cwd=tmp_path)

    def generate() -> None:
        typed = ("npx", "openapi-typescript", "document.json", "-o", "document.d.ts")
        hey = ("npx", "openapi-ts", "-i", "document.json", "-o", "hey")
        for command in (typed, hey):
            said = run(*command, cwd=tmp_path)
            assert not re.search("warn|⚠", said, re.IGNORECASE), said
        run("npx", "tsc", *TSC.split(), "calls.ts", cwd=tmp_path)

    shutil.copy(CALLS / "calls.ts", tmp_path)
    call(settings, database, store, tmp_path, generate, "npx", "tsx", "calls.ts")
