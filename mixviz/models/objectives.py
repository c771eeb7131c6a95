"""Closed-form pieces of the objectives, all in nats; every Gaussian is diagonal."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from mixviz.errors import MixvizError
from mixviz.models.shares import random_values

LOG_2PI = math.log(2 * math.pi)
_AT_ONCE = 100  # points whose pairs with all draws stay in the processor's cache
_SMALLEST = -80.0  # exp of it, 2e-35, is still a normal number in single precision


def quick_exp(value: Tensor) -> Tensor:
    """exp(value), at least 2e-35: results too small for full precision take ten times as long."""
    return value.clamp(min=_SMALLEST).exp()


def full_precision(output: Tensor) -> Tensor:
    """Leave autocast: what follows a network is computed in at least single precision."""
    return output.float() if output.dtype in (torch.bfloat16, torch.float16) else output


def check_unit_interval(x: Tensor) -> None:
    """Raise `MixvizError` unless x can have a Bernoulli likelihood."""
    if x.min() < 0 or x.max() > 1:
        raise MixvizError(
            "A Bernoulli likelihood needs values in [0, 1] and these data go from "
            f"{x.min():.3g} to {x.max():.3g}; set likelihood=gaussian."
        )


def check_pixels(x: Tensor) -> None:
    """Raise `MixvizError` unless x are images that a network can make whose output is bounded."""
    if x.min() < 0 or x.max() > 1:
        raise MixvizError(
            "This model makes images with values in [0, 1] and these go from "
            f"{x.min():.3g} to {x.max():.3g}; scale them."
        )


def gaussian_log_prob(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(value; mean, exp(log_variance)), summed over the last dimension (...,)."""
    squared = (value - mean).square() * torch.exp(-log_variance)
    return -0.5 * (LOG_2PI + log_variance + squared).sum(-1)


def gaussian_kl(mean: Tensor, log_variance: Tensor, mean2: Tensor, log_variance2: Tensor) -> Tensor:
    """KL( N(mean, exp(log_variance)) || N(mean2, exp(log_variance2)) ), summed over the last dim."""
    ratio = (torch.exp(log_variance) + (mean - mean2).square()) * torch.exp(-log_variance2)
    return 0.5 * (log_variance2 - log_variance - 1 + ratio).sum(-1)


def log_prob_and_kl(
    z: Tensor, mean: Tensor, log_variance: Tensor, means: Tensor, log_variances: Tensor
) -> tuple[Tensor, Tensor]:
    """log N(z; m_c, v_c) and KL( N(mean, exp(log_variance)) || N(m_c, v_c) ) for all components.

    What both need of the components is computed once: with K=100 and D=200 that saves a third.

    Parameters
    ----------
    z
        Draws (..., D).
    mean, log_variance
        Of the distribution that z was drawn from, (..., D).
    means, log_variances
        m_c and log v_c, (..., K, D).

    Returns
    -------
    tensor, tensor
        Each (..., K).
    """
    precisions = torch.exp(-log_variances)
    log_determinants = log_variances.sum(-1)  # (..., K)
    at_z = ((z.unsqueeze(-2) - means).square() * precisions).sum(-1)
    spread = torch.exp(log_variance).unsqueeze(-2) + (mean.unsqueeze(-2) - means).square()
    apart = (spread * precisions).sum(-1)
    size = z.shape[-1]
    log_probs = -0.5 * (size * LOG_2PI + log_determinants + at_z)
    own = log_variance.sum(-1, keepdim=True) + size
    return log_probs, 0.5 * (log_determinants - own + apart)


def standard_normal_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL( N(mean, exp(log_variance)) || N(0, I) ), summed over the last dimension."""
    return 0.5 * (torch.exp(log_variance) + mean.square() - 1 - log_variance).sum(-1)


def bernoulli_log_prob(value: Tensor, logits: Tensor) -> Tensor:
    """log Bernoulli(value; sigmoid(logits)), summed over the last dimension; value may be grey."""
    return -functional.binary_cross_entropy_with_logits(logits, value, reduction="none").sum(-1)


def categorical_entropy(log_probabilities: Tensor) -> Tensor:
    """Entropy of a categorical distribution over the last dimension, in [0, log K]."""
    probabilities = log_probabilities.exp()
    return -torch.where(probabilities > 0, probabilities * log_probabilities, 0.0).sum(-1)


def categorical_uniform_kl(log_probabilities: Tensor) -> Tensor:
    """KL( probabilities || 1/K ) over the last dimension, in [0, log K]: the "z-prior"."""
    return math.log(log_probabilities.shape[-1]) - categorical_entropy(log_probabilities)


def minimum_information(kl: Tensor, floor: float) -> Tensor:
    """max(floor, kl): below the floor the term gives no gradient (GMVAE v2, equation 7)."""
    return torch.clamp(kl, min=floor)


def reparameterise(
    mean: Tensor, log_variance: Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    """Draw `samples` reparameterised values of N(mean, exp(log_variance)), each (B, ...): (samples, B, ...)."""
    noise = random_values(Tensor.normal_, (samples, *mean.shape), generator, mean, batch=1)
    return mean + noise * torch.exp(0.5 * log_variance)


def gaussian_draw(
    output: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, log-variance and a draw of a Gaussian, from a head (B, 2 n); each (B, n).

    Without a generator the draw is the mean.
    """
    mean, log_variance = full_precision(output).chunk(2, dim=-1)
    if generator is None:
        return mean, log_variance, mean
    return mean, log_variance, reparameterise(mean, log_variance, 1, generator)[0]


def monte_carlo_density(x: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """log of the mean of N(x; mean_s, exp(log_variance_s)) over draws s: (B,) for x (B, d).

    `means` and `log_variances` are (S, d). The square is expanded, so that all pairs of point and
    draw are one matrix product.
    """
    precision = torch.exp(-log_variances)
    constant = (log_variances + means.square() * precision + LOG_2PI).sum(-1, keepdim=True)
    weights = -0.5 * torch.cat([precision, -2 * means * precision, constant], dim=1).T
    points = torch.cat([x.square(), x, torch.ones_like(x[:, :1])], dim=1)
    densities = []
    for part in points.split(_AT_ONCE):
        pairs = part @ weights  # (B, S)
        largest = pairs.amax(1, keepdim=True)
        sums = quick_exp(pairs.sub_(largest)).mean(1, keepdim=True)
        densities.append((largest + sums.log())[:, 0])
    return torch.cat(densities)
