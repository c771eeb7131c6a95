"""The plane that snapshots are drawn in: the latent space itself, or its first principal axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import orthogonal_procrustes


@dataclass(frozen=True, eq=False)
class Plane:
    """An affine map from latent space (D) to a plane, or to a space of d = 3 dimensions.

    Attributes
    ----------
    name
        `latent` where the axes are those of the latent space, else `pca`.
    centre : (D,)
    axes : (D, d), orthonormal columns; d is 2 unless said otherwise
    """

    name: str
    centre: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, latents: np.ndarray, last: "Plane | None" = None, dimensions: int = 2) -> "Plane":
        """Choose the plane of latents (N, D); above two dimensions turn it onto the last one.

        The principal axes are turned within their own plane, so that consecutive pictures differ
        by what the latents did and not by the arbitrary signs and order of the axes.
        """
        size = latents.shape[1]
        if size <= dimensions:
            return cls("latent", np.zeros(size), np.eye(size, dimensions))
        from sklearn.decomposition import PCA  # a second

        pca = PCA(dimensions, svd_solver="covariance_eigh").fit(latents)
        axes = pca.components_.T
        if last is not None and last.axes.shape == axes.shape:
            turn, _ = orthogonal_procrustes(axes, last.axes)
            axes = axes @ turn
        return cls("pca", pca.mean_, axes)

    @classmethod
    def along(cls, size: int, chosen: Sequence[int]) -> "Plane":
        """Return the plane of d chosen axes of a latent space of `size` dimensions."""
        return cls("latent", np.zeros(size), np.eye(size)[:, list(chosen)])

    def project(self, latents: np.ndarray) -> np.ndarray:
        """Coordinates of latents (N, D) in the plane: (N, d)."""
        return (latents - self.centre) @ self.axes

    def project_covariances(self, covariances: np.ndarray) -> np.ndarray:
        """Exact d x d covariances P' S P of Gaussians, given (K, D) diagonals or (K, D, D)."""
        if covariances.ndim == 2:
            return np.einsum("da,kd,db->kab", self.axes, covariances, self.axes)
        return np.einsum("da,kde,eb->kab", self.axes, covariances, self.axes)
