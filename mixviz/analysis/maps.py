"""Maps of what a run makes of a data set, computed once and kept; where prior samples lie in them."""

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import ValidationError

from mixviz.analysis.encoded import KIND as ENCODED
from mixviz.analysis.encoded import (
    Encoding,
    Report,
    checkpoint_hash,
    encode_run,
    saved_model,
)
from mixviz.embedding import SETTINGS, Plane, TSNESettings, UMAPSettings, fit_map, placing
from mixviz.runs import RunStore
from mixviz.runs.artifacts import fingerprint

KIND = "map"
PLACED = "placed"
_MIXTURE = "mixture"
_SAMPLE_SEED = 0


@dataclass(frozen=True)
class MapChoice:
    """Which map of which observations: everything that its coordinates depend on.

    Attributes
    ----------
    run, dataset, part
        As for `encode_run`.
    method
        A key of `mixviz.embedding.SETTINGS`.
    dimensions
        2 or 3.
    settings
        Those that differ from the defaults.
    """

    run: str
    dataset: str
    part: str
    method: str
    dimensions: int = 2
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def full_settings(self) -> TSNESettings | UMAPSettings:
        """The settings, checked, with defaults; raises `MixvizError` where one is not valid."""
        config = SETTINGS[self.method]
        try:
            return config.model_validate(self.settings)
        except ValidationError as error:
            from mixviz.models.config import invalid  # imports PyTorch

            raise invalid(config, error) from error

    def key(self, encoding: str) -> str:
        """Key of the artifact, given that of the encoding."""
        return fingerprint(
            encoding=encoding,
            method=self.method,
            dimensions=self.dimensions,
            settings=self.full_settings.model_dump(),
        )

    def parameters(self) -> dict[str, Any]:
        """Parameters of the tasks that compute it."""
        return {
            "run": self.run,
            "dataset": self.dataset,
            "part": self.part,
            "method": self.method,
            "dimensions": self.dimensions,
            "settings": self.settings,
        }


@dataclass(frozen=True, eq=False)
class Mixture:
    """The components of a run's model in latent space.

    Attributes
    ----------
    means : (K, D)
    covariances : (K, D) diagonals, or (K, D, D)
    weights : (K,)
    """

    means: np.ndarray
    covariances: np.ndarray
    weights: np.ndarray

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the same latents (count, D) float32 and their components (count,) at every call."""
        rng = np.random.default_rng(_SAMPLE_SEED)
        weights = np.maximum(self.weights, 0)
        components = rng.choice(len(weights), size=count, p=weights / weights.sum())
        noise = rng.standard_normal((count, self.means.shape[1]))
        if self.covariances.ndim == 2:
            spread = np.sqrt(self.covariances)[components] * noise
        else:
            spread = np.empty_like(noise)
            for k, covariance in enumerate(self.covariances):
                values, vectors = np.linalg.eigh(covariance)
                factor = vectors * np.sqrt(values.clip(min=0))
                spread[components == k] = noise[components == k] @ factor.T
        return (self.means[components] + spread).astype(np.float32), components


@dataclass(frozen=True, eq=False)
class Map:
    """Where N observations, and samples of the prior, lie in two or three dimensions.

    Attributes
    ----------
    key
        Changes whenever anything else does.
    method
        `tsne`, `umap`, `pca` or `latent`.
    points : (N, d) float32
    prior : (M, d) float32, samples of the mixture; M = 0 where they cannot be placed
    prior_components : (M,)
    plane
        The map itself where it is linear.
    """

    key: str
    method: str
    points: np.ndarray
    prior: np.ndarray
    prior_components: np.ndarray
    plane: Plane | None = None


def mixture_key(store: RunStore, run: str) -> str:
    """Key under which the components of a run's model are kept."""
    return fingerprint(checkpoint=checkpoint_hash(store, run))


def mixture_of(store: RunStore, run: str) -> Mixture:
    """Return the components of a run's model, without loading it when they were asked for before."""
    key = mixture_key(store, run)
    kept = store.artifacts.read(_MIXTURE, key)
    if kept is None:
        import torch

        from mixviz.training.observe import mixture_arrays

        with torch.no_grad():
            means, covariances, weights = mixture_arrays(saved_model(store, run).model)
        kept = {"means": means, "covariances": covariances, "weights": weights}
        store.artifacts.write(_MIXTURE, key, kept)
    return Mixture(**kept)


def principal_plane(store: RunStore, run: str, latents: np.ndarray, dimensions: int = 2) -> Plane:
    """Plane of the principal axes of latents (N, D), turned as the run's last snapshot shows it."""
    last = None
    if steps := store.snapshot_steps(run):
        with suppress(OSError, ValueError):  # removed meanwhile, or damaged
            shown = store.snapshot(run, steps[-1])
            last = Plane(shown.plane, shown.centre, shown.axes)
    return Plane.fit(latents, last, dimensions)


