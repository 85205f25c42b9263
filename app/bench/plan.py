"""The plan of a comparison: a TOML file that names the classifiers, and how the tasks are cut."""

import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.client.errors import CommandError


class PlanRow(BaseModel):
    """A row of the table: a method with its options, as `POST /v1/classifiers` takes them.

    Other fields (`memory`, `backbone`, …) are passed to the classifier as they are.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    method: str
    name: str = ""
    options: dict[str, Any] = {}
    regularizer: dict[str, Any] = {}
    seeds: tuple[int, ...] = Field((), description="The seeds of the plan if empty.")
    also: tuple[str, ...] = Field(
        (),
        description="Values of `classify`: each makes another row, measured by predicting with the "
        "same classifier.",
    )
    separate: bool = Field(False, description="Whether each task has a classifier of its own.")

    @property
    def titles(self) -> list[str]:
        """The title of the row, then one for each of `also`."""
        beside = f" + {self.regularizer.get('name')}" if self.regularizer else ""
        name = self.name or self.method + beside
        return [name, *(f"{name}, {classify}" for classify in self.also)]

    def without_seeds(self) -> Self:
        """Return the row without its seeds, to compare its settings."""
        return self.model_copy(update={"seeds": ()})


class ComparisonPlan(BaseModel):
    """What is compared. The classes of one folder are cut into tasks; several are a task each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = "Accuracy on images that were never learnt"
    classes: int | None = Field(
        None, ge=2, description="How many classes of the folder; all if null."
    )
    classes_per_task: int = Field(2, ge=1)
    images_per_class: int | None = Field(
        None,
        ge=1,
        description="At most this many are learnt, evenly spread over the class's files by name; "
        "all if null.",
    )
    order: int | None = Field(
        None,
        ge=0,
        lt=2**32,
        description="Seed of NumPy's permutation of the classes; sorted by name if null.",
    )
    seeds: tuple[int, ...] = Field((1993,), min_length=1)
    classifier: dict[str, Any] = Field(
        default_factory=dict, description="Settings that all rows share."
    )
    rows: tuple[PlanRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        titles = [title for row in self.rows for title in row.titles]
        if twice := next((title for title in titles if titles.count(title) > 1), None):
            raise ValueError(f"two rows are titled {twice!r}; give one of them another name")
        if own := {"name", "method", "seed", "validation_fraction"} & set(self.classifier):
            raise ValueError(f"classifier cannot have {', '.join(sorted(own))}")
        if not isinstance(self.classifier.get("options", {}), dict):
            raise ValueError("classifier.options is not a table")
        return self

    def body(self, row: PlanRow, seed: int) -> dict[str, Any]:
        """Return the body of `POST /v1/classifiers` for a row, without the name."""
        own: dict[str, Any] = {"method": row.method, **(row.model_extra or {})}
        if row.regularizer:
            own["regularizer"] = row.regularizer
        options = {**self.classifier.get("options", {}), **row.options}
        # The tasks bring test images of their own, so the service holds none out.
        fixed = {"validation_fraction": 0, "options": options, "seed": seed}
        return {**self.classifier, **own, **fixed}

    def shared(self) -> Self:
        """Return what must be equal in two plans for their rows to be comparable."""
        return self.model_copy(update={"rows": (), "seeds": (), "title": ""})

    def seeds_of(self, row: PlanRow) -> tuple[int, ...]:
        """Return the seeds that a row is averaged over."""
        return row.seeds or self.seeds


def read_plan(path: Path) -> ComparisonPlan:
    """Read a plan. Raises CommandError with the first mistake in it."""
    try:
        return ComparisonPlan.model_validate(tomllib.loads(path.read_bytes().decode()))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise CommandError(f"{path}: {field + ': ' if field else ''}{first['msg']}.") from error
