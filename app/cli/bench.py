"""`accrue bench`: compares methods on the user's images, or by a published protocol."""

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
            help="A folder of class folders (or of train/ and test/ with class folders), whose "
            "classes are cut into tasks. Several folders are one task each.",
            show_default=False,
        ),
    ],
    *,
    plan: Annotated[
        Path | None,
        typer.Option(help="TOML file with the rows to compare, instead of the options below."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A method to compare; may be repeated.", show_default=", ".join(_METHODS)
        ),
    ] = None,
    classes_per_task: Annotated[int, typer.Option(min=1, help="Classes in a task.")] = 2,
    backbone: Annotated[str | None, typer.Option(help="Network to train.")] = None,
    weights: Annotated[str | None, typer.Option(help="Its pretrained weights.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the images in pixels.")] = None,
    resize: Annotated[
        str | None,
        typer.Option(help="What becomes of images that are not square: squash, pad or crop."),
    ] = None,
    exemplars: Annotated[
        int | None, typer.Option(help="Images to keep as exemplars, in total.")
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip", help="Whether training mirrors images (not for signs, digits)."
        ),
    ] = None,
    options: Options = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Seed to repeat every row with; may be repeated.", show_default="1993"),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="File for the results; rows that it already has are not taught again."),
    ] = Path("accrue-bench.json"),
    picture: Annotated[
        Path | None, typer.Option(help="File for the picture.", show_default="beside the results")
    ] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Teach several classifiers the same tasks, and compare how much they remember."""
    extra.require("`accrue bench`", "matplotlib")
    from app.bench.plan import ComparisonPlan, PlanRow, read_plan  # noqa: PLC0415 - needs the extra
    from app.bench.run import run  # noqa: PLC0415

    shared: dict[str, Any] = {
        "backbone": backbone,
        "weights": weights,
        "image_size": image_size,
        "resize": resize,
        "memory": None if exemplars is None else {"exemplars": exemplars},
        "augment": None if flip is None else {"flip": flip},
        "options": parse_options(options or []) or None,
    }
    shared = {key: value for key, value in shared.items() if value is not None}
    if plan is not None and (shared or method or seed):
        raise CommandError("--plan replaces the options for methods and seeds; leave these out.")
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