def linear_map(encoding: Encoding, mixture: Mixture, plane: Plane, prior_samples: int) -> Map:
    """Map an encoding into a plane of the latent space, or a space of three dimensions."""
    prior, components = mixture.sample(prior_samples)
    axes = fingerprint(axes=plane.axes.tolist(), centre=plane.centre.tolist())
    return Map(
        key=fingerprint(encoding=encoding.key, axes=axes, prior=prior_samples),
        method=plane.name,
        points=plane.project(encoding.latents).astype(np.float32),
        prior=plane.project(prior).astype(np.float32),
        prior_components=components,
        plane=plane,
    )


def make_map(
    store: RunStore,
    report: Report,
    run: str,
    dataset: str,
    part: str,
    method: str,
    dimensions: int,
    settings: dict[str, Any],
    kept: tuple[str, str] | None = None,
) -> None:
    """Compute a map and place samples of the prior in it, as a task.

    Parameters
    ----------
    kept
        Keys of the encoding and of the mixture, where they are known to be kept: what is read by
        its key needs no PyTorch, whose import would take most of a small map's time.
    """
    choice = MapChoice(run, dataset, part, method, dimensions, settings)
    chosen = choice.full_settings
    report(0.0, "Loading latents")
    found = _read_kept(store, *kept) if kept else None
    if found is None:
        encoding = encode_run(store, run, dataset, part, report)
        found = encoding.key, encoding.latents, mixture_of(store, run)
    key, encoded, mixture = found
    prior, components = mixture.sample(chosen.prior_samples)
    latents = encoded
    if chosen.together:
        latents = np.concatenate([latents, prior])
    report(0.0, f"Finding the neighbours of {len(latents):,} points")
    coordinates, place = fit_map(
        method,
        latents,
        chosen,
        dimensions,
        lambda share: report(0.9 * share, f"Arranging {len(latents):,} points"),
    )
    if chosen.together:
        points, placed = np.split(coordinates, [len(encoded)])
    elif place is None or not len(prior):
        points, placed, components = coordinates, np.empty((0, dimensions)), components[:0]
    else:
        report(0.9, f"Placing {len(prior):,} prior samples")
        points, placed = coordinates, place(prior)
    store.artifacts.write(
        KIND,
        choice.key(key),
        {
            "points": points.astype(np.float32),
            "prior": placed.astype(np.float32),
            "prior_components": components,
        },
    )


def _read_kept(
    store: RunStore, encoding: str, mixture: str
) -> tuple[str, np.ndarray, Mixture] | None:
    """Return the key and the latents of an encoding, and a mixture; None if they are gone."""
    encoded = store.artifacts.read(ENCODED, encoding)
    components = store.artifacts.read(_MIXTURE, mixture)
    if encoded is None or components is None:
        return None
    return encoding, encoded["latents"], Mixture(**components)


def read_map(store: RunStore, choice: MapChoice, encoding: Encoding) -> Map | None:
    """Return a map that was computed before, or None."""
    key = choice.key(encoding.key)
    kept = store.artifacts.read(KIND, key)
    if kept is None:
        return None
    return Map(key, choice.method, kept["points"], kept["prior"], kept["prior_components"])


def placed_key(map_key: str, other: str) -> str:
    """Key of another encoding's points in a map."""
    return fingerprint(map=map_key, encoding=other)


def place_points(
    store: RunStore, report: Report, other_dataset: str, other_part: str, **choice: Any
) -> None:
    """Place another data set in a map that was computed before, as a task."""
    chosen = MapChoice(**choice)
    encoding = encode_run(store, chosen.run, chosen.dataset, chosen.part, report)
    other = encode_run(store, chosen.run, other_dataset, other_part, report)
    found = read_map(store, chosen, encoding)
    if found is None:
        make_map(store, report, **choice)
        found = read_map(store, chosen, encoding)
    assert found is not None
    settings = chosen.full_settings
    report(0.1, "Finding neighbours")
    latents, coordinates = encoding.latents, found.points
    if settings.together:
        prior, _ = mixture_of(store, chosen.run).sample(settings.prior_samples)
        latents = np.concatenate([latents, prior])
        coordinates = np.concatenate([coordinates, found.prior])
    place = placing(chosen.method, latents, coordinates, settings)
    report(0.5, f"Placing {len(other.latents):,} points")
    points = np.empty((0, chosen.dimensions), np.float32) if place is None else place(other.latents)
    store.artifacts.write(PLACED, placed_key(found.key, other.key), {"points": points})


__all__ = [
    "KIND",
    "PLACED",
    "Map",
    "MapChoice",
    "Mixture",
    "linear_map",
    "make_map",
    "mixture_key",
    "mixture_of",
    "place_points",
    "placed_key",
    "principal_plane",
    "read_map",
]
