"""Draws docs/images/heat.jpg: the heat map of a photograph, as `explain` answers it.

    ACCRUE_DATASETS=… python -m benchmarks.explaining

A classifier made by name alone learns 20 photographs each of some classes of Caltech-101. Then it
explains a photograph of scikit-learn, by vultilion under CC BY 2.0.
"""

import base64
import io
import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_image

from app.client.client import Client
from app.client.folder import find_images
from app.client.uploads import send_images
from app.demo.server import running_service
from benchmarks.datasets import load_module
from benchmarks.overheads import wait

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "heat.jpg"
CLASSES = ("lotus", "pagoda", "Faces", "watch")
IMAGES = 20
SIDE = 224


def main() -> None:
    """Learn, explain and draw."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder / "photographs")
        with running_service(folder / "data") as url, Client(url) as client:
            client.post("/v1/classifiers", {"name": "photographs"})
            upload = send_images(client, find_images(folder / "photographs"))
            path = "/v1/classifiers/photographs"
            wait(
                client, client.post(f"{path}/jobs", {"kind": "learn", "uploads": [upload.id]})["id"]
            )
            draw(client, f"{path}/predict")


def write_photographs(folder: Path) -> None:
    """Write the photographs as class folders."""
    images, labels, _, _, names = load_module().load("caltech101_photos")
    for name in CLASSES:
        own = [image for image, label in zip(images, labels, strict=True) if names[label] == name]
        (folder / name).mkdir(parents=True)
        for position, data in enumerate(own[:IMAGES]):
            (folder / name / f"{position}.jpg").write_bytes(data)


def draw(client: Client, path: str) -> None:
    """Draw the photograph beside its heat map."""
    photograph = Image.fromarray(load_sample_image("flower.jpg"))
    file = io.BytesIO()
    photograph.save(file, "PNG")
    (result,) = client.predict(path, [file.getvalue()], explain="true")["results"]
    print(result["label"], result["score"])
    heat = Image.open(io.BytesIO(base64.b64decode(result["heat_map"])))
    sheet = Image.new("RGB", (2 * SIDE, SIDE))
    for place, image in enumerate((photograph, heat)):
        sheet.paste(image.resize((SIDE, SIDE)), (place * SIDE, 0))
    sheet.save(PICTURE, quality=85)


if __name__ == "__main__":
    main()
