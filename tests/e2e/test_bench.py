"""`accrue bench` on a few digits, against a service that runs."""

import json
from pathlib import Path

import pytest

from tests.e2e.harness import Digits, Service
from tests.e2e.test_commands import accrue, ok, refused

PLAN = """
classes_per_task = 2
[classifier]
backbone = "convnet"
image_size = 8
augment = { flip = false }
memory = { exemplars = 20 }
options = { epochs = 4, batch_size = 16 }
[[rows]]
method = "icarl"
also = ["nearest_mean", "softmax"]
[[rows]]
name = "alone"
method = "finetune"
separate = true
"""


@pytest.fixture
def folder(tmp_path: Path, digits: Digits) -> Path:
    """Four digits, 20 images to learn and 5 to measure on each."""
    for label in range(4):
        for split, count in (("train", 20), ("test", 5)):
            home = tmp_path / "mine" / split / str(label)
            home.mkdir(parents=True)
            for image in digits.images(label, split)[:count]:
                (home / image.name).write_bytes(image.read_bytes())
    return tmp_path / "mine"


@pytest.mark.slow
def test_a_comparison_and_its_continuation(service: Service, folder: Path, tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.toml", tmp_path / "out.json"
    plan.write_text(PLAN)
    said = ok(accrue("bench", str(folder), f"--plan={plan}", f"--out={out}", url=service.url))
    assert "icarl, seed 1993, task 2 of 2: " in said
    assert (tmp_path / "out.png").stat().st_size > 10_000
    found = json.loads(out.read_text())["courses"]
    assert set(found) == {"icarl", "icarl, nearest_mean", "icarl, softmax", "alone"}
    # The service's metrics are what a client finds by asking about every image.
    icarl, asked = (found[title]["1993"] for title in ("icarl", "icarl, nearest_mean"))
    for key in ("accuracies", "matrix", "aware_accuracies", "aware_matrix"):
        for mine, theirs in zip(icarl[key], asked[key], strict=True):
            assert mine == pytest.approx(theirs), key
    assert [len(row) for row in icarl["matrix"]] == [1, 2]
    alone = found["alone"]["1993"]
    assert len(set(alone["classifiers"])) == 2
    assert alone["accuracies"] == [None, None]

    # Nothing is taught again.
    before = out.read_text()
    again = ok(accrue("bench", str(folder), f"--plan={plan}", f"--out={out}", url=service.url))
    assert "task 1 of 2:" not in again
    assert "| icarl, softmax |" in again
    assert json.loads(out.read_text()) == json.loads(before)


def test_a_wrong_option_is_the_server_s_problem_and_a_plan_stands_alone(
    service: Service, folder: Path, tmp_path: Path
) -> None:
    command = ["bench", str(folder), f"--out={tmp_path / 'o.json'}", "--image-size=8"]
    wrong = accrue(*command, "--method=lwf", "-o", "beta=1", url=service.url)
    assert "/options/beta" in refused(wrong)
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    assert "--plan replaces" in refused(accrue(*command, f"--plan={plan}", url=service.url))
    assert "nowhere is not there" in refused(accrue("bench", "nowhere", url=service.url))
