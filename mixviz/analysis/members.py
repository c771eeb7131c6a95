"""What lies in the clusters of a run, and how they compare to those of another seed."""

import numpy as np
import torch

from mixviz.analysis.encoded import (
    Encoding,
    Report,
    checkpoint_hash,
    encode_run,
    saved_model,
)
from mixviz.errors import MixvizError
from mixviz.evaluation import bhattacharyya
from mixviz.evaluation.merging import Clustering
from mixviz.evaluation.stability import agreement, silhouette
from mixviz.runs import Run, RunStore
from mixviz.runs.artifacts import fingerprint
from mixviz.training.checkpoints import has_checkpoint
from mixviz.training.config import configuration
from mixviz.training.observe import mixture_arrays
from mixviz.training.saved import Saved

ORDERS = ("most confident", "least confident", "random")


def encode_task(
    store: RunStore, report: Report, run: str, dataset: str | None = None, part: str | None = None
) -> None:
    """Encode a data set with a run's model, as a task."""
    encode_run(store, run, dataset, part, report)


def mixture_of(saved: Saved) -> tuple[np.ndarray, np.ndarray]:
    """Means (K, D) and covariances (K, D) or (K, D, D) of a model's components."""
    with torch.no_grad():
        means, covariances, _ = mixture_arrays(saved.model)
    return means, covariances


def overlap_of(store: RunStore, run: str) -> np.ndarray:
    """Bhattacharyya coefficients (K, K) of a run's components, in the whole latent space."""
    key = checkpoint_hash(store, run)
    kept = store.artifacts.read("overlap", key)
    if kept is None:
        means, covariances = mixture_of(saved_model(store, run))
        kept = {"overlap": bhattacharyya(means, covariances)}
        store.artifacts.write("overlap", key, kept)
    return kept["overlap"]


def silhouette_of(store: RunStore, encoding: Encoding, clustering: Clustering) -> float | None:
    """Silhouette of a clustering in latent space, kept as an artifact."""
    key = fingerprint(encoding=encoding.key, groups=clustering.groups.tolist())
    kept = store.artifacts.read("silhouette", key)
    if kept is None:
        value = silhouette(encoding.latents, clustering.assignments)
        kept = {"value": np.array(np.nan if value is None else value)}
        store.artifacts.write("silhouette", key, kept)
    value = float(kept["value"])
    return None if np.isnan(value) else value


def twins(store: RunStore, run: Run, among: int = 1000) -> list[Run]:
    """Runs of the same configuration with another seed, newest first."""
    wanted = configuration(run.config)
    return [
        other
        for other in store.runs(among)
        if other.id != run.id
        and (other.model, other.dataset) == (run.model, run.dataset)
        and other.config["run"].get("seed") != run.config["run"].get("seed")
        and configuration(other.config) == wanted
        and has_checkpoint(store.checkpoint_folder(other.id))
    ]


def stability(store: RunStore, run: str, other: str) -> float:
    """Adjusted Rand index of two runs' assignments on the data of the first.

    Raises
    ------
    MixvizError
        When the data have another shape than the other run's, or a run has no checkpoint.
    """
    first = encode_run(store, run)
    second = encode_run(store, other, first.data.name, first.data.split)
    if len(first.assignments) != len(second.assignments):
        raise MixvizError("The two runs were not asked about the same observations.")
    return agreement(first.assignments, second.assignments)


def mean_members(x: np.ndarray, assignments: np.ndarray, groups: int) -> np.ndarray:
    """Mean observation of each group (G, *shape); zeros for empty groups."""
    flat = x.reshape(len(x), -1)
    counts = np.bincount(assignments, minlength=groups)
    means = np.zeros((groups, flat.shape[1]))
    for g in np.flatnonzero(counts):
        means[g] = flat[assignments == g].mean(0, dtype=np.float64)
    return means.reshape(groups, *x.shape[1:]).astype(np.float32)


def chosen_members(clustering: Clustering, group: int, count: int, order: str) -> np.ndarray:
    """Indices of at most `count` observations of a group, in one of `ORDERS`."""
    ranked = clustering.ranked(group)
    if order == "least confident":
        return ranked[::-1][:count]
    if order == "random":
        drawn = np.random.default_rng(group).permutation(len(ranked))[:count]
        return ranked[np.sort(drawn)]
    return ranked[:count]


def nearest_groups(affinity: np.ndarray, count: int = 3) -> list[list[int]]:
    """The groups nearest to each by affinity (G, G), nearest first, at most `count`."""
    order = np.argsort(-affinity, axis=1, kind="stable")
    return [[int(h) for h in row if h != g][:count] for g, row in enumerate(order)]
