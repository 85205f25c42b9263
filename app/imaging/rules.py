"""The rules by which a file becomes pixels, by number; a version keeps those it was trained with.

| | 16-bit samples | transparent pixels |
|---|---|---|
| 1 | their upper eight bits | over white |
| 2 | the upper eight of the bits that the image uses | over white, or grey if white hides it |
"""

FIRST = 1
CURRENT = 2
