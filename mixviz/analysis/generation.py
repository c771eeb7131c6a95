"""What a trained model draws: samples, reconstructions, interpolations, styles, densities.

All take a model in evaluation mode, leave it so, and work on its device; arrays that come back are NumPy's,
observations (..., *shape) as the model gives them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from mixviz.errors import MixvizError
from mixviz.models import MixtureModel
from mixviz.models.autoencoder import AutoencoderModel
from mixviz.models.base import Components
from mixviz.models.classical import ClassicalModel
from mixviz.models.gmvae import GMVAE
from mixviz.training.observe import BATCH, encode, reconstruct
from mixviz.training.saved import Saved

GRID = 80  # cells along each side of a density
SCORED = 2000  # points whose mean log-density is computed, about
MARGIN = 0.1  # of the data's range, around a density


@dataclass(frozen=True, eq=False)
class Path:
    """Observations along a line in latent space.

    Attributes
    ----------
    latents : (T, D)
    observations : (T, *shape), decoded
    probabilities : (T, K) p(c|z) along the line
    """

    latents: np.ndarray
    observations: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True, eq=False)
class Densities:
    """Densities over the plane of two-dimensional data, on the same grid.

    Attributes
    ----------
    learned : (G, G) p(x) of the model, rows along the second coordinate; None if it defines none
    mixture : (G, G) p(x) of a Gaussian mixture with as many components, fitted to the same data
    extent : (4,) left, right, bottom, top
    learned_score, mixture_score
        Mean log p(x) of the same observations, nats; at most some 2,000 of them.
    """

    learned: np.ndarray | None
    mixture: np.ndarray
    extent: np.ndarray
    learned_score: float | None
    mixture_score: float


def has_style(model: MixtureModel) -> bool:
    """Whether the mixture depends on a style w."""
    return isinstance(model, GMVAE)


def draw_latents(
    mixture: Components, c: Tensor, temperature: float, generator: torch.Generator
) -> Tensor:
    """Draw z from component c_i for each i, deviations times `temperature`: (B, D)."""
    size = mixture.means.shape[1]
    noise = torch.randn((len(c), size), generator=generator, device=c.device)
    if mixture.covariances is None:
        spread = noise * mixture.variances[c].clamp(min=0).sqrt()
    else:
        factors = torch.linalg.cholesky(mixture.covariances)
        # One product for each component: a copy of the matrix for every draw is too much for images.
        spread = torch.empty_like(noise)
        for k in c.unique():
            spread[c == k] = noise[c == k] @ factors[k].T.to(noise)
    return mixture.means[c] + temperature * spread


def log_posterior(model: MixtureModel, z: Tensor, w: Tensor | None = None) -> Tensor:
    """log p(c|z) of latents (B, D): (B, K); for a GMVAE at styles w (B, W), by default 0."""
    if isinstance(model, GMVAE):
        return model.log_posterior(z, z.new_zeros(len(z), model.style_size) if w is None else w)
    if isinstance(model, AutoencoderModel):
        return model.log_posterior(z)  # not every one is Bayes' rule
    if isinstance(model, ClassicalModel):  # latents are observations
        return model.log_responsibilities(z.unflatten(-1, model.shape))
    mixture = model.components()
    precision = 1 / mixture.variances.clamp(min=1e-12)  # (K, D)
    difference = z[:, None] - mixture.means  # (B, K, D)
    distances = (difference.square() * precision).sum(-1)
    determinants = mixture.variances.clamp(min=1e-12).log().sum(-1)
    log_joint = mixture.weights.log() - 0.5 * (distances + determinants)
    return log_joint.log_softmax(-1)


def component_samples(
    saved: Saved, each: int, *, temperature: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Draw from every component: (K, each, *shape); GMVAE at w = 0, as in its figure 5a.

    Parameters
    ----------
    temperature
        Factor of the standard deviations in latent space; at 0 all draws are the mean.
    """
    model = saved.model
    generator = torch.Generator(saved.device).manual_seed(seed)
    with torch.no_grad():
        count = model.config.components
        c = torch.arange(count, device=saved.device).repeat_interleave(each)
        z = draw_latents(model.components(), c, temperature, generator)
        drawn = torch.cat(
            [model.decode(*part) for part in zip(z.split(500), c.split(500), strict=True)]
        )
        return _array(drawn.unflatten(0, (count, each)))


