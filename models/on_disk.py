"""Images in a memory-mapped file: the kernel is asked to read them before they are needed."""

import ctypes
import mmap

from torch import Tensor

_MADV_WILLNEED = 3  # Linux, and other systems
_LIBC = ctypes.CDLL(None)
_LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def read_ahead(images: Tensor, positions: Tensor) -> None:
    """Ask for the pages of contiguous `images` [N, …] on the CPU at positions [n]; wait for none.

    It is a hint: the images are the same without it, after a wait for the disk.
    """
    size = images[0].nbytes
    for position in positions.tolist():
        start = images.data_ptr() + position * size
        first = start - start % mmap.PAGESIZE
        _LIBC.madvise(first, start + size - first, _MADV_WILLNEED)
