"""Maps of latents that keep neighbours together: t-SNE and UMAP, with placing of new points."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
from tqdm.std import TqdmDefaultWriteLock, tqdm

from mixviz.errors import MixvizError
from mixviz.processors import usable_cores

Progress = Callable[[float], None]
Place = Callable[[np.ndarray], np.ndarray]  # new latents (M, D) to coordinates (M, d)

_EARLY = 250  # iterations of early exaggeration
_FEWEST = 10
_MOST_WORK = 4e11  # products in an exact search, with which it takes as long as compiling UMAP's
_METRIC = "Distance between latents."


class MapSettings(BaseModel):
    """Settings that both methods have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", title="Distance", description=_METRIC
    )
    seed: int = Field(0, title="Seed", description="The same seed gives the same map.", ge=0)
    prior_samples: int = Field(
        3000,
        title="Prior samples",
        description="Samples of the mixture that are shown beside the encoded points.",
        ge=0,
        le=10_000,
    )
    together: bool = Field(
        False,
        title="Fit prior samples too",
        description="Map points and prior samples in one go, as in NVISA's figure 4, rather than "
        "placing the samples in a map of the points.",
    )


class TSNESettings(MapSettings):
    """Settings of t-SNE."""

    perplexity: float = Field(
        30.0,
        title="Perplexity",
        description="About how many neighbours each point has.",
        ge=2,
        le=500,
    )
    exaggeration: float = Field(
        1.0,
        title="Exaggeration",
        description="Attraction of neighbours; above 1 clusters are tighter.",
        ge=1,
        le=12,
    )
    iterations: int = Field(
        500, title="Iterations", description="After early exaggeration.", ge=50, le=5000
    )


class UMAPSettings(MapSettings):
    """Settings of UMAP."""

    neighbours: int = Field(
        15,
        title="Neighbours",
        description="Few show local structure, many the whole.",
        ge=2,
        le=500,
    )
    min_dist: float = Field(
        0.1,
        title="Smallest distance",
        description="How close points may lie in the map.",
        ge=0,
        le=1,
    )
    epochs: int | None = Field(
        None, title="Epochs", description="By default 500, above 10,000 points 200.", ge=10, le=5000
    )


FLAT = {"exaggeration"}  # settings that only maps in two dimensions have
SETTINGS: dict[str, type[TSNESettings] | type[UMAPSettings]] = {
    "tsne": TSNESettings,
    "umap": UMAPSettings,
}


def fit_map(
    method: str,
    latents: np.ndarray,
    settings: TSNESettings | UMAPSettings,
    dimensions: int,
    progress: Progress = lambda share: None,
) -> tuple[np.ndarray, Place | None]:
    """Map latents (N, D) to two or three dimensions.

    Parameters
    ----------
    method
        A key of `SETTINGS`.
    progress
        Called with the share that is done, in [0, 1]; what it raises ends the work.

    Returns
    -------
    coordinates : (N, dimensions) float32
    place
        Maps new latents (M, D) into the same map; None where the method cannot.

    Raises
    ------
    MixvizError
        When there are too few latents, or all are the same.
    """
    _refuse(latents)
    if isinstance(settings, UMAPSettings):
        model = _umap(latents, settings, dimensions, _Percent(progress))
        with _threads_kept(), _bars_go_on():
            coordinates = model.fit_transform(latents)
        place: Place | None = model.transform
    elif dimensions == 2:
        embedding = _open_tsne(latents, settings, progress)
        coordinates, place = np.asarray(embedding), embedding.transform
    else:
        coordinates, place = _sklearn_tsne(latents, settings, dimensions, progress), None
    if not np.isfinite(coordinates).all():
        raise MixvizError("The map has no finite coordinates; try another seed or other settings.")
    return np.asarray(coordinates, np.float32), place and _as_float32(place)


def placing(
    method: str,
    latents: np.ndarray,
    coordinates: np.ndarray,
    settings: TSNESettings | UMAPSettings,
) -> Place | None:
    """Return what `fit_map` returned as `place`, given its latents and coordinates.

    Neighbours are searched anew, but nothing is fitted.
    """
    if isinstance(settings, UMAPSettings):
        model = _umap(latents, settings, coordinates.shape[1], None, init=coordinates, n_epochs=0)
        with _threads_kept():
            model.fit(latents)
        model.embedding_, model.n_epochs = coordinates, settings.epochs
        return _as_float32(model.transform)
    if coordinates.shape[1] != 2:
        return None
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    affinities = PerplexityBasedNN(
        latents,
        perplexity=settings.perplexity,
        metric=settings.metric,
        n_jobs=usable_cores(),
        random_state=settings.seed,
    )
    embedding = TSNEEmbedding(
        coordinates.astype(np.float64),
        affinities,
        n_jobs=usable_cores(),
        random_state=settings.seed,
        negative_gradient_method="auto",
    )
    return _as_float32(embedding.transform)


