"""Snapshots: what a run looked like at one step, as NumPy archives without pickles."""

import dataclasses
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixviz.arrays import load_arrays
from mixviz.runs.files import write_atomically


@dataclass(frozen=True, eq=False)
class Subsample:
    """The observations that every snapshot of a run shows: fixed for the run.

    Attributes
    ----------
    indices : (N,) positions in the evaluated split
    labels : (N,) true labels, or empty
    label_names
        As a JSON list.
    inputs : (M, *shape) the observations that are reconstructed; images are uint8
    points : (N, 2) the observations themselves for two-dimensional data, else empty
    """

    indices: np.ndarray
    labels: np.ndarray
    inputs: np.ndarray
    points: np.ndarray
    label_names: tuple[str, ...] = ()
    split: str = "test"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run at one step, over its subsample of N observations, with K components.

    Attributes
    ----------
    step, epoch, seconds
        When: steps done, epochs done, seconds of training.
    terms
        Terms of the objective over the subsample, nats.
    metrics
        Accuracies by mapping (`hungarian`, `majority`, `most_confident`),
        `effective_components`, `distinct_components`, `dead_components`, `confident_share`.
    plane
        `latent` when the latent space has two dimensions, else `pca`.
    points : (N, 2) float32, latents in the plane
    assignments : (N,) int16, most probable component
    confidences : (N,) float32, its probability
    means : (K, 2), covariances : (K, 2, 2), the components in the plane
    weights : (K,) p(c)
    usage : (K,) share of points assigned to each component
    overlap : (K, K) Bhattacharyya coefficient of each pair, in the whole latent space
    samples : (K, n, *shape) draws of p(x|c); uint8 images or float32 vectors
    reconstructions : (M, *shape), of `Subsample.inputs`
    density : (G, G) p(x) on a grid, rows along the second coordinate; empty above two dimensions
    density_extent : (4,) left, right, bottom, top of the grid
    centre : (D,), axes : (D, 2), the map from the latent space to the plane
    """

    step: int
    epoch: float
    seconds: float
    terms: dict[str, float]
    metrics: dict[str, float]
    verdict: str
    plane: str
    points: np.ndarray
    assignments: np.ndarray
    confidences: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    weights: np.ndarray
    usage: np.ndarray
    overlap: np.ndarray
    samples: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    reconstructions: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    density: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    density_extent: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    centre: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    axes: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.float32))


def write(record: Snapshot | Subsample, path: Path) -> None:
    """Write a snapshot or subsample: arrays as they are, everything else in one JSON member."""
    arrays: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        (arrays if isinstance(value, np.ndarray) else plain)[item.name] = value
    arrays["plain"] = np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)
    write_atomically(path, lambda file: np.savez(file, **arrays))


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot; raise `OSError` or `ValueError` if the file is missing or damaged."""
    return Snapshot(**_read(path))


def read_subsample(path: Path) -> Subsample:
    """Read a subsample; raise `OSError` or `ValueError` if the file is missing or damaged."""
    values = _read(path)
    values["label_names"] = tuple(values["label_names"])
    return Subsample(**values)


def _read(path: Path) -> dict:
    try:
        values: dict[str, Any] = {**load_arrays(path)}
        plain = json.loads(values.pop("plain").tobytes())
        return {**values, **plain}
    except (AttributeError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged") from error
