"""`accrue methods` and `accrue backbones`: what a classifier can be made of."""

from app.cli.options import DEFAULT_URL, KeyFile, Url, connect
from app.cli.output import Json, print_json, print_table


def methods(*, json: Json = False, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """List the methods; with --json also their options, with the default of each."""
    with connect(url, key_file) as client:
        found = list(client.each("/v1/methods"))
    if json:
        print_json(found)
        return
    rows = [
        {
            "method": method["name"],
            "what it does": method["summary"],
            "classifies by": ", ".join(method["classify"]),
        }
        for method in found
    ]
    print_table(rows, "There is no method.")


def backbones(*, json: Json = False, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """List the networks, and the published weights of each."""
    with connect(url, key_file) as client:
        found = list(client.each("/v1/backbones"))
    if json:
        print_json(found)
        return
    rows = [
        {
            "backbone": backbone["name"],
            "source": backbone["source"],
            "weights": ", ".join(backbone["weights"]) or None,
        }
        for backbone in found
    ]
    print_table(rows, "There is no backbone.")
