"""What UMAP compiles in every process that uses it, avoided or kept on disk.

Its own search for neighbours takes half a minute to compile. For 60,000 latents of 50 dimensions an
exact one is over in a quarter of that.
"""

from contextlib import suppress
from typing import Any

import numpy as np
from pynndescent import NNDescent
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from umap.umap_ import compute_membership_strengths, smooth_knn_dist

_MOST_FOR_A_TREE = 8  # dimensions, beyond which comparing all with all is faster

for _compiled in (smooth_knn_dist, compute_membership_strengths):
    with suppress(RuntimeError):  # no folder can be written to
        _compiled.enable_caching()


class ExactNeighbours(NNDescent):
    """What UMAP asks of its own search, answered by scikit-learn.

    It is an `NNDescent` because UMAP asks for one; nothing of that is used.

    Attributes
    ----------
    indices : (N, count) int32
        Of each latent itself, then of its nearest.
    distances : (N, count) float32
        Euclidean, or the cosine distance.
    """

    _angular_trees = False  # read by UMAP before it asks

    def __init__(self, latents: np.ndarray, count: int, metric: str, threads: int):
        """Search the `count` - 1 nearest of each latent (N, D)."""
        self._cosine = metric == "cosine"
        self._latents = self._placed(latents)
        algorithm = "kd_tree" if latents.shape[1] <= _MOST_FOR_A_TREE else "brute"
        self._search = NearestNeighbors(algorithm=algorithm, n_jobs=threads).fit(self._latents)
        others = self._search.kneighbors(n_neighbors=count - 1, return_distance=False)
        itself = np.arange(len(latents))[:, None]
        self.indices, self.distances = self._measured(
            self._latents, np.concatenate([itself, others], axis=1)
        )

    def query(
        self, query_data: np.ndarray, k: int = 10, epsilon: float = 0.0, **_: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return indices and distances of the `k` nearest of new latents (M, D), each (M, k)."""
        new = self._placed(query_data)
        return self._measured(new, self._search.kneighbors(new, k, return_distance=False))

    def _placed(self, latents: np.ndarray) -> np.ndarray:
        """Latents; where only directions count, points whose squared distance is twice the cosine's.

        A latent without a direction has distance 1 from all others: it lies on an axis of its own.
        """
        if not self._cosine:
            return latents
        return np.column_stack([normalize(latents), ~latents.any(axis=1)])

    def _measured(self, points: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices (M, k) sorted by distances from points (M, D), and these.

        The search expands the square, after which a latent is not at 0 from itself; UMAP would take
        that for the distance to its nearest neighbour.
        """
        columns = [np.linalg.norm(points - self._latents[nearest], axis=1) for nearest in indices.T]
        distances = np.stack(columns, axis=1).astype(np.float32)
        if self._cosine:
            distances = (distances**2 / 2).astype(np.float32)
        order = distances.argsort(axis=1, kind="stable")
        return (
            np.take_along_axis(indices, order, axis=1).astype(np.int32),
            np.take_along_axis(distances, order, axis=1),
        )
