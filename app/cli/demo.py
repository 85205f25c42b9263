"""`accrue demo`: see a classifier learn step by step without forgetting."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli import extra


def demo(
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own images: a folder for each class, or such folders in train/ and test/.",
            show_default="handwritten digits",
        ),
    ] = None,
    classes_per_task: Annotated[int, typer.Option(min=1, help="Classes in a task.")] = 2,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the images in pixels, where a network is trained.",
            show_default="32; digits: 8",
        ),
    ] = None,
    backbone: Annotated[str, typer.Option(help="Network to train.")] = "convnet",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images of a task.")] = 30,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Whether training mirrors images (not for signs, digits).",
            show_default="flip; digits: no-flip",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="An empty folder for the data of the service.", show_default="temporary"),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary data folder.")] = False,
    picture: Annotated[Path, typer.Option(help="File for the picture.")] = Path("accrue-demo.png"),
) -> None:
    """Teach three classifiers a few classes at a time: one forgets, the others remember."""
    extra.require("`accrue demo`", "matplotlib", "scikit-learn")
    from app.demo.run import DemoOptions, run  # noqa: PLC0415 - needs the extra

    options = DemoOptions(
        folder=data,
        classes_per_task=classes_per_task,
        image_size=image_size or (8 if data is None else 32),
        backbone=backbone,
        epochs=epochs,
        flip=data is not None if flip is None else flip,
        data_dir=data_dir,
        keep=keep,
        picture=picture,
    )
    run(options, Console(highlight=False))
