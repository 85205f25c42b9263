"""How long a cancel takes while a job trains: from the request to the end of job and process.

python -m benchmarks.cancelling [count]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

import migrations
from tests.worker.harness import served, train_forever, training_process


def main() -> None:
    """Cancel jobs of a real worker, one after another, and print the times."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    ended, gone = [], []
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{name}/accrue.db"
        migrations.upgrade(url)
        with served({"database": url}, Path(name)) as service, service.worker() as worker:
            for number in range(count):
                job_id = train_forever(service, f"toy{number}")
                child = training_process(psutil.Process(worker.pid))
                started = time.perf_counter()
                service.cancel(job_id)
                while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.005)
                gone.append(time.perf_counter() - started)
                while not service.job(job_id).finished:
                    time.sleep(0.005)
                ended.append(time.perf_counter() - started)
    for what, times in (("training process gone", gone), ("job cancelled", ended)):
        median, worst = statistics.median(times), max(times)
        print(f"{what}: median {median:.2f} s, slowest {worst:.2f} s, of {count}")


if __name__ == "__main__":
    main()
