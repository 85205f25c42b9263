"""Commands that list, follow, move, download and delete, as a person runs them."""

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import onnx

from tests.e2e.harness import Digits, Service
from tests.e2e.test_commands import accrue, ok, refused


def test_the_life_of_a_classifier(service: Service, digits: Digits, tmp_path: Path) -> None:
    service.create("lived")
    assert "lived" in ok(accrue("list", url=service.url))
    assert "no version yet" in ok(accrue("alias", "lived", url=service.url))
    job = service.finished(service.queue("lived", digits.zip([0, 1], test=2))["id"])["id"]

    line = next(
        line for line in ok(accrue("list", url=service.url)).splitlines() if "lived" in line
    )
    assert line.split()[:5] == ["lived", "icarl", "convnet", "1", "2"]
    listed = json.loads(ok(accrue("list", "--json", url=service.url)))
    assert "lived" in [classifier["name"] for classifier in listed]

    said = ok(accrue("jobs", "lived", url=service.url)).splitlines()
    assert said[1].split()[:5] == [job, "lived", "learn", "succeeded", "1"]
    assert "There is no such job." in ok(accrue("jobs", "lived", "--state=failed", url=service.url))
    assert json.loads(ok(accrue("watch", job, "--json", url=service.url)))["version"] == 1
    assert "lived has version 1 of it." in ok(accrue("watch", job, url=service.url))
    shown = service.job(job)
    assert (shown["base"], shown["promoted"], shown["webhook"]) == (None, True, False)
    assert "Job finished" in refused(accrue("cancel", job, url=service.url))
    assert "Job not retryable" in refused(accrue("retry", job, url=service.url))

    assert ok(accrue("alias", "lived", "canary", "1", url=service.url)) == (
        "canary of lived names version 1.\n"
    )
    aliases = json.loads(ok(accrue("alias", "lived", "--json", url=service.url)))
    assert {alias["name"]: alias["version"] for alias in aliases} == {"live": 1, "canary": 1}
    ok(accrue("alias", "lived", "canary", "--remove", url=service.url))
    assert "canary" not in ok(accrue("alias", "lived", url=service.url))
    for wrong in (["canary"], ["--remove"], ["canary", "1", "--remove"]):
        assert "Give an alias" in refused(accrue("alias", "lived", *wrong, url=service.url))

    file = tmp_path / "lived.tar"
    ok(accrue("export", "lived", str(file), url=service.url))
    with tarfile.open(file) as archive:
        assert "manifest.json" in archive.getnames()
    assert "exists already" in refused(accrue("export", "lived", str(file), url=service.url))
    model = tmp_path / "lived.onnx"
    ok(accrue("export", "lived", str(model), "--format=onnx", url=service.url))
    assert onnx.load(model).producer_name == "accrue"
    model.unlink()
    ok(accrue("export", "lived", str(model), "--format=torch", url=service.url))
    with zipfile.ZipFile(model) as whole:
        assert "load.py" in whole.namelist()
    model.unlink()
    gone = accrue("export", "lived", str(tmp_path / "9.tar"), "--version=9", url=service.url)
    assert "Version not found" in refused(gone)
    assert [path.name for path in tmp_path.iterdir()] == ["lived.tar"]

    ok(accrue("delete", "lived", "--yes", url=service.url))
    assert "Classifier not found" in refused(accrue("delete", "lived", "--yes", url=service.url))


def test_a_folder_is_predicted(service: Service, digits: Digits, tmp_path: Path) -> None:
    service.create("asked")
    service.learn("asked", digits.zip([0, 1], test=2))
    folder = tmp_path / "new"
    for label in (0, 1):
        (folder / str(label)).mkdir(parents=True)
        for image in digits.images(label, "test"):
            (folder / str(label) / image.name).write_bytes(image.read_bytes())
    (folder / ".hidden").write_text("no image")
    read = csv.DictReader(
        io.StringIO(ok(accrue("predict", "asked", str(folder), "--csv", url=service.url)))
    )
    rows = list(read)
    assert [row["image"] for row in rows] == sorted(map(str, folder.glob("*/*.png")))
    assert len(rows) > 64  # more than one request
    right = sum(Path(row["image"]).parent.name == row["label"] for row in rows)
    assert right > 0.8 * len(rows)
    (folder / "0" / "zero.png").write_bytes(b"no image")
    broken = accrue("predict", "asked", str(folder / "0"), "--json", url=service.url)
    assert "zero.png: not an image" in refused(broken)
    answers = json.loads(broken.stdout)
    assert [("error" in answer) for answer in answers] == [False] * (len(answers) - 1) + [True]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no images" in refused(accrue("predict", "asked", str(empty), url=service.url))


def test_what_a_classifier_can_be_made_of(service: Service) -> None:
    said = ok(accrue("methods", url=service.url))
    assert "icarl" in said
    assert "packnet" in said
    assert "epochs" in json.dumps(json.loads(ok(accrue("methods", "--json", url=service.url))))
    assert "efficientnet_lite0" in ok(accrue("backbones", url=service.url))
    assert ok(accrue("--version")).startswith("accrue ")
