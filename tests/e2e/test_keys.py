"""A service that requires keys and listens on every address, and commands that send a key."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import ACCRUE, Digits, Service
from tests.e2e.test_commands import ok, refused


def test_commands_with_keys(start: Callable[..., Service], digits: Digits, tmp_path: Path) -> None:
    service = start(ACCRUE_KEYS="required", ACCRUE_HOST="0.0.0.0")
    url = service.url.replace("0.0.0.0", "127.0.0.1")

    def accrue(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"ACCRUE_URL": url, "ACCRUE_DATA_DIR": str(service.data_dir), "COLUMNS": "200"}
        return subprocess.run(
            [*ACCRUE, *arguments],
            check=False,
            env=os.environ | service.settings | given | {"OMP_NUM_THREADS": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def new(name: str, *scopes: str) -> str:
        options = [f"--scope={scope}" for scope in scopes]
        return ok(accrue("keys", "create", name, *options, "--workspace=team")).strip()

    folder = tmp_path / "first"
    for label in (0, 1):
        (folder / str(label)).mkdir(parents=True)
        for image in digits.images(label)[:8]:
            (folder / str(label) / image.name).write_bytes(image.read_bytes())
    learn = ["learn", "mine", str(folder), "--backbone=convnet", "--image-size=8", "-o", "epochs=1"]

    said = refused(accrue(*learn))
    assert "Unauthorized" in said
    assert "ACCRUE_KEY" in said
    train, predict = new("ci", "train"), new("web", "predict")
    assert "scope train or admin" in refused(accrue(*learn, ACCRUE_KEY=predict))
    # The worker serves every workspace.
    assert "mine version 1 (live)" in ok(accrue(*learn, ACCRUE_KEY=train))

    key_file = tmp_path / "key"
    key_file.write_text(predict + "\n")
    image = str(digits.images(0, "test")[0])
    ask = ["predict", "mine", image, "--version=1", "--key-file", str(key_file)]
    assert "mine version 1" in ok(accrue(*ask, ACCRUE_KEY="not looked at"))
    assert "scope admin" in refused(accrue("rollback", "mine", "1", ACCRUE_KEY=train))

    # A step that is refused leaves what the key may not delete, and says so.
    nothing = tmp_path / "nothing" / "0"
    nothing.mkdir(parents=True)
    (nothing / "note.txt").write_text("no image")
    left = accrue("learn", "left", str(nothing.parent), ACCRUE_KEY=train)
    assert "Not one image could be used" in refused(left)
    assert "stays" in left.stdout
    log = service.log.read_text()
    assert train not in log
    assert predict not in log
