"""Two-dimensional point sets of the papers."""

import numpy as np

from mixviz.data.dataset import Dataset

POINTS = 10_000
CLASSES = 5
_SPLIT_SEEDS = {"train": 0, "test": 1}


def arcs(split: str) -> Dataset:
    """Five arcs of circles (GMVAE, section 4.1): 10,000 points, fresh draws for each split."""
    rng = np.random.default_rng(_SPLIT_SEEDS[split])
    k = rng.integers(CLASSES, size=POINTS)
    theta = 2 * np.pi * k / CLASSES
    radius = 0.4 + 0.025 * rng.standard_normal(POINTS)
    angle = theta + np.pi / 2 + 0.5 * rng.standard_normal(POINTS)
    x = 0.6 * np.cos(theta) + radius * np.cos(angle)
    y = 0.6 * np.sin(theta) + radius * np.sin(angle)
    return _points("arcs", split, x, y, k)


def pinwheel(split: str) -> Dataset:
    """Five bent arms (Johnson et al. 2016): 10,000 points, fresh draws for each split."""
    rng = np.random.default_rng(_SPLIT_SEEDS[split])
    k = rng.integers(CLASSES, size=POINTS)
    r = 1 + 0.3 * rng.standard_normal(POINTS)
    t = 0.05 * rng.standard_normal(POINTS)
    a = 2 * np.pi * k / CLASSES + 0.25 * np.exp(r)
    x = 10 * (r * np.cos(a) + t * np.sin(a))
    y = 10 * (-r * np.sin(a) + t * np.cos(a))
    return _points("pinwheel", split, x, y, k)


def _points(name: str, split: str, x: np.ndarray, y: np.ndarray, k: np.ndarray) -> Dataset:
    return Dataset(
        name=name,
        split=split,
        x=np.stack([x, y], axis=1).astype(np.float32),
        kind="vector",
        scaling="none",
        labels=k.astype(np.int64),
        label_names=tuple(f"arm {i + 1}" for i in range(CLASSES)),
    )
