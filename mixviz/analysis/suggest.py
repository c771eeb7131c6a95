"""How to begin to cluster a data set: K by the BIC of Gaussian mixtures, and what goes with it."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixviz.data import load, source
from mixviz.errors import MixvizError
from mixviz.runs import RunStore
from mixviz.runs.artifacts import fingerprint

if TYPE_CHECKING:
    from mixviz.training.config import Plan

KIND = "suggested-components"
TASK = "mixviz.analysis.suggest:suggest_components"

POINTS = 2_000
PATIENCE = 4  # candidates without a lesser criterion, after which no more are tried
DIMENSIONS = 10
VARIANCE = 0.9  # of the data, that the principal components hold, as far as DIMENSIONS go
CANDIDATES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 25, 30)

Report = Callable[[float, str], object]


@dataclass(frozen=True, eq=False)
class Suggestion:
    """How well mixtures of each size describe a subsample.

    Attributes
    ----------
    candidates, criteria
        Numbers of components, and the Bayesian information criterion of each (nats times two; the
        less the better), both (M,).
    points, dimensions, variance
        Size of the subsample, of its principal components, and their share of the variance.
    """

    candidates: np.ndarray
    criteria: np.ndarray
    points: int
    dimensions: int
    variance: float

    @property
    def components(self) -> int:
        """The candidate with the least criterion; at least 2, because one is no clustering."""
        return max(2, int(self.candidates[self.criteria.argmin()]))

    def in_words(self) -> str:
        """Say what was suggested and how it was found, and where it says little."""
        best = int(self.candidates[self.criteria.argmin()])
        how = (
            f"Of Gaussian mixtures with {self.candidates[0]} to {self.candidates[-1]} components, "
            f"fitted to {self.points:,} observations on {self.dimensions} principal component"
            f"{'s' * (self.dimensions != 1)} ({self.variance:.0%} of the variance), the one with "
            f"{best} has the least BIC."
        )
        if best == 1:
            return f"{how} No clusters stand out, so that 2 is only a beginning."
        if best == self.candidates[-1]:
            return f"{how} It still falls there, so that more may be right."
        return f"{how} Clusters of bent shapes are counted several times."


@dataclass(frozen=True)
class Clustering:
    """A run that suits a data set: its plan, what it is called, and how its settings were chosen."""

    plan: "Plan"
    name: str
    reason: str


def clustering(store: RunStore, dataset: str, components: int, seed: int | str = 0) -> Clustering:
    """Choose model and settings for a data set and K.

    Raises
    ------
    MixvizError
        When there is no such data set, or K or the seed is out of bounds.
    """
    from mixviz.training.config import plan  # imports PyTorch
    from mixviz.training.sensible import sensible

    if components < 1:
        raise MixvizError(f"K = {components}: a mixture has at least one component.")
    found = source(dataset)
    chosen = sensible(found, components)
    reason, suggestion = chosen.reason, stored_suggestion(store, dataset)
    if suggestion is not None and suggestion.components == components:
        reason = f"K = {components}: {suggestion.in_words()} {reason}"
    return Clustering(
        plan(dataset=dataset, model=chosen.model, values=chosen.settings | {"seed": seed}),
        f"{found.title}, K={components}",
        reason,
    )


def key(dataset: str) -> str:
    """Key of the suggestion for a data set that is kept as an artifact."""
    found = source(dataset)
    return fingerprint(name=found.name, version=found.version)


def stored_suggestion(store: RunStore, dataset: str) -> Suggestion | None:
    """Return the suggestion for a data set if it has been computed."""
    kept = store.artifacts.read(KIND, key(dataset))
    if kept is None:
        return None
    return Suggestion(
        kept["candidates"],
        kept["criteria"],
        int(kept["points"]),
        int(kept["dimensions"]),
        float(kept["variance"]),
    )


def suggest_components(store: RunStore, report: Report, dataset: str) -> None:
    """Compute the suggestion for a data set and keep it."""
    report(0, "Reading the data")
    suggestion = suggest(load(dataset).x, report)
    store.artifacts.write(
        KIND,
        key(dataset),
        {
            "candidates": suggestion.candidates,
            "criteria": suggestion.criteria,
            "points": np.array(suggestion.points),
            "dimensions": np.array(suggestion.dimensions),
            "variance": np.array(suggestion.variance),
        },
    )


def suggest(x: np.ndarray, report: Report = lambda share, text: None) -> Suggestion:
    """Fit mixtures of each size to observations (N, *shape)."""
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(x))[:POINTS]
    points = x[chosen].reshape(len(chosen), -1).astype(np.float64)
    most = min(DIMENSIONS, points.shape[1], len(points) - 1)
    plane = PCA(most, random_state=0).fit(points)
    share = np.cumsum(plane.explained_variance_ratio_)
    dimensions = min(most, int(np.searchsorted(share, VARIANCE)) + 1)
    scores = plane.transform(points)[:, :dimensions]
    scores /= scores[:, 0].std() or 1.0
    # A component needs a few points for each of its parameters, or its covariance is noise.
    largest = max(2, len(scores) // (3 * (dimensions + 1)))
    candidates = [k for k in CANDIDATES if k <= largest]
    criteria: list[float] = []
    # Matrices this small are multiplied faster by one thread than by several.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for done, components in enumerate(candidates):
            report(done / len(candidates), f"Trying {components} components")
            fitted = [
                GaussianMixture(
                    components, covariance_type=kind, reg_covar=1e-4, random_state=0
                ).fit(scores)
                for kind in ("full", "diag")
            ]
            criteria.append(min(mixture.bic(scores) for mixture in fitted))
            if len(criteria) - int(np.argmin(criteria)) > PATIENCE:
                break
    return Suggestion(
        np.array(candidates[: len(criteria)]),
        np.array(criteria),
        len(scores),
        dimensions,
        float(min(share[dimensions - 1], 1.0)) if math.isfinite(share[0]) else 1.0,
    )
