"""The one type in which every data set reaches a model."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

Kind = Literal["vector", "image"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Observations, and the labels they are scored against.

    Attributes
    ----------
    name, split
        What was loaded. `split` is `train`, `test`, or `all` where a set has no official split.
    x : float32 array, (N, D) for vectors, (N, C, H, W) for images
    labels : int64 array (N,), optional
        Used for scoring only; no unsupervised model is shown them.
    label_names
        One name per class.
    scaling
        How pixels or features were scaled, in words.
    """

    name: str
    split: str
    x: np.ndarray
    kind: Kind
    scaling: str
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation: (D,) or (C, H, W)."""
        return self.x.shape[1:]

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the observations and labels, in hexadecimal."""
        digest = hashlib.sha256(f"{self.x.dtype}{self.x.shape}".encode())
        digest.update(np.ascontiguousarray(self.x).data)
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()
