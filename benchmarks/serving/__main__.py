"""What one ``POST /predict`` costs the server, against the bare forward of the same network.

Machines are shared and noisy, so what is compared is CPU time in one run: that of a server and its
children while clients keep it busy, per request, over that of an eager forward at batch 16 on one
thread, per image. With --peers, LitServe, BentoML and TorchServe serve the same weights and images
in turn, each in an environment of its own, which the first run installs.

    python -m benchmarks.serving [--peers] [--rounds 2] [--share 0.1] [--only resnet32]

Prints a table and writes benchmarks/results/serving.json; with --peers of all workloads, it also
draws docs/images/serving.png.
"""

import argparse
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import runner
from benchmarks.serving import chart, peers
from benchmarks.serving.load import Cost
from benchmarks.serving.network import bare, export
from benchmarks.serving.own import published
from benchmarks.serving.servers import cost, free_port
from benchmarks.serving.workloads import WORKLOADS, Workload

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "serving.png"


def main() -> None:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the requests, for a quick run")
    parser.add_argument("--only", choices=[workload.name for workload in WORKLOADS])
    options = parser.parse_args()
    pythons = installed() if options.peers else {}
    chosen = [each for each in WORKLOADS if options.only in (None, each.name)]
    results = []
    for each in chosen:
        requests = max(2 * each.clients, round(options.share * each.requests))
        results.append(measured(each, pythons, options.rounds, requests))
        runner.write("serving", {"workloads": results})
    if options.peers and chosen == list(WORKLOADS):
        chart.draw(results, PICTURE)


def installed() -> dict[str, Path]:
    """Return the Python of each peer that can run here, and say which cannot."""
    found = {}
    for peer in peers.PEERS:
        if missing := peers.missing(peer):
            print(f"{peer.title} is left out: it needs {missing}.")
            continue
        try:
            found[peer.name] = peers.install(peer)
        except subprocess.CalledProcessError:
            print(f"{peer.title} is left out: it could not be installed, for the reason above.")
    return found


def measured(
    workload: Workload, pythons: dict[str, Path], rounds: int, requests: int
) -> dict[str, Any]:
    """Measure each server in each round, between two bare forwards."""
    costs: dict[str, list[Cost]] = {}
    forwards = []
    with published(workload) as own, tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        export(own.spec, own.state, model)
        for _ in range(rounds):
            forwards.append(bare(own.spec, own.state))
            costs.setdefault("Accrue", []).append(own.cost(requests))
            for peer in peers.PEERS:
                if peer.name in pythons:
                    port = free_port()
                    command = peer.start(model, port, pythons[peer.name])
                    request = peer.request(workload, own.image, own.column)
                    took = cost(command, port, request, requests, workload.clients)
                    costs.setdefault(peer.title, []).append(took)
            forwards.append(bare(own.spec, own.state))
    reference = statistics.median(forwards)
    result = {
        "what": workload.title,
        "bare_forward_cpu_ms": round(reference, 3),
        "requests": rounds * requests,
        "image_bytes": len(own.image),
        "servers": {name: row(rows, reference) for name, rows in costs.items()},
    }
    show(result)
    return result


def row(rounds: list[Cost], reference: float) -> dict[str, float]:
    """Return a server's results: means of the rounds, and the most memory."""
    cpu_ms = statistics.fmean(each.cpu_ms for each in rounds)
    return {
        "request_cpu_ms": round(cpu_ms, 3),
        "ratio": round(cpu_ms / reference, 3),
        "requests_per_second": round(statistics.fmean(each.per_second for each in rounds), 1),
        "p50_ms": round(statistics.fmean(each.p50_ms for each in rounds), 1),
        "p99_ms": round(statistics.fmean(each.p99_ms for each in rounds), 1),
        "memory_mebibytes": round(max(each.memory for each in rounds) / 2**20),
    }


def show(result: dict[str, Any]) -> None:
    """Print the table of a workload."""
    print(f"\n{result['what']}: bare forward {result['bare_forward_cpu_ms']} ms CPU an image")
    print(f"{'':12}{'CPU ms':>9}{'ratio':>8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'MiB':>7}")
    for name, each in result["servers"].items():
        print(
            f"{name:12}{each['request_cpu_ms']:9.2f}{each['ratio']:8.2f}"
            f"{each['requests_per_second']:9.0f}{each['p50_ms']:9.1f}{each['p99_ms']:9.1f}"
            f"{each['memory_mebibytes']:7}",
            flush=True,
        )


if __name__ == "__main__":
    main()
