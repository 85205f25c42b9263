"""`accrue advise` on a few digits, against a service that runs."""

from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.harness import Digits, Service
from tests.e2e.test_commands import accrue, ok, refused


@pytest.mark.slow
def test_folders_are_measured_and_a_table_and_a_picture_made(
    service: Service, digits: Digits, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, labels in zip(folders, ((0, 1), (2,)), strict=True):
        for label in labels:
            (folder / str(label)).mkdir(parents=True)
            for image in digits.images(label)[:12]:
                (folder / str(label) / image.name).write_bytes(image.read_bytes())
    picture = tmp_path / "advice.png"
    before = service.http.get("/v1/classifiers").json()["data"]
    uploads = service.http.get("/v1/uploads").json()["data"]
    given = ["--seconds=1", f"--picture={picture}"]
    said = ok(accrue("advise", *map(str, folders), *given, url=service.url))
    assert "→ analytic efficientnet_lite0" in said
    assert "36 of 36 images of 3 classes" in said
    assert "Left out: icarl" in said
    assert '"method":"analytic"' in said
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"
    job = service.http.get("/v1/jobs").json()["data"][0]
    assert (job["kind"], job["classifier"], job["state"]) == ("advise", None, "succeeded")
    report = service.http.get(f"/v1/jobs/{job['id']}/report").json()
    assert f"{100 * report['rows'][0]['accuracy']:.1f} ±" in said
    # Nothing is kept.
    assert service.http.get("/v1/uploads").json()["data"] == uploads
    assert service.http.get("/v1/classifiers").json()["data"] == before
    nowhere = accrue("advise", str(folders[0]), f"--picture={tmp_path / 'a.bmp'}", url=service.url)
    assert ".png" in refused(nowhere)


def test_folders_of_groups_are_measured_by_groups(
    service: Service, digits: Digits, tmp_path: Path
) -> None:
    for label in (0, 1):
        for number, image in enumerate(digits.images(label)[:12]):
            group = tmp_path / "tracks" / str(label) / f"{label} track {number % 4}"
            group.mkdir(parents=True, exist_ok=True)
            (group / image.name).write_bytes(image.read_bytes())
    arguments = ("advise", str(tmp_path / "tracks"), "--seconds=1", "--group=folder")
    said = ok(accrue(*arguments, f"--picture={tmp_path / 'advice.png'}", url=service.url))
    assert "in 8 groups." in said
    job = service.http.get("/v1/jobs").json()["data"][0]
    row = service.http.get(f"/v1/jobs/{job['id']}/report").json()["rows"][0]
    assert (row["measured"], row["measured_on"], row["trained_on"]) == ("held_out", 6, 18)
