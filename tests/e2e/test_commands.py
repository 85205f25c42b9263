"""The command `accrue` as a person runs it."""

import hashlib
import io
import os
import re
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load

from tests.e2e.harness import ACCRUE, Digits, Service


def accrue(*arguments: str, url: str = "http://127.0.0.1:9") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ACCRUE_URL": url, "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*ACCRUE, *arguments],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def ok(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def refused(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture
def classes(tmp_path: Path, digits: Digits) -> dict[str, Path]:
    """Two folders of class folders, with a hidden file that is no image."""
    folders = {}
    for name, labels in (("first", (0, 1)), ("second", (2, 3))):
        folders[name] = tmp_path / name
        for label in labels:
            target = folders[name] / str(label)
            target.mkdir(parents=True)
            (target / ".hidden").write_text("not sent")
            for image in digits.images(label)[:30]:
                (target / image.name).write_bytes(image.read_bytes())
    return folders


def test_learn_predict_and_roll_back(
    service: Service, digits: Digits, classes: dict[str, Path]
) -> None:
    small = ["--backbone=convnet", "--image-size=8", "--exemplars=20", "--no-flip"]
    said = ok(
        accrue("learn", "cli", str(classes["first"]), *small, "-o", "epochs=3", url=service.url)
    )
    assert "Uploaded 60 images of 2 classes (0 duplicates, 0 rejected)." in said
    assert "cli version 1 (live) knows 2 classes: accuracy" in said
    # The second step finds the classifier; an option then is for that step alone.
    around = classes["second"].parent / "around"
    around.mkdir()
    (around / "signs").symlink_to(classes["second"])
    (around / "notes.txt").write_text("not sent")
    said = ok(accrue("learn", "cli", str(around), "-o", "epochs=2", url=service.url))
    assert "skipped notes.txt: not in a folder named after a class" in said
    assert "The folder signs is around the folders of classes" in said
    assert "cli version 2 (live) knows 4 classes: accuracy" in said
    assert "forgetting" in said
    kept = service.http.get("/v1/classifiers/cli").json()
    assert (kept["options"]["epochs"], kept["augment"]["flip"]) == (3, False)

    images = [str(digits.images(label, "test")[0]) for label in (0, 3)]
    said = ok(accrue("predict", "cli", *images, "--version=2", url=service.url))
    assert "version 2" in said
    assert [line.split()[1] for line in said.splitlines()[1:3]] == ["0", "3"]

    said = ok(accrue("rollback", "cli", "1", url=service.url))
    assert said == "cli now serves version 1 (before: 2).\n"
    listed = ok(accrue("versions", "cli", url=service.url)).splitlines()
    assert [line.split()[0] for line in listed] == ["version", "2", "1"]
    assert "created (UTC)" in listed[0]
    assert "live" in listed[2]
    assert "live" not in listed[1]


def test_a_name_alone_is_enough(service: Service, digits: Digits, classes: dict[str, Path]) -> None:
    learner = (
        "bare learns by analytic on efficientnet_lite0 (weights DEFAULT), with images of 96×96"
    )
    for step, folder in enumerate(classes.values(), start=1):
        said = ok(accrue("learn", "bare", str(folder), url=service.url))
        assert f"{learner} pixels." in said
        assert f"bare version {step} (live) knows {2 * step} classes: accuracy" in said
    version = service.http.get("/v1/classifiers/bare/versions/live").json()
    assert {name: version[name] for name in ("method", "backbone", "weights", "image_size")} == {
        "method": "analytic",
        "backbone": "efficientnet_lite0",
        "weights": "DEFAULT",
        "image_size": 96,
    }
    shown = [digits.images(label, "test")[0] for label in range(4)]
    said = ok(accrue("predict", "bare", *map(str, shown), "--version=2", url=service.url))
    assert [line.split()[1] for line in said.splitlines()[1:5]] == ["0", "1", "2", "3"]
    other = accrue("learn", "bare", str(classes["first"]), "--image-size=160", url=service.url)
    assert "bare exists with image_size 96, not 160" in refused(other)


def test_what_cannot_be_used_is_said(service: Service, classes: dict[str, Path]) -> None:
    folder = classes["first"]
    for name in ("empty", "blank"):
        (folder / name).mkdir()
    (folder / "blank/1.png").write_bytes(b"")
    for number in range(5):
        (folder / f"0/{number}.txt").write_text("not an image")
    small = ("--backbone=convnet", "--image-size=8", "-o", "epochs=1")
    learning = ("learn", "poor", str(folder), *small)
    assert "--strict" in refused(accrue(*learning, "--strict", url=service.url))
    (folder / "empty").rmdir()
    said = refused(accrue(*learning, "--strict", url=service.url))
    assert "6 of 66 files cannot be used" in said.replace("\n", " ")
    assert service.http.get("/v1/classifiers/poor").status_code == 404
    said = " ".join(ok(accrue(*learning, url=service.url)).split())
    assert "Uploaded 60 images of 2 classes (0 duplicates, 6 rejected)." in said
    assert "(0/0.txt, 0/1.txt, 0/2.txt and 2 more)" in said
    assert "class 'blank' is left out: not one of its files was accepted" in said
    assert said.count("blank/1.png") == 1  # not once more, as a warning of the job


def test_forget(service: Service, digits: Digits) -> None:
    service.create("forgets", method="mas", options={"epochs": 1})
    for labels in ([0, 1], [2, 3]):
        service.learn("forgets", digits.zip(labels, train=8, test=2))
    assert "does not know '7', '8'" in refused(
        accrue("forget", "forgets", "7", "8", url=service.url)
    )
    said = ok(accrue("forget", "forgets", "3", url=service.url)).replace("\n", " ")
    assert "warning: task 1 has a single class left" in said
    assert "Forgotten: 3." in said
    assert "Deleted" not in said
    assert "other classes share: backbone, head, importance." in said
    assert "forgets version 3 (live) knows 3 classes: accuracy" in said
    said = ok(accrue("forget", "forgets", "3", "2", "--purge", url=service.url)).replace("\n", " ")
    assert "Forgotten: 2, 3." in said
    assert "Deleted for good: versions 2, 3; uploads: 1." in said
    assert "forgets version 4 (live) knows 2 classes: accuracy" in said
    listed = ok(accrue("versions", "forgets", url=service.url)).splitlines()
    assert [line.split()[0] for line in listed] == ["version", "4", "1"]


def test_a_refused_step_leaves_nothing_behind(service: Service, classes: dict[str, Path]) -> None:
    uploads = service.http.get("/v1/uploads").json()
    wrong = accrue("learn", "refused", str(classes["first"]), "-o", "epoch=3", url=service.url)
    assert "/options/epoch" in refused(wrong)
    nothing = classes["first"] / "0"
    (nothing / "empty").mkdir()
    (nothing / "empty" / "note.txt").write_text("no image")
    said = refused(accrue("learn", "refused", str(nothing), url=service.url))
    assert "30 not in a folder named after a class (such as 001.png)" in said
    assert len(said.splitlines()) == 1
    assert service.http.get("/v1/classifiers/refused").status_code == 404
    assert service.http.get("/v1/uploads").json() == uploads


def test_a_classifier_keeps_what_it_was_made_with(
    service: Service, classes: dict[str, Path]
) -> None:
    service.create("keeps")
    said = accrue("learn", "keeps", str(classes["first"]), "--method=joint", url=service.url)
    assert "keeps exists with method icarl, not joint" in refused(said)


def test_an_unreadable_image_is_named(service: Service, digits: Digits, tmp_path: Path) -> None:
    service.create("reads", options={"epochs": 1})
    service.learn("reads", digits.zip([0, 1], train=4, test=0))
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    good = digits.images(0, "test")[0]
    result = accrue("predict", "reads", str(good), str(broken), "--version=1", url=service.url)
    assert f"{broken}: " in refused(result).replace("\n", "")
    assert "reads version 1" in result.stdout
    assert "Cannot read none.png" in refused(accrue("predict", "reads", "none.png"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["versions", "x"], "Nothing answers at http://127.0.0.1:9."),
        (["up", "--host", "0.0.0.0"], "Refusing to listen on 0.0.0.0"),
        (["serve", "--host", "0.0.0.0"], "Refusing to listen on 0.0.0.0: keys are off"),
        (["up", "--port", "70000"], "ACCRUE_PORT"),
        (["learn", "x", "missing"], "missing is not a folder."),
    ],
)
def test_refusals_are_words(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = accrue(*arguments)
    assert said in refused(result)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["up", "migrate"])
def test_an_unusable_data_folder_is_named(command: str, tmp_path: Path) -> None:
    port = ["--port=0"] if command == "up" else []
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for folder in (taken, Path("/proc/accrue")):
        result = accrue(command, *port, "--data-dir", str(folder))
        assert f"{folder} cannot be the data folder" in refused(result).replace("\n", "")
    # What the folder should hold cannot be made.
    (tmp_path / "data" / "accrue.db").mkdir(parents=True)
    result = accrue(command, *port, "--data-dir", str(tmp_path / "data"))
    assert "cannot be used" in refused(result).replace("\n", " ")


def test_a_blobs_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file")
    result = accrue("up", "--port=0", "--data-dir", str(tmp_path))
    assert "cannot hold the images" in refused(result).replace("\n", " ")


def test_up_on_a_port_in_use_touches_no_data(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = accrue("up", f"--port={port}", "--data-dir", str(tmp_path / "data"))
    assert f"Cannot listen on 127.0.0.1 port {port}" in refused(result)
    assert not (tmp_path / "data").exists()


def test_client_commands_do_not_load_torch() -> None:
    code = "import app.cli, sys; sys.exit('torch' in sys.modules or 'uvicorn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_api_process_does_not_load_torchvision() -> None:
    """It takes 170 MB, which only its networks and the policy `auto` need."""
    code = "import app.main, sys; sys.exit('torchvision' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_correct(service: Service, classes: dict[str, Path], tmp_path: Path) -> None:
    """Analytic: exactly as if the labels had been right, and no image is learnt twice."""
    folder = classes["first"]
    wrong = sorted((folder / "0").glob("*.png"))[:4]
    for image in wrong[:3]:
        image.rename(folder / "1" / f"wrong-{image.name}")
    ok(accrue("learn", "correct", str(folder), url=service.url))
    path = "/v1/classifiers/correct"
    before = service.http.get(f"{path}/versions/1").json()
    moved = [str(folder / "1" / f"wrong-{image.name}") for image in wrong[:3]]
    said = ok(accrue("correct", "correct", moved[0], moved[1], "0", url=service.url))
    assert said.count("wrong-") == 2
    assert said.count("1, now 0 (") == 2
    assert "may still show" not in said
    assert "correct version 2 (live) knows 2 classes: accuracy" in said
    rows = tmp_path / "corrections.csv"
    rows.write_text(f"image,label\n{moved[2]},0\n{wrong[3]},\n")
    said = ok(accrue("correct", "correct", "--from", str(rows), url=service.url))
    assert "0, left out (" in said
    after = service.http.get(f"{path}/versions/3").json()

    def images(version: dict[str, Any]) -> int:
        return (
            sum(known["train_images"] for known in version["classes"])
            + (version["memory"]["held_out"])
        )

    assert (images(before), images(after)) == (60, 59)
    # The folder is sent again, mistakes and all: they are not made again, nothing is learnt twice.
    (folder / "1" / "new.png").write_bytes(
        next((classes["second"] / "2").glob("*.png")).read_bytes()
    )
    said = ok(accrue("learn", "correct", str(folder), "--on-existing=extend", url=service.url))
    assert "4 images are left out, since a correction took that label from them" in said.replace(
        "\n", " "
    )
    again = service.http.get(f"{path}/versions/4").json()
    assert images(again) == 60
    content = service.http.get(f"{path}/versions/4/checkpoint").content
    with tarfile.open(fileobj=io.BytesIO(content)) as file:
        counts = [0, 0]
        for part in file.getnames():
            if found := re.fullmatch(r"features\.(\d)\.\d+\.safetensors", part):
                member = file.extractfile(part)
                assert member is not None
                counts[int(found[1])] += len(load(member.read())["features"])
    assert counts == [known["train_images"] for known in again["classes"]]
    said = refused(accrue("correct", "correct", moved[0], "0", url=service.url))
    assert "change nothing" in said.replace("\n", " ")
    of_no_version = refused(accrue("correct", "correct", "0" * 64, "0", url=service.url))
    assert f"  {'0' * 64}: the version does not have this image" in of_no_version
    assert "is neither a SHA-256 nor a file" in refused(accrue("correct", "correct", "none", "0"))
    assert "Give the label after the images" in refused(accrue("correct", "correct", moved[0]))


def check_saved(service: Service, suspects: list[dict[str, Any]], folder: Path) -> None:
    """Have the suspects of `shown` written to a folder, each below its label."""
    said = ok(accrue("show", "shown", "--save", str(folder), url=service.url))
    assert f"{len(suspects)} of these images are in {folder}" in said.replace("\n", " ")
    written = {image.stem: image for image in folder.glob("*/*.png")}
    for image in suspects:
        assert written[image["sha256"]].parent.name == image["label"]
        data = written[image["sha256"]].read_bytes()
        assert hashlib.sha256(data).hexdigest() == image["sha256"]


def test_evaluate_and_show(
    service: Service, digits: Digits, classes: dict[str, Path], tmp_path: Path
) -> None:
    """Labels that are wrong are suspected, and what is sent is measured without what was learnt."""
    folder = classes["first"]
    wrong = sorted((folder / "0").glob("*.png"))[:3]
    for image in wrong:
        image.rename(folder / "1" / f"wrong-{image.name}")
    ok(accrue("learn", "shown", str(folder), url=service.url))
    path = "/v1/classifiers/shown"
    listed = service.http.get(f"{path}/versions/live/suspects").json()
    files = {
        hashlib.sha256(image.read_bytes()).hexdigest(): image.name
        for image in folder.glob("*/*.png")
    }
    suspected = [files[image["sha256"]] for image in listed["data"]]
    assert suspected[0].startswith("wrong-")
    held_out = service.http.get(f"{path}/versions/live/held-out").json()["data"]
    assert listed["looked_at"] == {
        "held_out": len(held_out),
        "trained": 60 - len(held_out),
        "of_trained": 60 - len(held_out),
    }
    for image in held_out:
        assert service.http.get(f"/v1/images/{image['sha256']}").status_code == 200
    said = ok(accrue("show", "shown", "--suspects", url=service.url))
    labels = "1 label is" if len(suspected) == 1 else f"{len(suspected)} labels are"
    assert f"{labels} suspected to be wrong, of 60 images" in said
    assert all(image["sha256"] in said for image in listed["data"])
    check_saved(service, listed["data"], tmp_path / "suspects")
    unknown = refused(accrue("evaluate", "shown", "--version", "77", url=service.url))
    assert "no version of that number" in unknown

    new = tmp_path / "new"
    for label in (0, 1, 7):
        (new / str(label)).mkdir(parents=True)
        for image in digits.images(label)[30:40]:
            (new / str(label) / image.name).write_bytes(image.read_bytes())
    again = next((folder / "0").glob("*.png"))
    (new / "0" / "again.png").write_bytes(again.read_bytes())
    # Stored without its text, so under another SHA-256 than the file's; and under two labels.
    text = PngInfo()
    text.add_text("Comment", "of a camera")
    one = digits.images(1)[41]
    for label in (0, 1):
        with Image.open(one) as image:
            image.save(new / str(label) / f"tagged-{label}.png", pnginfo=text)
    picture = tmp_path / "evaluation.png"
    arguments = ("evaluate", "shown", str(new), "--picture", str(picture))
    said = ok(accrue(*arguments, url=service.url)).replace("\n", " ")
    assert "shown version 1: accuracy" in said
    assert "10 images of labels it does not know (7)" in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    job = service.http.get("/v1/jobs?limit=1").json()["data"][0]
    assert (job["kind"], job["state"], job["version"]) == ("evaluate", "succeeded", None)
    report = service.http.get(f"/v1/jobs/{job['id']}/report").json()
    left_out = report["left_out"]
    assert report["images"] + left_out["trained"] + left_out["alike"] == 23
    assert "0/tagged-0.png" in said
    assert "1/tagged-1.png" not in said.partition("Most surely wrong")[2]
    assert f"on {report['images']} images that it was never trained on" in said
    said = ok(accrue("evaluate", "shown", url=service.url)).replace("\n", " ")
    assert f"on {len(held_out)} images held out of it" in said
    unknown = refused(accrue("evaluate", "shown", "--version", "none", url=service.url))
    assert "no version that the alias none names" in unknown.replace("\n", " ")
