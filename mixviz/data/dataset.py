"""The one type in which every data set reaches a model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    columns
        What else is known of the observations, by name: numbers (N,), or texts (N,) as objects. No
        model sees them.
    """

    name: str
    split: str
    x: np.ndarray
    kind: Kind
    scaling: str
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

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


def part(split: str) -> str:
    """What part of a data set a split is, in words."""
    return "whole set" if split == "all" else f"{split} split"


def joined(train: Dataset, test: Dataset) -> Dataset:
    """Return both parts of a data set as one, the training part first."""
    labels = None
    if train.labels is not None and test.labels is not None:
        labels = np.concatenate([train.labels, test.labels])
    x = np.concatenate([train.x, test.x])
    columns = {
        name: np.concatenate([values, test.columns[name]])
        for name, values in train.columns.items()
        if name in test.columns
    }
    return replace(train, split="all", x=x, labels=labels, columns=columns)


def labelled_subset(
    data: Dataset, count: int, seed: int, choice: Literal["shares", "random"] = "shares"
) -> Dataset:
    """Choose `count` observations at random.

    Parameters
    ----------
    choice
        `shares`: of each class as many as its share, but at least one, so that a model that takes the
        frequencies of the classes from them is not misled by the luck of the draw. `random`: without
        a look at any label.

    Raises
    ------
    MixvizError
        When there are no labels, more asked for than observations, or, by shares, fewer than classes.
    """
    if data.labels is None:
        raise MixvizError(f"{data.name} has no labels, which this model needs; take another model.")
    order = np.random.default_rng(seed).permutation(len(data))
    if choice == "random":
        if count > len(data):
            raise MixvizError(
                f"{count} labelled observations of {data.name} cannot be chosen: give at most {len(data)}."
            )
        return _chosen(data, order[:count])
    classes, belongs, sizes = np.unique(data.labels[order], return_inverse=True, return_counts=True)
    if not len(classes) <= count <= len(data):
        raise MixvizError(
            f"{count} labelled observations of {data.name} cannot be chosen: give at least "
            f"{len(classes)}, one of each class, and at most {len(data)}."
        )
    turns = np.empty(len(order))  # a class of n comes again after every 1/n of all turns
    for number, size in enumerate(sizes):
        turns[belongs == number] = [-1, *(np.arange(1, size) + 0.5) / size]
    return _chosen(data, order[np.argsort(turns, kind="stable")[:count]])


def _chosen(data: Dataset, rows: np.ndarray) -> Dataset:
    """Return some rows of data with labels, in their order."""
    assert data.labels is not None
    indices = np.sort(rows)
    columns = {name: values[indices] for name, values in data.columns.items()}
    return replace(data, x=data.x[indices], labels=data.labels[indices], columns=columns)
