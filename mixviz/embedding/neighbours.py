"""What UMAP compiles in every process that uses it, avoided or kept on disk.

Its own search for neighbours takes half a minute to compile; an exact one is over sooner.
"""

from contextlib import suppress
from typing import Any

import numpy as np
from pynndescent import NNDescent
from sklearn.neighbors import NearestNeighbors
from umap.umap_ import compute_membership_strengths, smooth_knn_dist

for _compiled in (smooth_knn_dist, compute_membership_strengths):
    with suppress(RuntimeError):  # no folder can be written to
        _compiled.enable_caching()


class ExactNeighbours(NNDescent):
    """What UMAP asks of its own search, answered by scikit-learn.

    Attributes
    ----------
    indices : (N, count) int32
        Of each latent's nearest, itself among them.
    distances : (N, count) float32
    """

    _angular_trees = False  # read by UMAP before it asks

    def __init__(self, latents: np.ndarray, count: int, metric: str, threads: int):
        """Search the `count` nearest of each latent (N, D)."""
        self._search = NearestNeighbors(n_neighbors=count, metric=metric, n_jobs=threads)
        self._search.fit(latents)
        self.indices, self.distances = self.query(latents, count)

    def query(
        self, query_data: np.ndarray, k: int = 10, epsilon: float = 0.0, **_: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return indices and distances of the `k` nearest of new latents (M, D), each (M, k)."""
        distances, indices = self._search.kneighbors(query_data, k)
        return indices.astype(np.int32), distances.astype(np.float32)