def prior_samples(
    saved: Saved, count: int, *, temperature: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Draw c from p(c), then x: (count, *shape); GMVAE at w from its prior, one for each draw."""
    model = saved.model
    generator = torch.Generator(saved.device).manual_seed(seed)
    drawn = []
    with torch.no_grad():
        mixture = model.components()
        weights = mixture.weights.float().clamp(min=0)
        c = weights.multinomial(count, replacement=True, generator=generator)
        for part in c.split(BATCH[len(model.shape) == 1]):
            if isinstance(model, GMVAE):
                w = torch.randn(
                    (len(part), model.style_size), generator=generator, device=saved.device
                )
                means, log_variances = model.mixture_at(w)  # (B, K, D)
                rows = torch.arange(len(part), device=part.device)
                noise = torch.randn(
                    (len(part), model.latent_size), generator=generator, device=saved.device
                )
                deviations = torch.exp(0.5 * log_variances[rows, part])
                z = means[rows, part] + temperature * noise * deviations
            else:
                z = draw_latents(mixture, part, temperature, generator)
            drawn.append(_array(model.decode(z, part)))
    return np.concatenate(drawn)


def reconstructions(saved: Saved, x: np.ndarray) -> np.ndarray:
    """Decode the latents of observations (n, *shape)."""
    with torch.no_grad():
        return _array(reconstruct(saved.model, _tensor(saved, x)))


def assignments(saved: Saved, x: np.ndarray) -> np.ndarray:
    """Most probable component of each observation (n, *shape): (n,)."""
    with torch.no_grad():
        return encode(saved.model, _tensor(saved, x)).assignments


def interpolation(saved: Saved, ends: np.ndarray, steps: int = 12) -> Path:
    """Decode a straight line between the latents of two observations (2, *shape).

    A GMVAE's style goes the same way; its mixture changes with it.
    """
    model = saved.model
    with torch.no_grad():
        x = _tensor(saved, ends)
        latents, _ = model.encode(x)
        share = torch.linspace(0, 1, steps, device=saved.device)[:, None].to(latents.dtype)
        z = (1 - share) * latents[0] + share * latents[1]
        w = None
        if isinstance(model, GMVAE):
            first, last = model.recognise(x).w_mean
            w = (1 - share) * first + share * last
        log_probabilities = log_posterior(model, z, w)
        decoded = model.decode(z, log_probabilities.argmax(1))
        return Path(_array(z), _array(decoded), _array(log_probabilities.exp()))


def style_directions(saved: Saved, component: int, count: int) -> np.ndarray:
    """Directions of w that move a component's mean most, at w = 0: (count, W), orthonormal.

    The right singular vectors of the Jacobian of mu_c(w).

    Raises
    ------
    ValueError
        When the mixture does not depend on a style.
    """
    model = saved.model
    if not isinstance(model, GMVAE):
        raise ValueError("this model has no style")

    def mean(w: Tensor) -> Tensor:
        return model.mixture_at(w)[0][component]

    origin = torch.zeros(model.style_size, device=saved.device)
    jacobian = torch.func.jacrev(mean)(origin)  # (D, W)
    _, _, right = torch.linalg.svd(jacobian.detach(), full_matrices=False)
    return _array(right[:count])


def style_traversal(
    saved: Saved, component: int, directions: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Decode the mean of one component while w moves: (directions, places, *shape).

    Parameters
    ----------
    directions : (n, W) unit vectors
    places : (m,) positions along each, in standard deviations of w's prior
    """
    model = saved.model
    assert isinstance(model, GMVAE)
    with torch.no_grad():
        w = torch.from_numpy((directions[:, None] * places[:, None]).astype(np.float32)).to(
            saved.device
        )
        means, _ = model.mixture_at(w)  # (n, m, K, D)
        z = means[:, :, component].flatten(0, 1)
        return _array(model.decode(z).unflatten(0, w.shape[:2]))


def decode_points(saved: Saved, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decode latents (B, D), each with its most probable component: (B, *shape) and p(c|z) (B, K)."""
    model = saved.model
    with torch.no_grad():
        z = torch.from_numpy(latents.astype(np.float32)).to(saved.device)
        log_probabilities = log_posterior(model, z)
        decoded = model.decode(z, log_probabilities.argmax(1))
        return _array(decoded), _array(log_probabilities.exp())


def densities(saved: Saved, x: np.ndarray) -> Densities:
    """Evaluate the model's density and that of a Gaussian mixture fitted to points x (N, 2).

    Raises
    ------
    MixvizError
        When there are fewer points than components.
    """
    model = saved.model
    if len(x) < model.config.components:
        raise MixvizError(
            f"A Gaussian mixture with {model.config.components} components cannot be fitted to "
            f"{len(x)} observations."
        )
    low, high = x.min(0), x.max(0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    across, up = (np.linspace(low[i], high[i], GRID, dtype=np.float32) for i in (0, 1))
    grid = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    fitted = GaussianMixture(model.config.components, n_init=3, random_state=0).fit(x)
    scored = x[:: max(1, len(x) // SCORED)]
    learned, score = None, None
    with torch.no_grad():
        generator = torch.Generator(saved.device).manual_seed(0)
        found = model.log_density(_tensor(saved, grid), generator)
        if found is not None:
            learned = _array(found.exp().reshape(GRID, GRID))
            points = model.log_density(_tensor(saved, scored), generator)
            score = None if points is None else float(points.mean())
    return Densities(
        learned,
        np.exp(fitted.score_samples(grid)).reshape(GRID, GRID),
        np.array([low[0], high[0], low[1], high[1]], np.float32),
        score,
        float(fitted.score(scored)),
    )


def _tensor(saved: Saved, x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(saved.device)


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().float().cpu().numpy()
    return array
