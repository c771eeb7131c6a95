"""Files that appear whole or not at all, and how their arrays are read back."""

import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

# NumPy parses the heads of arrays as Python literals, in which some versions of CPython 3.11 fail when
# another thread does the same ("recursion depth mismatch").
reading_heads = threading.Lock()


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside `path`, flush it to disk, then rename it onto `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a NumPy archive by name; nothing is unpickled."""
    with reading_heads, np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
