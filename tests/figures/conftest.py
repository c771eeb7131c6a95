"""Snapshots made by hand, and the inverse of packing."""

import base64
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from mixviz.runs.snapshots import Snapshot, Subsample

K, N = 4, 200


def _make(step: int = 100, components: int = K, n: int = N, **changes) -> Snapshot:
    """Make a snapshot of `components` separated clusters, the last of them unused."""
    generator = np.random.default_rng(step)
    means = 5 * generator.standard_normal((components, 2))
    roots = generator.standard_normal((components, 2, 2))
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(2)
    assignments = generator.integers(0, max(components - 1, 1), n).astype(np.int16)
    points = means[assignments] + generator.standard_normal((n, 2))
    usage = np.bincount(assignments, minlength=components) / n
    snapshot = Snapshot(
        step=step,
        epoch=step / 10,
        seconds=1.0,
        terms={"z_prior": 1.25, "reconstruction": -90.0},
        metrics={"hungarian": 0.9, "majority": 0.8},
        verdict="",
        plane="latent",
        points=points.astype(np.float32),
        assignments=assignments,
        confidences=generator.random(n).astype(np.float32),
        means=means,
        covariances=covariances,
        weights=np.full(components, 1 / components),
        usage=usage,
        overlap=np.eye(components),
        samples=generator.integers(0, 256, (components, 3, 1, 8, 8)).astype(np.uint8),
        reconstructions=generator.integers(0, 256, (5, 1, 8, 8)).astype(np.uint8),
    )
    return dataclasses.replace(snapshot, **changes)


def _unpack(spec: dict) -> np.ndarray:
    array = np.frombuffer(base64.b64decode(spec["bdata"]), "<" + spec["dtype"])
    return array.reshape(
        [int(size) for size in spec["shape"].split(",")] if "shape" in spec else -1
    )


@pytest.fixture(scope="session")
def make_snapshot() -> Callable[..., Snapshot]:
    """What makes a snapshot, with any of its values given."""
    return _make


@pytest.fixture(scope="session")
def unpacked() -> Callable[[dict], np.ndarray]:
    """What reads a packed array back."""
    return _unpack


@pytest.fixture
def snapshot() -> Snapshot:
    """Four components in two dimensions, the last unused."""
    return _make()


@pytest.fixture
def subsample() -> Subsample:
    """Labelled observations for `snapshot`."""
    generator = np.random.default_rng(7)
    return Subsample(
        indices=np.arange(N),
        labels=np.arange(N) % 3,
        inputs=generator.integers(0, 256, (5, 1, 8, 8)).astype(np.uint8),
        points=generator.standard_normal((N, 2)).astype(np.float32),
        label_names=("zero", "<b>one</b>", "two"),
    )


@pytest.fixture
def diverged() -> Snapshot:
    """A snapshot in which nothing is finite or of a sensible size."""
    wild = _make(
        density=np.full((8, 8), np.nan, np.float32),
        density_extent=np.array([np.nan, 1, -np.inf, 1]),
    )
    wild.points[::2] = np.nan
    wild.points[1::4] = 1e30
    wild.confidences[::3] = np.nan
    wild.means[0], wild.means[1] = np.nan, np.inf
    wild.covariances[2] = np.inf
    wild.usage[0] = np.nan
    wild.overlap[0, 1] = np.nan
    return dataclasses.replace(wild, terms={"z_prior": float("nan")})
