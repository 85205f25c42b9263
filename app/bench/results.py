"""What was found so far, in a file that a comparison goes on from, and as a table."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Self

from pydantic import BaseModel, ValidationError

from app.bench.course import Course
from app.bench.plan import Plan, Row
from app.cli.errors import CommandError


class Results(BaseModel):
    """The plan, and a course for each title and seed that has been taught."""

    plan: Plan
    courses: dict[str, dict[int, Course]] = {}

    @classmethod
    def of(cls, path: Path, plan: Plan) -> Self:
        """Read what a file has of this plan; start anew where there is none.

        Raises CommandError where the file is about something else.
        """
        if not path.exists():
            return cls(plan=plan)
        try:
            results = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise CommandError(f"{path} is no result of `accrue bench`; name another.") from error
        if results.plan.shared() != plan.shared():
            raise CommandError(f"{path} is the result of another plan: name another, or remove it.")
        before = [row.model_copy(update={"seeds": ()}) for row in results.plan.rows]
        kept = {
            title: results.courses[title]
            for row in plan.rows
            if row.model_copy(update={"seeds": ()}) in before
            for title in row.titles
            if title in results.courses
        }
        return cls(plan=plan, courses=kept)

    def has(self, row: Row, seed: int) -> bool:
        """Say whether a row was taught with a seed."""
        return all(seed in self.courses.get(title, {}) for title in row.titles)

    def add(self, row: Row, seed: int, courses: Sequence[Course]) -> None:
        """Note the courses of a row's titles."""
        for title, course in zip(row.titles, courses, strict=True):
            self.courses.setdefault(title, {})[seed] = course

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        temporary = path.with_name(f".{path.name}.partial")
        temporary.write_text(self.model_dump_json(indent=1) + "\n")
        temporary.replace(path)

    @property
    def taught(self) -> dict[str, list[Course]]:
        """The courses of each title that has any, in the plan's order."""
        titles = [title for row in self.plan.rows for title in row.titles]
        return {
            title: list(self.courses[title].values()) for title in titles if title in self.courses
        }


# A column's heading and the property of a course that it shows, in percent.
_SHARES = (
    ("accuracy", "last"),
    ("average", "average"),
    ("forgetting", "forgetting"),
    ("accuracy, task given", "aware_last"),
    ("forgetting, task given", "aware_forgetting"),
    ("router", "router_accuracy"),
)
_COUNTS = (("images kept", "exemplars"), ("new bytes", "new_bytes"))


def table(results: Results) -> str:
    """Return the table as Markdown: means over the seeds, and extremes of the accuracies."""
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
    if len(shares) == 1 or not key.endswith("last"):
        return mean
    return f"{mean} ({min(shares):.1f} to {max(shares):.1f})"
