"""The plane that snapshots are drawn in: the latent space itself, or its first two principal axes."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA


@dataclass(frozen=True, eq=False)
class Plane:
    """An affine map from latent space (D) to a plane.

    Attributes
    ----------
    name
        `latent` in two dimensions, where the map is the identity, else `pca`.
    centre : (D,)
    axes : (D, 2), orthonormal columns
    """

    name: str
    centre: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, latents: np.ndarray, last: "Plane | None" = None) -> "Plane":
        """Choose the plane of latents (N, D); above two dimensions turn it onto the last one.

        The principal axes are turned within their own plane, so that consecutive pictures differ
        by what the latents did and not by the arbitrary signs and order of the axes.
        """
        size = latents.shape[1]
        if size <= 2:
            return cls("latent", np.zeros(size), np.eye(size, 2))
        pca = PCA(2, svd_solver="covariance_eigh").fit(latents)
        axes = pca.components_.T
        if last is not None and last.axes.shape == axes.shape:
            turn, _ = orthogonal_procrustes(axes, last.axes)
            axes = axes @ turn
        return cls("pca", pca.mean_, axes)

    def project(self, latents: np.ndarray) -> np.ndarray:
        """Coordinates of latents (N, D) in the plane: (N, 2)."""
        return (latents - self.centre) @ self.axes

    def project_covariances(self, covariances: np.ndarray) -> np.ndarray:
        """Exact 2x2 covariances P' S P of Gaussians, given (K, D) diagonals or (K, D, D)."""
        if covariances.ndim == 2:
            return np.einsum("da,kd,db->kab", self.axes, covariances, self.axes)
        return np.einsum("da,kde,eb->kab", self.axes, covariances, self.axes)
