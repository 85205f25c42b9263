"""The results of a comparison so far: a file that a later run adds to, and a table."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Self

from pydantic import BaseModel, ValidationError

from app.bench.course import Course
from app.bench.plan import ComparisonPlan, PlanRow
from app.client.errors import CommandError


class Results(BaseModel):
    """The plan, and a course for each title and seed that has been taught.

    `images` is the fingerprint of the images in the folders.
    """

    plan: ComparisonPlan
    images: str
    courses: dict[str, dict[int, Course]] = {}

    @classmethod
    def of(cls, path: Path, plan: ComparisonPlan, images: str) -> Self:
        """Read the results in a file, or start without any if there is no file.

        Rows of the file that the plan does not have are kept. Raises CommandError if the file is
        of another comparison.
        """
        if not path.exists():
            return cls(plan=plan, images=images)
        try:
            results = cls.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise CommandError(
                f"{path} is not a result of `accrue bench`; choose another file with --out."
            ) from error
        if results.plan.shared() != plan.shared():
            raise CommandError(f"{path} is the result of another plan. Choose another --out.")
        if results.images != images:
            raise CommandError(f"{path} is about other images. Choose another --out.")
        rows = {title: row for row in plan.rows for title in row.titles}
        others = []
        for before in results.plan.rows:
            now = [rows[title] for title in before.titles if title in rows]
            if any(row.without_seeds() != before.without_seeds() for row in now):
                raise CommandError(
                    f"{path} has {before.titles[0]} with other settings. Give the row another name "
                    "in the plan, or choose another --out."
                )
            if not now:
                others.append(before)
        merged = plan.model_copy(update={"rows": (*plan.rows, *others)})
        return results.model_copy(update={"plan": merged})

    def has(self, row: PlanRow, seed: int) -> bool:
        """Return whether a row was taught with a seed."""
        return all(seed in self.courses.get(title, {}) for title in row.titles)

    def add(self, row: PlanRow, seed: int, courses: Sequence[Course]) -> None:
        """Record the courses of a row, one for each of its titles."""
        for title, course in zip(row.titles, courses, strict=True):
            self.courses.setdefault(title, {})[seed] = course

    def write(self, path: Path) -> None:
        """Write the file atomically. Raises CommandError if it cannot be written."""
        temporary = path.with_name(f".{path.name}.partial")
        try:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error

    @property
    def taught(self) -> dict[str, list[Course]]:
        """The courses of each title that has any, in the order of the plan."""
        titles = [title for row in self.plan.rows for title in row.titles]
        return {
            title: list(self.courses[title].values()) for title in titles if title in self.courses
        }


# The heading of a column and the property of a course that it shows, in percent.
_SHARES = (
    ("accuracy", "last"),
    ("average", "average"),
    ("forgetting", "forgetting"),
    ("accuracy, task given", "aware_last"),
    ("forgetting, task given", "aware_forgetting"),
    ("router", "router_accuracy"),
    ("calibration error", "calibration_error"),
    ("unknown noticed", "unknown_noticed"),
)
_COUNTS = (("images kept", "exemplars"), ("new bytes", "new_bytes"), ("seconds", "seconds"))


def table(results: Results) -> str:
    """Return a Markdown table: means over the seeds, and the range of the accuracies."""
    headings = ["row", *(heading for heading, _ in (*_SHARES, *_COUNTS))]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for title, courses in results.taught.items():
        cells = [_share([getattr(course, key) for course in courses], key) for _, key in _SHARES]
        cells += [f"{fmean(getattr(course, key) for course in courses):,.0f}" for _, key in _COUNTS]
        lines.append(f"| {' | '.join([title, *cells])} |")
    return "\n".join(lines)


def _share(values: Sequence[float | None], key: str) -> str:
    shares = [100 * value for value in values if value is not None]
    if not shares:
        return "–"
    mean = f"{fmean(shares):z.1f}"
    if key.endswith("forgetting") and mean.startswith("-"):
        return f"gain {mean[1:]}"
    if len(shares) == 1 or not key.endswith("last"):
        return mean
    return f"{mean} ({min(shares):.1f} to {max(shares):.1f})"
