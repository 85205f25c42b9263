"""The plan of a comparison, its results in a file, and the table."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.bench.course import Course, CourseBuilder, StepAccuracy
from app.bench.picture import _apart, draw
from app.bench.plan import ComparisonPlan, PlanRow, read_plan
from app.bench.results import Results, table
from app.client.errors import CommandError

PLAN = """
classes_per_task = 3
order = 1993
seeds = [1, 2]
[classifier]
backbone = "resnet20"
memory = { exemplars = 100 }
options = { epochs = 6, lr = 0.1 }
[[rows]]
method = "icarl"
also = ["softmax"]
memory = { exemplars = 50 }
[[rows]]
name = "lwf, hot"
method = "lwf"
options = { temperature = 4, epochs = 2 }
regularizer = { name = "cs_kd" }
seeds = [7]
"""
VERSION = {
    "metrics": {"router_accuracy": 0.5, "calibration_error": 0.25, "unknown": {"detected": 0.125}},
    "memory": {"exemplars": 12},
    "size_bytes": 3000,
    "new_bytes": 1000,
}


def course(*rows: list[float], aware: float = 1.0) -> Course:
    """A course whose tasks are measured on equally many images."""
    builder = CourseBuilder()
    for row in rows:
        builder.steps.append(
            StepAccuracy(sum(row) / len(row), list(row), aware, [aware] * len(row))
        )
    builder.seconds = 1.5
    return builder.build("c", VERSION)


@pytest.fixture
def plan(tmp_path: Path) -> ComparisonPlan:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return read_plan(path)


def test_a_row_s_own_settings_go_before_the_common_ones(plan: ComparisonPlan) -> None:
    icarl, lwf = plan.rows
    shared = plan.model_copy(update={"classifier": {"regularizer": {"name": "cs_kd"}}})
    assert shared.body(icarl, 1)["regularizer"] == {"name": "cs_kd"}
    assert plan.body(icarl, 1) == {
        "method": "icarl",
        "backbone": "resnet20",
        "memory": {"exemplars": 50},
        "options": {"epochs": 6, "lr": 0.1},
        "validation_fraction": 0,
        "seed": 1,
    }
    body = plan.body(lwf, 7)
    assert body["options"] == {"epochs": 2, "lr": 0.1, "temperature": 4}
    assert body["regularizer"] == {"name": "cs_kd"}
    assert icarl.titles == ["icarl", "icarl, softmax"]
    assert lwf.titles == ["lwf, hot"]
    assert PlanRow(method="mas", regularizer={"name": "cs_kd"}).titles == ["mas + cs_kd"]
    assert [plan.seeds_of(row) for row in plan.rows] == [(1, 2), (7,)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rows = [", "is not TOML"),
        ("", "rows: Field required"),
        ("rows = []", "rows: .*at least 1"),
        ('rows = [{name = "x"}]', r"rows\.0\.method: Field required"),
        ('colour = 1\nrows = [{method = "icarl"}]', "colour: Extra inputs"),
        ('seeds = []\nrows = [{method = "icarl"}]', "seeds: .*at least 1"),
        ('rows = [{method = "mas"}, {method = "mas", memory = 3}]', "two rows are titled 'mas'"),
        ('classifier = {seed = 3}\nrows = [{method = "mas"}]', "classifier cannot have seed"),
        ('classifier = {options = 3}\nrows = [{method = "mas"}]', "options is not a table"),
    ],
)
def test_a_wrong_plan_says_where(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(CommandError, match=reason):
        read_plan(path)
    with pytest.raises(CommandError, match="cannot be read"):
        read_plan(tmp_path / "none.toml")


def test_figures_of_a_course_by_hand() -> None:
    made = course([0.9], [0.5, 0.8], [0.6, 0.2, 0.7])
    assert made.last == pytest.approx(0.5)
    assert made.average == pytest.approx((0.9 + 0.65 + 0.5) / 3)
    assert made.forgetting == pytest.approx(((0.9 - 0.6) + (0.8 - 0.2)) / 2)
    assert (made.aware_last, made.aware_forgetting) == (1, 0)


def test_classifiers_of_a_task_each_are_weighed_by_their_images() -> None:
    made = Course.of_separate([course([0.5]), course([1.0])], [30, 10])
    assert made.aware_accuracies == [0.5, pytest.approx(25 / 40)]
    assert made.aware_matrix == [[0.5], [0.5, 1.0]]
    assert made.last is None
    assert made.average is None
    assert (made.size_bytes, made.exemplars, made.seconds) == (6000, 24, 3.0)


def test_a_comparison_goes_on_from_its_file(plan: ComparisonPlan, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    icarl, lwf = plan.rows
    results = Results.of(path, plan, "images")
    results.add(icarl, 1, [course([1.0], [0.5, 0.5]), course([1.0], [0.25, 0.25])])
    results.add(lwf, 7, [course([1.0], [0.0, 1.0])])
    results.write(path)
    again = Results.of(path, plan, "images")
    assert again == results
    assert again.has(icarl, 1)
    assert not again.has(icarl, 2)
    assert list(tmp_path.glob(".*")) == []

    # Other rows are added to what is there, and so are seeds.
    mas = PlanRow(method="mas")
    added = Results.of(path, plan.model_copy(update={"rows": (mas,)}), "images")
    added.add(mas, 1, [course([1.0], [0.5, 0.5])])
    assert list(added.taught) == ["mas", "icarl", "icarl, softmax", "lwf, hot"]
    more = plan.model_copy(update={"rows": (lwf.model_copy(update={"seeds": (7, 8)}),)})
    assert Results.of(path, more, "images").has(lwf, 7)

    # What a row is must not change under its name, nor what it was taught.
    hotter = lwf.model_copy(update={"options": {"temperature": 8}})
    with pytest.raises(CommandError, match="has lwf, hot with other settings"):
        Results.of(path, plan.model_copy(update={"rows": (hotter,)}), "images")
    with pytest.raises(CommandError, match="another plan"):
        Results.of(path, plan.model_copy(update={"order": 7}), "images")
    with pytest.raises(CommandError, match="other images"):
        Results.of(path, plan, "others")
    path.write_text("{}")
    with pytest.raises(CommandError, match="is not a result"):
        Results.of(path, plan, "images")
    with pytest.raises(CommandError, match="cannot be written"):
        results.write(tmp_path / "nowhere" / "out.json")


def test_the_table_has_means_and_extremes(plan: ComparisonPlan) -> None:
    icarl, lwf = plan.rows
    results = Results(plan=plan, images="images")
    for seed, last in ((1, 0.4), (2, 0.6)):
        results.add(icarl, seed, [course([1.0], [last, last]), course([1.0], [0.0, 0.0])])
    results.add(lwf, 7, [Course.of_separate([course([0.5]), course([1.0])], [1, 1])])
    lines = table(results).splitlines()
    titles = [line.strip("| ").split(" | ")[0] for line in lines[2:]]
    assert titles == ["icarl", "icarl, softmax", "lwf, hot"]
    cells: list[Any] = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[1:4] == ["50.0 (40.0 to 60.0)", "75.0", "50.0"]
    gained = Results(plan=plan, images="images")
    gained.add(icarl, 1, [course([0.5], [0.75, 0.5]), course([0.5], [0.5, 0.5])])
    assert table(gained).splitlines()[2].split(" | ")[3] == "gain 25.0"
    assert cells[6:] == ["50.0", "25.0", "12.5", "12", "1,000", "2"]
    assert [cell.strip() for cell in lines[4].split("|")][2:6] == ["–", "–", "–", "75.0"]


def test_the_picture_shows_rows_with_and_without_every_figure(
    plan: ComparisonPlan, tmp_path: Path
) -> None:
    results = Results(plan=plan, images="images")
    results.add(plan.rows[0], 1, [course([1.0], [0.5, 0.5]), course([1.0], [0.1, 0.1])])
    results.add(plan.rows[1], 7, [Course.of_separate([course([0.5]), course([1.0])], [1, 1])])
    draw(results, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 1500
        # Ink beyond axes and text: the colour of each row that has a curve.
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colours


def test_labels_of_curves_stand_apart_and_within_the_axes() -> None:
    heights = {str(index): 99.0 - index for index in range(6)} | {"low": 10.0}
    placed = _apart(heights, gap=4.0)
    assert placed["low"] == 10
    ordered = sorted(placed.values())
    assert max(ordered) <= 100
    assert all(second - first >= 4 for first, second in pairwise(ordered))
    # The order is that of the curves.
    assert sorted(placed, key=placed.get) == sorted(heights, key=heights.get)
