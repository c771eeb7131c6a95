"""Results that are expensive to compute, kept on disk under the hash of what they came from."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mixviz.arrays import load_arrays
from mixviz.runs.files import write_atomically

LARGEST = 4 << 30  # bytes of all artifacts together; the least recently used go first


def fingerprint(**parts: Any) -> str:
    """Return a hash of named values that JSON can write: the key of what is computed from them."""
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


class Artifacts:
    """A folder of NumPy archives by kind and key; safe to share between processes."""

    def __init__(self, folder: Path, largest: int = LARGEST):
        """Keep artifacts under `folder`, at most `largest` bytes of them."""
        self.folder, self.largest = folder, largest

    def path(self, kind: str, key: str) -> Path:
        """Where an artifact is, or would be."""
        return self.folder / kind / f"{key}.npz"

    def has(self, kind: str, key: str) -> bool:
        """Whether an artifact is there."""
        return self.path(kind, key).exists()

    def read(self, kind: str, key: str) -> dict[str, np.ndarray] | None:
        """Return the arrays of an artifact; None if it is not there, or damaged and so removed."""
        path = self.path(kind, key)
        try:
            arrays = load_arrays(path)
            path.touch()  # used now
        except FileNotFoundError:
            return None
        except (EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error):
            path.unlink(missing_ok=True)
            return None
        return arrays

    def write(self, kind: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store arrays, and remove what has not been used for longest where there is too much."""
        path = self.path(kind, key)
        write_atomically(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        self._evict(keep=path)

    def _evict(self, keep: Path) -> None:
        found = []
        for path in self.folder.glob("*/*.npz"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.largest:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size
