"""DEC: deep embedded clustering, an encoder that sharpens its own soft clusters.

Xie et al., arXiv:1511.06335. An autoencoder is trained first; k-means on its latents places the
centres; then encoder and centres follow the gradient of KL(P || Q):

    q_ic  proportional to  1 / (1 + ||z_i - mu_c||^2)               Student's t, equation 1
    p_ic  proportional to  q_ic^2 / f_c,  f_c = sum_i q_ic          target, equation 3

p follows the present q of a batch, where the paper keeps it until the next refresh. f_c is taken over
all the data after every epoch and follows the batches in between: with an old f_c, a cluster that
grows is not held back, and takes everything.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mixviz.models.autoencoder import AutoencoderModel, PretrainedConfig
from mixviz.models.base import Components, Terms
from mixviz.models.config import ModelConfig, Preset, setting
from mixviz.models.latent_fit import (
    as_array,
    fit_centres,
    fit_mixture,
    matching,
    random_state,
)
from mixviz.models.objectives import categorical_uniform_kl

_FOLLOW = 0.1  # weight of a batch in the frequencies


class DECConfig(PretrainedConfig):
    """Settings of DEC."""

    start: Literal["k-means", "mixture"] = setting(
        "k-means",
        "Start of the centres",
        "k-means on the latents, or the means of a Gaussian mixture with full covariances, which "
        "finds clusters that are not round.",
        paper="k-means",
    )
    reconstruction_weight: float = setting(
        0.0,
        "Weight of the reconstruction",
        "How much the reconstruction counts beside the clustering; above 0 the decoder goes on "
        "learning, and the latents keep what tells observations of one cluster apart.",
        paper="0",
        live=True,
        ge=0,
        le=10,
    )


class DEC(AutoencoderModel):
    """Student's t around learned centres, drawn towards its own squared and renormalised self."""

    Config: ClassVar[type[ModelConfig]] = DECConfig
    title = "DEC"
    terms = ("reconstruction", "clustering", "z_prior", "objective")
    config: DECConfig
    frequencies: Tensor
    variances: Tensor
    weights: Tensor
    presets: ClassVar[dict[str, Preset]] = {
        "dec-arcs-laptop": Preset(
            "DEC on arcs, K=5",
            "arcs",
            {"components": 5, "pretrain_epochs": 15, "epochs": 30, "batch_size": 200},
            "Two hidden layers of 120 units and D=2: the points have two dimensions.",
        ),
        "dec-digits-laptop": Preset(
            "DEC on 8x8 digits, K=10",
            "digits",
            {
                "components": 10,
                "start": "mixture",
                "pretrain_epochs": 100,
                "epochs": 160,
                "batch_size": 50,
            },
            "A small network on 1,797 images; centres from a Gaussian mixture, whose clusters need "
            "not be round. Adam instead of the paper's SGD.",
        ),
        "dec-mnist-laptop": Preset(
            "DEC on MNIST in minutes, K=10",
            "mnist",
            {
                "components": 10,
                "start": "mixture",
                "pretrain_epochs": 30,
                "epochs": 45,
                "batch_size": 256,
            },
            "Two hidden layers of 256 units instead of 500-500-2000; centres from a Gaussian mixture. "
            "Adam instead of the paper's SGD, which needs far more epochs.",
        ),
        "dec-mnist-paper": Preset(
            "DEC, table 2: MNIST",
            "mnist",
            {
                "components": 10,
                "network": "paper",
                "likelihood": "gaussian",
                "pretrain_epochs": 300,
                "epochs": 400,
                "batch_size": 256,
            },
            "The paper pretrains layer by layer with SGD, 50,000 steps a layer and 100,000 for the "
            "whole; here Adam trains the whole at once, which needs fewer. The clusters are learned by Adam "
            "too, not by SGD with steps of 0.01, from pixels in [0, 1] that are not rescaled, and from the "
            "training part alone.",
        ),
    }

    def __init__(self, config: DECConfig, shape: tuple[int, ...], generator: torch.Generator):
        """Build the networks; `prepare` places the centres."""
        super().__init__(config, shape, generator)
        count = config.components
        self.centres = nn.Parameter(torch.zeros(count, self.latent_size))
        self.register_buffer("frequencies", torch.full((count,), 1 / count))
        self.register_buffer("variances", torch.ones(count, self.latent_size))
        self.register_buffer("weights", torch.full((count,), 1 / count))

    def log_posterior(self, z: Tensor) -> Tensor:
        """log q of latents (..., D), equation 1 with one degree of freedom: (..., K)."""
        squared = (z.unsqueeze(-2) - self.centres).square().sum(-1)
        return (-squared.log1p()).log_softmax(-1)

    def log_target(self, log_q: Tensor) -> Tensor:
        """log p, the target of soft assignments log q, equation 3: both (B, K)."""
        return (2 * log_q - self.frequencies.log()).log_softmax(-1)

    def clustering(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """KL(P || Q) of latents (B, D), equation 2, mean over the batch, and log q (B, K)."""
        log_q = self.log_posterior(z)
        log_p = self.log_target(log_q.detach())
        return (log_p.exp() * (log_p - log_q)).sum(-1).mean(), log_q

    def objective(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Terms]:
        """Return -KL(P || Q); while pretraining, the autoencoder's reconstruction."""
        z = self.encoded(x)[0]
        weight = self.config.reconstruction_weight
        with torch.set_grad_enabled(torch.is_grad_enabled() and (self.pretraining or weight > 0)):
            reconstruction = self.reconstruction(x, z).mean()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.pretraining):
            clustering, log_q = self.clustering(z)
        objective = reconstruction if self.pretraining else weight * reconstruction - clustering
        values = (reconstruction, clustering, categorical_uniform_kl(log_q).mean(), objective)
        return objective, {
            name: value.detach() for name, value in zip(self.terms, values, strict=True)
        }

    def training_step(self, x: Tensor, generator: torch.Generator) -> Terms:
        """Take one Adam step; the frequencies follow the batch it was taken on."""
        if not self.pretraining:
            with torch.no_grad():
                frequencies = self.mean_of_batch(self.log_responsibilities(x).exp().mean(0))
                self.frequencies.lerp_(frequencies, _FOLLOW)
        return super().training_step(x, generator)

    def end_epoch(self, epoch: int, x: Tensor, generator: torch.Generator) -> None:
        """Refresh the frequencies of the target and the spread of the clusters."""
        super().end_epoch(epoch, x, generator)
        self.refresh(self.latents(x))

    def prepare(self, x: Tensor, generator: torch.Generator) -> None:
        """Place the centres by k-means on the latents of the untrained encoder."""
        super().prepare(x, generator)
        self.refresh(self.latents(x))

    @torch.no_grad()
    def refit(self, x: Tensor, generator: torch.Generator, restarts: int = 1) -> None:
        """Place the centres by k-means."""
        latents = self.fitted_latents(x, generator)
        seed = random_state(generator)
        if latents is None:
            return
        before = as_array(self.centres) if self.fitted else None
        count = self.config.components
        centres = fit_centres(latents, count, random_state=seed, before=before, restarts=restarts)
        if self.config.start == "mixture":
            means = fit_mixture(
                latents, count, random_state=seed, full=True, restarts=restarts
            ).means
            centres = means[matching(centres, means)]
        self.centres.copy_(torch.from_numpy(centres))

    @torch.no_grad()
    def refresh(self, z: Tensor) -> None:
        """Take frequencies, spreads and shares of the clusters from all latents (N, D)."""
        log_q = self.log_posterior(z)
        self.frequencies.copy_(log_q.exp().mean(0))
        members = nn.functional.one_hot(log_q.argmax(-1), self.config.components).to(z.dtype)
        counts = members.sum(0)  # (K,)
        square = members.T @ z.square() - 2 * self.centres * (members.T @ z)
        spread = square / counts.clamp(min=1)[:, None] + self.centres.square()
        # An idle centre keeps a spread that can be drawn.
        spread = torch.where(counts[:, None] > 0, spread, z.var(0))
        self.variances.copy_(spread.clamp(min=1e-6))
        self.weights.copy_(counts / len(z))

    def components(self) -> Components:
        """Centres, with the spread of their points around them and their share of the data."""
        return Components(self.centres.detach(), self.variances, self.weights)
