"""`accrue bench`: which method suits one's own images, or those of a published protocol."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from app.cli import extra
from app.cli.options import DEFAULT_URL, KeyFile, Options, Url, connect, parse_options
from app.client.errors import CommandError

_METHODS = ("finetune", "lwf", "icarl", "joint")


def bench(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="A folder of class folders (or of train/ and test/ with such folders), which is "
            "cut into tasks; several folders are a task each.",
            show_default=False,
        ),
    ],
    *,
    plan: Annotated[
        Path | None,
        typer.Option(help="TOML file that says what is compared; goes without the options below."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method to compare; repeatable.", show_default=", ".join(_METHODS)),
    ] = None,
    classes_per_task: Annotated[int, typer.Option(min=1, help="Classes to learn at a time.")] = 2,
    backbone: Annotated[str | None, typer.Option(help="Network to train.")] = None,
    weights: Annotated[str | None, typer.Option(help="Its pretrained weights.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the images in pixels.")] = None,
    exemplars: Annotated[int | None, typer.Option(help="Images to remember in all.")] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Whether a mirrored image means the same."),
    ] = None,
    options: Options = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Repeat with each.", show_default="1993")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Where the results go; what it has already is not taught again.")
    ] = Path("accrue-bench.json"),
    picture: Annotated[
        Path | None, typer.Option(help="Where the picture goes.", show_default="beside the results")
    ] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Teach several classifiers the same tasks and compare what they remember."""
    extra.require("`accrue bench`", "matplotlib")
    from app.bench.plan import ComparisonPlan, PlanRow, read_plan  # noqa: PLC0415 - needs the extra
    from app.bench.run import run  # noqa: PLC0415

    shared: dict[str, Any] = {
        "backbone": backbone,
        "weights": weights,
        "image_size": image_size,
        "memory": None if exemplars is None else {"exemplars": exemplars},
        "augment": None if flip is None else {"flip": flip},
        "options": parse_options(options or []) or None,
    }
    shared = {key: value for key, value in shared.items() if value is not None}
    if plan is not None and (shared or method or seed):
        raise CommandError("A plan says what is compared: leave the other options out.")
    wanted = (
        read_plan(plan)
        if plan is not None
        else ComparisonPlan(
            classes_per_task=classes_per_task,
            seeds=tuple(seed or (1993,)),
            classifier=shared,
            rows=tuple(PlanRow(method=name) for name in method or _METHODS),
        )
    )
    with connect(url, key_file) as client:
        console = Console(highlight=False)
        run(wanted, folders, client, out, picture or out.with_suffix(".png"), console)
