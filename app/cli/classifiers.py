"""`accrue list`, `delete`, `alias` and `export`: classifiers as a whole."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from app.cli.options import DEFAULT_URL, KeyFile, Name, Url, connect
from app.cli.output import Json, print_json, print_table
from app.client.client import Client, ClientError, classifier_path
from app.client.errors import CommandError
from app.client.text import percent, size

Version = Annotated[str, typer.Option(help="Number or alias of the version.")]


def list_classifiers(
    *, json: Json = False, url: Url = DEFAULT_URL, key_file: KeyFile = None
) -> None:
    """List the classifiers, with the version that each serves."""
    with connect(url, key_file) as client:
        found = list(client.each("/v1/classifiers"))
        rows = [] if json else [_row(client, classifier) for classifier in found]
    if json:
        print_json(found)
    else:
        print_table(rows, "There is no classifier yet: make one with `accrue learn NAME FOLDER`.")


def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Delete a classifier with its versions, aliases and jobs. Its uploads stay."""
    with connect(url, key_file) as client:
        path = classifier_path(name)
        client.get(path)
        if not yes and typer.prompt(f"This cannot be undone. Type {name} to delete it") != name:
            raise CommandError(f"{name} stays: its name was not typed.")
        client.delete(path, confirm=name)
    print(f"{name} is deleted.")


def alias(
    name: Name,
    given: Annotated[
        str | None, typer.Argument(metavar="[ALIAS]", help="The alias, such as live or canary.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="Number or alias of the version to name."),
    ] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the alias.")] = False,
    json: Json = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """List a classifier's aliases, or make one name a version."""
    path = f"{classifier_path(name)}/aliases"
    wrong = remove if given is None else remove == (version is not None)
    if wrong:
        raise CommandError("Give an alias and a version, or an alias and --remove.")
    with connect(url, key_file) as client:
        if given is None:
            found = list(client.each(path))
            _show_aliases(name, found, json=json)
        elif remove:
            client.delete(f"{path}/{given}")
            print(f"{name} has no alias {given} any more.")
        else:
            named = int(version) if version and version.isdecimal() else version
            moved = client.put(f"{path}/{given}", {"version": named})
            print(f"{given} of {name} names version {moved['version']}.")


def export(
    name: Name,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)
    ],
    *,
    version: Version = "live",
    form: Annotated[
        Literal["tar", "onnx", "torch"],
        typer.Option(
            "--format",
            help="tar: tensors as safetensors, with a manifest. onnx: a model for other programs. "
            "torch: a zip that PyTorch alone predicts with.",
        ),
    ] = "tar",
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Download a version, as a file to keep or as a model for other programs."""
    if file.exists():
        raise CommandError(f"{file} exists already. Name another file, or remove it.")
    with connect(url, key_file) as client:
        try:
            path = f"{classifier_path(name)}/versions/{version}"
            if form == "tar":
                client.run(client.api.save(f"{path}/checkpoint", file))
            else:
                client.run(client.api.save(f"{path}/export", file, format=form))
        except OSError as error:
            raise CommandError(f"Cannot write {file}: {error.strerror}.") from error
    Console(highlight=False).print(f"{file} ({size(file.stat().st_size)})", markup=False)


def _row(client: Client, classifier: dict[str, Any]) -> dict[str, Any]:
    live = None
    try:
        live = client.get(f"{classifier_path(classifier['name'])}/versions/live")
    except ClientError as error:
        if error.code != "version-not-found":
            raise
    return {
        "classifier": classifier["name"],
        "method": classifier["method"],
        "backbone": classifier["backbone"],
        "live version": None if live is None else live["number"],
        "classes": None if live is None else live["class_count"],
        "accuracy": None if live is None else percent(live["metrics"]["goes_by"]["accuracy"]),
    }


def _show_aliases(name: str, found: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        print_json(found)
    else:
        rows = [{"alias": each["name"], "version": each["version"]} for each in found]
        print_table(rows, f"{name} has no version yet, so no alias.")
