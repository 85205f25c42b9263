"""The picture of docs/label-studio.md: ``python -m tests.label_studio.screenshot``.

Needs Chromium, and Label Studio (`make test-label-studio` installs it).
"""

import tempfile
from pathlib import Path

from PIL import Image

from tests.e2e.harness import zip_of
from tests.label_studio.accrue import connected, key_of
from tests.label_studio.project import Project
from tests.label_studio.server import EMAIL, PASSWORD, LabelStudio
from tests.web import shapes
from tests.web.screenshots import COLOURS, IMAGES, window

LABELS = ("ring", "star", "dots")
_PICTURE = IMAGES / "label-studio.png"


def main() -> None:
    """Teach a classifier, let it predict a project, and keep what an annotator sees of a task."""
    with tempfile.TemporaryDirectory() as folder:
        label_studio = LabelStudio(Path(folder))
        accrue = connected(Path(folder), label_studio)
        try:
            accrue.http.post("/v1/classifiers", json={"name": "shapes"}).raise_for_status()
            taught = {
                f"{label}/{number}.png": shapes.png(label, number)
                for label in LABELS
                for number in range(25)
            }
            accrue.learn("shapes", zip_of(taught))
            images = {
                label: [shapes.png(label, seed) for seed in range(100, 104)] for label in LABELS
            }
            project = Project(label_studio, images)
            project.connect(accrue.url, "shapes", key_of(accrue))
            found = project.predicted("shapes 1")
            task = next(each for each, label in found.items() if label == "star")
            with window(f"{label_studio.url}/user/login/") as page:
                page.set_default_timeout(60_000)
                page.locator("input[name=email]").fill(EMAIL)
                page.locator("input[name=password]").fill(PASSWORD)
                page.locator("input[name=password]").press("Enter")
                page.wait_for_load_state("networkidle")
                page.goto(f"{label_studio.url}/projects/{project.id}/data?task={task}")
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(3000)  # the image
                page.screenshot(path=_PICTURE, animations="disabled")
        finally:
            accrue.stop()
            label_studio.stop()
    with Image.open(_PICTURE) as shot:
        shot.convert("RGB").quantize(COLOURS).save(_PICTURE, optimize=True)


if __name__ == "__main__":
    main()
