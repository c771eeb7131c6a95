"""NumPy arrays read from files; nothing is unpickled.

NumPy parses their headers as Python literals, in which some versions of CPython 3.11 fail when another
thread does the same ("recursion depth mismatch"). So no two threads read arrays at once.
"""

import threading
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

_one_at_a_time = threading.Lock()


def load_array(file: Path | IO[bytes], *, mapped: bool = False) -> np.ndarray:
    """Read an array, or map it into memory; raises as `numpy.load` does."""
    with _one_at_a_time:
        array: np.ndarray = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
    return array


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an archive by name; raises as `numpy.load` does."""
    with _one_at_a_time, np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def read_header(stream: Any) -> tuple[np.dtype, tuple[int, ...]]:
    """Read what comes before an array's numbers: their type and the shape.

    Raises
    ------
    ValueError
        When the header is damaged, or of a format for structured arrays.
    """
    version = npy.read_magic(stream)
    if version > (2, 0):
        raise ValueError(f"format {version} is for structured arrays")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with _one_at_a_time:
        shape, _, dtype = read(stream)
    return dtype, shape