def _refuse(latents: np.ndarray) -> None:
    if len(latents) < _FEWEST:
        raise MixvizError(f"A map needs at least {_FEWEST} points; there are {len(latents)}.")
    if not np.isfinite(latents).all():
        raise MixvizError("The model has diverged: its latents are not finite.")
    if not np.ptp(latents, axis=0).any():
        raise MixvizError("All points have the same latents, so that there is nothing to map.")


def _as_float32(place: Place) -> Place:
    def placed(latents: np.ndarray) -> np.ndarray:
        with _threads_kept():
            return np.asarray(place(latents), np.float32)

    return placed


def _threads_kept() -> AbstractContextManager[Any]:
    """Give PyTorch its threads back: Numba sets all processors for every OpenMP library, for good.

    Those of OpenMP are the calling thread's own; those of BLAS are the whole process's and stay.
    """
    kept: AbstractContextManager[Any] = ThreadpoolController().select(user_api="openmp").limit()
    return kept


@contextmanager
def _bars_go_on() -> Iterator[None]:
    """Let other threads show progress bars after one was left: tqdm keeps the lock of all bars then."""
    try:
        yield
    except BaseException:
        tqdm.set_lock(TqdmDefaultWriteLock())
        raise


def _open_tsne(latents: np.ndarray, settings: TSNESettings, progress: Progress) -> Any:
    from openTSNE import TSNE

    every, total, done = 10, _EARLY + settings.iterations, 0

    def look(iteration: int, error: float, embedding: np.ndarray) -> None:
        nonlocal done
        done += every
        progress(min(1.0, done / total))

    return TSNE(
        2,
        perplexity=settings.perplexity,
        exaggeration=settings.exaggeration,
        early_exaggeration_iter=_EARLY,
        initialization=_tsne_start(latents, 2),
        n_iter=settings.iterations,
        metric=settings.metric,
        n_jobs=usable_cores(),
        random_state=settings.seed,
        callbacks=look,
        callbacks_every_iters=every,
    ).fit(latents)


def _tsne_start(latents: np.ndarray, dimensions: int) -> str:
    """Return where points start: latents of fewer dimensions than the map have too few axes for it."""
    return "pca" if latents.shape[1] >= dimensions else "random"


def _sklearn_tsne(
    latents: np.ndarray, settings: TSNESettings, dimensions: int, progress: Progress
) -> np.ndarray:
    """Map to three dimensions, for which openTSNE has no fast gradient; `exaggeration` is of no use."""
    from sklearn.manifold import TSNE

    total = _EARLY + settings.iterations
    model = TSNE(
        dimensions,
        perplexity=min(settings.perplexity, (len(latents) - 1) / 3),
        max_iter=total,
        metric=settings.metric,
        init=_tsne_start(latents, dimensions),
        random_state=settings.seed,
        n_jobs=usable_cores(),
        verbose=2,  # what it prints is the only sign of progress
    )
    with redirect_stdout(_Iterations(progress, total)):
        coordinates: np.ndarray = model.fit_transform(latents)
    return coordinates


def _umap(
    latents: np.ndarray,
    settings: UMAPSettings,
    dimensions: int,
    shown: "_Percent | None",
    **more: Any,
) -> Any:
    from umap import UMAP

    from mixviz.embedding.neighbours import ExactNeighbours

    neighbours = min(settings.neighbours, len(latents) - 1)
    chosen: dict[str, Any] = {
        "n_neighbors": neighbours,
        "n_components": dimensions,
        "min_dist": settings.min_dist,
        "n_epochs": settings.epochs,
        "metric": settings.metric,
        "random_state": settings.seed,
        "n_jobs": 1,  # more threads would make the map another one at each call
    }
    if latents.shape[1] * float(len(latents)) ** 2 <= _MOST_WORK:
        found = ExactNeighbours(latents, neighbours, settings.metric, usable_cores())
        chosen["precomputed_knn"] = found.indices, found.distances, found
    if shown is not None:
        chosen["tqdm_kwds"] = {"file": shown, "disable": False, "mininterval": 0.3}
    return UMAP(**chosen | more)


class _Percent(io.StringIO):
    """A stream for a progress bar, whose percentage it passes on."""

    _pattern = re.compile(r"(\d+)%")

    def __init__(self, progress: Progress):
        super().__init__()
        self._progress, self._last = progress, 0

    def write(self, text: str) -> int:
        for number in map(int, self._pattern.findall(text)[-1:]):
            if number > self._last:  # placing points has a bar of its own
                self._last = number
                self._progress(number / 100)
        return len(text)


class _Iterations(io.StringIO):
    """A stream for scikit-learn's reports, whose iteration it passes on."""

    _pattern = re.compile(r"Iteration (\d+)")

    def __init__(self, progress: Progress, total: int):
        super().__init__()
        self._progress, self._total = progress, total

    def write(self, text: str) -> int:
        for number in self._pattern.findall(text)[-1:]:
            self._progress(min(1.0, int(number) / self._total))
        return len(text)
