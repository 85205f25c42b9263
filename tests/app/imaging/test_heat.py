"""Pictures of heat maps."""

import io

import numpy as np
from PIL import Image

from app.imaging.heat import overlaid


def test_the_picture_is_red_where_the_heat_is() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 1
    white = np.full((100, 100, 3), 255, np.uint8)
    picture = np.asarray(Image.open(io.BytesIO(overlaid(white, heat)))).astype(int)
    assert picture.shape == (300, 300, 3)
    redness = picture[..., 0] - picture[..., 2]
    assert redness[20, 280] > 80
    assert redness[280, 20] < 0
