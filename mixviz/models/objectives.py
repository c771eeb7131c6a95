"""Closed-form pieces of the objectives, all in nats; every Gaussian is diagonal."""

import math

import torch
from torch import Tensor
from torch.nn import functional

LOG_2PI = math.log(2 * math.pi)


_SMALLEST = -80.0  # exp of it, 2e-35, is still a normal number in single precision


def quick_exp(value: Tensor) -> Tensor:
    """exp(value), at least 2e-35: results too small for full precision take ten times as long."""
    return value.clamp(min=_SMALLEST).exp()


def gaussian_log_prob(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(value; mean, exp(log_variance)), summed over the last dimension (...,)."""
    squared = (value - mean).square() * torch.exp(-log_variance)
    return -0.5 * (LOG_2PI + log_variance + squared).sum(-1)


def gaussian_kl(mean: Tensor, log_variance: Tensor, mean2: Tensor, log_variance2: Tensor) -> Tensor:
    """KL( N(mean, exp(log_variance)) || N(mean2, exp(log_variance2)) ), summed over the last dim."""
    ratio = (torch.exp(log_variance) + (mean - mean2).square()) * torch.exp(-log_variance2)
    return 0.5 * (log_variance2 - log_variance - 1 + ratio).sum(-1)


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
    """Draw `samples` reparameterised values of N(mean, exp(log_variance)): (samples, *mean.shape)."""
    noise = torch.randn(
        (samples, *mean.shape), generator=generator, device=mean.device, dtype=mean.dtype
    )
    return mean + noise * torch.exp(0.5 * log_variance)
