"""What the model makes of a set of observations: latents, responsibilities, samples, scores."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixviz.data import Dataset
from mixviz.embedding import Plane
from mixviz.errors import MixvizError
from mixviz.evaluation import (
    MAPPINGS,
    accuracies,
    bhattacharyya,
    clustering_scores,
    degeneracy,
    verdict,
)
from mixviz.evaluation.stability import silhouette
from mixviz.models import MixtureModel
from mixviz.models.objectives import quick_exp
from mixviz.runs import Snapshot, Subsample
from mixviz.training.device import stream

STRIP = 8  # samples per component
RECONSTRUCTED = 12
TERM_POINTS = 1000
GRID = 40  # cells along each side of the density picture
BATCH = {True: 1_000, False: 500}  # by whether observations are vectors


class Diverged(MixvizError):
    """A weight, a latent or a term of the objective is not finite."""


@contextmanager
def evaluating(model: MixtureModel) -> Iterator[None]:
    """Put the model into evaluation mode without gradients, and back."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


@dataclass(frozen=True)
class Encoded:
    """Latent means (N, D) and log-responsibilities (N, K) of N observations, on the CPU."""

    latents: np.ndarray
    log_responsibilities: np.ndarray

    @cached_property
    def responsibilities(self) -> np.ndarray:
        """Probabilities of the components (N, K), at least 2e-35."""
        return quick_exp(torch.from_numpy(self.log_responsibilities)).numpy()

    @cached_property
    def assignments(self) -> np.ndarray:
        """Most probable component (N,)."""
        return self.responsibilities.argmax(1).astype(np.int16)

    @cached_property
    def confidences(self) -> np.ndarray:
        """Probability of the most probable component (N,)."""
        confidences: np.ndarray = self.responsibilities.max(1)
        return confidences


def encode(model: MixtureModel, x: Tensor) -> Encoded:
    """Encode observations (N, *shape) batch by batch; call within `evaluating`.

    Raises
    ------
    Diverged
        When a latent or a responsibility is not finite.
    """
    latents, log_responsibilities = [], []
    for batch in x.split(BATCH[x.ndim == 2]):
        means, log_c = model.encode(batch)
        latents.append(means.float().cpu())
        log_responsibilities.append(log_c.float().cpu())
    encoded = Encoded(torch.cat(latents).numpy(), torch.cat(log_responsibilities).numpy())
    for name in ("latents", "responsibilities"):
        if not np.isfinite(getattr(encoded, name)).all():
            raise Diverged(f"The model has diverged: its {name} are not finite.")
    return encoded


def reconstruct(model: MixtureModel, x: Tensor) -> Tensor:
    """Decode the latents of observations (B, *shape) as members of their components."""
    latents, log_responsibilities = model.encode(x)
    return model.decode(latents, log_responsibilities.argmax(1))


def mean_terms(model: MixtureModel, x: Tensor, seed: int) -> dict[str, float]:
    """Terms of the objective, nats, mean over observations; the same draws at every call."""
    generator = stream(seed, "evaluation", device=x.device)
    totals: dict[str, float] = {}
    for batch in x.split(BATCH[x.ndim == 2]):
        for name, value in model.evaluate_terms(batch, generator).items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(batch) / len(x)
    return totals


