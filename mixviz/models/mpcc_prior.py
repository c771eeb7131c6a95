"""The mixture prior of MPCC: p(z|c), its membership q(c|z), and the entropy that loss III keeps up."""

import torch
from torch import Generator, Tensor, nn

from mixviz.models.mpcc_config import MPCCConfig
from mixviz.models.objectives import LOG_2PI, gaussian_log_prob


class Prior(nn.Module):
    """p(z|c): K Gaussians, which a subclass learns or fixes."""

    means: Tensor  # (K, D)

    def deviations(self) -> Tensor:
        """Standard deviations (K, D)."""
        return torch.ones_like(self.means)

    def draw(self, c: Tensor, generator: Generator) -> Tensor:
        """Draw a reparameterised z from component c_i for each i: (B, D)."""
        noise = torch.randn(
            (len(c), self.means.shape[1]),
            generator=generator,
            device=c.device,
            dtype=self.means.dtype,
        )
        return self.place(noise, c)

    def place(self, noise: Tensor, c: Tensor) -> Tensor:
        """Turn standard normal noise (B, D) into draws from the components (B,)."""
        return self.means[c] + self.deviations()[c] * noise

    def standing(self, noise: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Latents and components of the passes for standing statistics, components in turn.

        `noise` is standard normal, (passes, B, D).
        """
        components = torch.arange(noise.shape[0] * noise.shape[1], device=noise.device)
        in_turn = (components % len(self.means)).split(noise.shape[1])
        return [(self.place(part, c), c) for part, c in zip(noise, in_turn, strict=True)]

    def log_posterior(self, z: Tensor) -> Tensor:
        """log q(c|z), equation 9, for z (B, D): (B, K)."""
        log_variances = 2 * self.deviations().log()
        return gaussian_log_prob(z[:, None], self.means, log_variances).log_softmax(-1)

    def negative_entropy(self) -> Tensor:
        """E log p(z|c) over the latent size, equation 10: a scalar in nats per dimension."""
        return -(0.5 * (1 + LOG_2PI) + self.deviations().log()).mean()


class LearnedPrior(Prior):
    """Means orthogonal at the start; deviations exp(l/2) + a floor, l = 1 at the start."""

    def __init__(self, config: MPCCConfig, latent_size: int, generator: Generator):
        """Draw the means from `generator`."""
        super().__init__()
        self.config = config
        self.means = nn.Parameter(torch.empty(config.components, latent_size))
        nn.init.orthogonal_(self.means, generator=generator)
        self.spreads = nn.Parameter(torch.ones_like(self.means))

    def deviations(self) -> Tensor:
        """Standard deviations (K, D)."""
        return torch.exp(0.5 * self.spreads) + self.config.smallest_deviation


class StandardNormal(Prior):
    """p(z|c) = N(0, I), whatever c."""

    def __init__(self, components: int, latent_size: int):
        """Fix the means at zero."""
        super().__init__()
        self.means = nn.Buffer(torch.zeros(components, latent_size))
