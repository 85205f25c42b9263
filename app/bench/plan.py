"""What a comparison teaches, in which order, to which classifiers: a TOML file, checked."""

import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.client.errors import CommandError


class Row(BaseModel):
    """A row of the table: a method with its options, as `POST /v1/classifiers` takes them.

    Whatever is not a field here (`memory`, `backbone`, …) goes into the classifier as it is.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    method: str
    name: str = ""
    options: dict[str, Any] = {}
    regularizer: dict[str, Any] = {}
    seeds: tuple[int, ...] = Field((), description="The plan's where left out.")
    also: tuple[str, ...] = Field(
        (), description="`classify` of further rows about the same classifier, by predicting."
    )
    separate: bool = Field(False, description="A classifier of its own for every task.")

    @property
    def titles(self) -> list[str]:
        """The name, or what it is; then one for each of `also`."""
        beside = f" + {self.regularizer.get('name')}" if self.regularizer else ""
        name = self.name or self.method + beside
        return [name, *(f"{name}, {classify}" for classify in self.also)]

    def without_seeds(self) -> Self:
        """Return what it is, however often it is repeated."""
        return self.model_copy(update={"seeds": ()})


class Plan(BaseModel):
    """The comparison.

    With one folder its classes are cut into tasks; with several, each folder is a task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = "Accuracy on images that were never learnt"
    classes: int | None = Field(None, ge=2, description="How many of the folder's; all if null.")
    classes_per_task: int = Field(2, ge=1)
    images_per_class: int | None = Field(
        None, ge=1, description="Learn at most so many; all if null."
    )
    order: int | None = Field(
        None, ge=0, lt=2**32, description="NumPy's permutation for this seed; by name if null."
    )
    seeds: tuple[int, ...] = Field((1993,), min_length=1)
    classifier: dict[str, Any] = Field(default_factory=dict, description="What all rows share.")
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        titles = [title for row in self.rows for title in row.titles]
        if twice := next((title for title in titles if titles.count(title) > 1), None):
            raise ValueError(f"two rows are titled {twice!r}: give one another name")
        if own := {"name", "method", "seed", "validation_fraction"} & set(self.classifier):
            raise ValueError(f"classifier cannot have {', '.join(sorted(own))}")
        if not isinstance(self.classifier.get("options", {}), dict):
            raise ValueError("classifier.options is no table")
        return self

    def body(self, row: Row, seed: int) -> dict[str, Any]:
        """Return a row's classifier as `POST /v1/classifiers` takes it, less its name."""
        own: dict[str, Any] = {"method": row.method, **(row.model_extra or {})}
        if row.regularizer:
            own["regularizer"] = row.regularizer
        options = {**self.classifier.get("options", {}), **row.options}
        # The tasks bring their own test images, so that every other image is learnt.
        fixed = {"validation_fraction": 0, "options": options, "seed": seed}
        return {**self.classifier, **own, **fixed}

    def shared(self) -> Self:
        """Return what two plans must share for their rows to be compared."""
        return self.model_copy(update={"rows": (), "seeds": (), "title": ""})

    def seeds_of(self, row: Row) -> tuple[int, ...]:
        """Return the seeds that a row is averaged over."""
        return row.seeds or self.seeds


def read_plan(path: Path) -> Plan:
    """Read a plan. Raises CommandError that names the first thing that is wrong with it."""
    try:
        return Plan.model_validate(tomllib.loads(path.read_bytes().decode()))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}." for part in first["loc"]).rstrip(".")
        raise CommandError(f"{path}: {place + ': ' if place else ''}{first['msg']}.") from error
