"""A data set with few images of some classes and many of others, for plans/uneven.toml.

    python -m benchmarks.uneven FOLDER TARGET

FOLDER has train/ and test/ with class folders. In TARGET every other class, by name, has 6 images
to train on and the others have 60, spread over the class's files; test images stay. Files are
copied.
"""

import shutil
import sys
from pathlib import Path

from app.bench.tasks import evenly

FEW, MANY = 6, 60


def main() -> None:
    """Copy."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(Path, sys.argv[1:])
    if target.exists():
        sys.exit(f"{target} exists already; name a folder that does not")
    shutil.copytree(source / "test", target / "test")
    for number, home in enumerate(sorted((source / "train").iterdir())):
        (target / "train" / home.name).mkdir(parents=True)
        for image in evenly(sorted(home.iterdir()), MANY if number % 2 else FEW):
            shutil.copy(image, target / "train" / home.name)


if __name__ == "__main__":
    main()
