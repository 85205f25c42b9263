"""The rules by which a file becomes pixels, by number; a version keeps those it was trained with.

| | 16-bit samples | transparent pixels | resized |
|---|---|---|---|
| 1 | their upper eight bits | over white | by Pillow |
| 2 | the upper eight of the bits in use | over white, or grey if white hides it | by Pillow |
| 3 | as 2 | as 2 | by PyTorch from 64 pixels a side, if not to a quarter or less; else by Pillow |

PyTorch's pixels are within one level of Pillow's, except where `crop` cuts half a pixel off: Pillow
weighs it, and PyTorch begins at a whole one.
"""

FIRST = 1
SECOND = 2
CURRENT = 3
