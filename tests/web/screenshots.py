"""Pictures of the page for the documentation: ``python -m tests.web.screenshots``.

Needs Chromium. They show pictures of `tests.web.shapes`, so that no photograph of others is in the
repository.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.e2e.harness import Service, zip_of
from tests.web import shapes

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDTH, HEIGHT = 1200, 860
# Of a screen with more to show.
TALL = 1140
# Screenshots have few colours: a palette makes them a third as large.
COLOURS = 128


@contextmanager
def window(url: str) -> Iterator[Page]:
    """Open a window on the service."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(240_000)
        page.goto(url)
        yield page
        browser.close()


def keep(page: Page, name: str) -> None:
    """Write what is seen as a small PNG."""
    page.wait_for_timeout(1500)  # pictures fade in, and announcements go
    path = IMAGES / f"web-{name}.png"
    page.screenshot(path=path, animations="disabled")
    with Image.open(path) as shot:
        shot.convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(path, path.stat().st_size)


def teach(service: Service, name: str, labels: list[str], seed: int) -> None:
    """Teach a classifier some classes, over the API."""
    service.http.post("/v1/classifiers", json={"name": name}).raise_for_status()
    files = {
        f"{label}/{number}.png": shapes.png(label, seed + number)
        for label in labels
        for number in range(25)
    }
    service.learn(name, zip_of(files))


def look_inside(service: Service, page: Page) -> None:
    """Show a wrong label, and a version of several tasks."""
    files = {
        f"{label}/{number}.png": shapes.png(label, 300 + number)
        for label in ("ring", "star", "stripes")
        for number in range(80)
    }
    service.http.post("/v1/classifiers", json={"name": "signs"}).raise_for_status()
    service.learn("signs", zip_of(files | {"stripes/odd.png": shapes.png("dots", 7)}))
    later = {f"dots/{number}.png": shapes.png("dots", 400 + number) for number in range(80)}
    service.learn("signs", zip_of(later))
    page.goto(f"{service.url}/#/classifiers/signs/inside/2")
    page.get_by_role("heading", name="Labelled").wait_for()
    keep(page, "labels")
    page.goto(f"{service.url}/#/classifiers/signs/versions/2")
    page.get_by_role("heading", name="It is live").wait_for()
    page.set_viewport_size({"width": WIDTH, "height": TALL})
    keep(page, "version")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


def main() -> None:
    """Teach, try, and take a picture of each."""
    with tempfile.TemporaryDirectory() as folder:
        home = shapes.write_folders(Path(folder) / "patterns", 24)
        strange = shapes.write_stranger(Path(folder) / "grain.png")
        star = Path(folder) / "star.png"
        shapes.picture("star", 999).save(star)
        service = Service(Path(folder) / "data")
        try:
            teach(service, "outlines", ["ring", "star"], 100)
            teach(service, "tiles", ["stripes", "checks", "dots"], 200)
            with window(f"{service.url}/#/new") as page:
                page.get_by_label("Name").fill("patterns")
                page.get_by_role("button", name="Create and teach").click()
                page.get_by_label("Choose a folder").set_input_files(home)
                page.get_by_text("5 classes, 120 images").wait_for()
                page.wait_for_timeout(6000)
                keep(page, "teach")
                page.get_by_role("button", name="Learn", exact=True).click()
                page.get_by_role("link", name="Try it").click()
                page.get_by_role("heading", name="What is it?").wait_for()
                page.get_by_label("Choose images").set_input_files([strange, star])
                page.get_by_role("button", name="star.png").click()
                page.get_by_text("Images of star").wait_for()
                keep(page, "try")
                look_inside(service, page)
                page.get_by_role("link", name="Accrue: all classifiers").click()
                page.locator(".strip img").nth(11).wait_for()
                keep(page, "classifiers")
        finally:
            service.stop()


if __name__ == "__main__":
    main()