def mixture_arrays(model: MixtureModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (K, D), covariances (K, D) or (K, D, D) and weights (K,) of the components."""
    mixture = model.components()
    spread = mixture.variances if mixture.covariances is None else mixture.covariances
    return (
        mixture.means.cpu().double().numpy(),  # Apple's GPUs have no double precision
        spread.cpu().double().numpy(),
        mixture.weights.cpu().double().numpy(),
    )


def usage_of(assignments: np.ndarray, components: int) -> np.ndarray:
    """Share of points assigned to each component (K,)."""
    counts = np.bincount(assignments, minlength=components)
    return (counts / max(len(assignments), 1)).astype(np.float32)


def score(encoded: Encoded, labels: np.ndarray | None, overlap: np.ndarray) -> dict[str, float]:
    """Degeneracy figures and, where there are labels, the three accuracies."""
    components = encoded.responsibilities.shape[1]
    usage = usage_of(encoded.assignments, components)
    metrics = degeneracy(encoded.responsibilities, usage, overlap)
    if labels is not None and len(labels):
        metrics |= accuracies(encoded.log_responsibilities, labels)
    return metrics


class Observer:
    """Takes the snapshots of one run, always of the same observations."""

    def __init__(self, data: Dataset, count: int, seed: int, device: torch.device):
        """Choose at most `count` observations of the evaluated split."""
        order = np.random.default_rng(seed).permutation(len(data))
        indices = np.sort(order[:count])
        self.x = torch.from_numpy(data.x[indices]).to(device)
        self.seed = seed
        self.labels = None if data.labels is None else data.labels[indices]
        self.vectors = data.kind == "vector"
        self.planar = data.shape == (2,)
        inputs = data.x[indices[:: max(1, len(indices) // RECONSTRUCTED)][:RECONSTRUCTED]]
        self._inputs = torch.from_numpy(inputs).to(device)
        self.subsample = Subsample(
            indices=indices,
            labels=np.empty(0, np.int64) if self.labels is None else self.labels,
            inputs=self._pixels(self._inputs),
            points=data.x[indices] if self.planar else np.empty((0, 2), np.float32),
            label_names=data.label_names,
            split=data.split,
        )
        self.history: list[tuple[int, dict[str, float]]] = []
        self.plane: Plane | None = None
        if self.planar:
            self._grid, self._extent = _grid(data.x, device)

    def recall(self, history: list[tuple[int, dict[str, float]]], last: Snapshot | None) -> None:
        """Carry on from the snapshots of an earlier process."""
        self.history = history
        if last is not None and len(last.centre):
            self.plane = Plane(last.plane, last.centre, last.axes)

    def snapshot(self, model: MixtureModel, step: int, epoch: float, seconds: float) -> Snapshot:
        """Return what the model makes of the observations now; the model is left as it was."""
        with evaluating(model):
            encoded = encode(model, self.x)
            means, covariances, weights = mixture_arrays(model)
            every = -(-len(self.x) // TERM_POINTS)  # rows may be in the order of their classes
            terms = mean_terms(model, self.x[::every], self.seed)
            pictures = self._pictures(model)
        overlap = bhattacharyya(means, covariances)
        metrics = score(encoded, self.labels, overlap)
        self.history.append((step, metrics))
        self.plane = Plane.fit(encoded.latents, self.plane)
        return Snapshot(
            step=step,
            epoch=epoch,
            seconds=seconds,
            terms={name: value for name, value in terms.items() if math.isfinite(value)},
            metrics=metrics,
            verdict=verdict(len(weights), self.history),
            plane=self.plane.name,
            points=self.plane.project(encoded.latents).astype(np.float32),
            assignments=encoded.assignments,
            confidences=encoded.confidences,
            means=self.plane.project(means).astype(np.float32),
            covariances=self.plane.project_covariances(covariances).astype(np.float32),
            weights=weights.astype(np.float32),
            usage=usage_of(encoded.assignments, len(weights)),
            overlap=overlap,
            centre=self.plane.centre,
            axes=self.plane.axes,
            **pictures,
        )

    def _pictures(self, model: MixtureModel) -> dict[str, np.ndarray]:
        generator = stream(self.seed, "snapshot", device=self.x.device)
        count = model.config.components
        each = torch.arange(count, device=self.x.device).repeat_interleave(STRIP)
        samples = model.sample(each, generator).unflatten(0, (count, STRIP))
        pictures = {
            "samples": self._pixels(samples),
            "reconstructions": self._pixels(reconstruct(model, self._inputs)),
        }
        if self.planar:
            density = model.log_density(self._grid, generator)
            if density is not None:
                pictures["density"] = density.exp().reshape(GRID, GRID).float().cpu().numpy()
                pictures["density_extent"] = self._extent
        return pictures

    def _pixels(self, values: Tensor) -> np.ndarray:
        if self.vectors:
            return values.float().cpu().numpy()
        return (values.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _grid(x: np.ndarray, device: torch.device) -> tuple[Tensor, np.ndarray]:
    """Points of a GRID x GRID lattice around the data, rows along the second coordinate."""
    low, high = x.min(0), x.max(0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    first, second = (
        np.linspace(a, b, GRID, dtype=np.float32) for a, b in zip(low, high, strict=True)
    )
    rows = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    return torch.from_numpy(rows).to(device), np.array(
        [low[0], high[0], low[1], high[1]], np.float32
    )


def evaluate(model: MixtureModel, data: Dataset, seed: int, device: torch.device) -> dict[str, Any]:
    """Score a model on a whole split.

    Returns
    -------
    dict
        `terms` (nats, mean over the split), `accuracy` by mapping, `nmi`, `ari`,
        `silhouette` (of the latents; None where all are in one cluster), `effective_components`,
        `dead_components`, `confident_share`, `split`, `dataset`; the scores that need labels are
        None without them. `classifiers` has the accuracy by mapping of each classifier, where there
        are labels and a model with several.
    """
    x = torch.from_numpy(data.x).to(device)
    with evaluating(model):
        encoded = encode(model, x)
        classifiers = {} if data.labels is None else by_classifier(model, x, data.labels)
        means, covariances, _ = mixture_arrays(model)
        terms = mean_terms(model, x, seed)
    metrics = score(encoded, data.labels, bhattacharyya(means, covariances))
    labels = data.labels
    agreement = {} if labels is None else clustering_scores(encoded.assignments, labels)
    return {
        "terms": {k: v if math.isfinite(v) else None for k, v in terms.items()},
        "accuracy": {name: metrics[name] for name in MAPPINGS} if agreement else None,
        "nmi": agreement.get("nmi"),
        "ari": agreement.get("ari"),
        "silhouette": silhouette(encoded.latents, encoded.assignments),
        "effective_components": metrics["effective_components"],
        "distinct_components": metrics["distinct_components"],
        "dead_components": metrics["dead_components"],
        "confident_share": metrics["confident_share"],
        "split": data.split,
        "dataset": data.name,
        "verdict": verdict(len(means), [(0, metrics)]),
        **({"classifiers": classifiers} if classifiers else {}),
    }


def by_classifier(
    model: MixtureModel, x: Tensor, labels: np.ndarray
) -> dict[str, dict[str, float]]:
    """Accuracy by mapping of each classifier on observations (N, *shape); call within `evaluating`."""
    parts: dict[str, list[np.ndarray]] = {}
    for batch in x.split(BATCH[x.ndim == 2]):
        for name, log_c in model.classifiers(batch).items():
            parts.setdefault(name, []).append(log_c.float().cpu().numpy())
    return {name: accuracies(np.concatenate(found), labels) for name, found in parts.items()}
