"""The one type in which every data set reaches a model."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from mixviz.errors import MixvizError

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


def joined(train: Dataset, test: Dataset) -> Dataset:
    """Return both parts of a data set as one, the training part first."""
    labels = None
    if train.labels is not None and test.labels is not None:
        labels = np.concatenate([train.labels, test.labels])
    return replace(train, split="all", x=np.concatenate([train.x, test.x]), labels=labels)


def labelled_subset(data: Dataset, count: int, seed: int) -> Dataset:
    """Choose `count` observations at random, as many of each class as of any other.

    Raises
    ------
    MixvizError
        When there are no labels, or too few observations of a class.
    """
    if data.labels is None:
        raise MixvizError(f"{data.name} has no labels, which this model needs; take another model.")
    classes = int(data.labels.max()) + 1
    order = np.random.default_rng(seed).permutation(len(data))
    each, more = divmod(count, classes)
    chosen = [
        order[data.labels[order] == label][: each + (label < more)] for label in range(classes)
    ]
    indices = np.sort(np.concatenate(chosen))
    if len(indices) < count or each == 0:
        raise MixvizError(
            f"{count} labelled observations cannot be shared out among {classes} classes of "
            f"{data.name}: give at least {classes} and at most {np.bincount(data.labels).min() * classes}."
        )
    return replace(data, x=data.x[indices], labels=data.labels[indices])
