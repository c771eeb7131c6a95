"""GMVAE, version 1: classifier head q(c|x), weighted z-prior and consistency violation.

Dilokthanakul et al., arXiv:1611.02648v1, equations 3 to 7:

    L = E_q(z|x) log p(x|z)                                            reconstruction
      - 1/S sum_s sum_c q(c|x) KL( q(z|x) || N(mu_c(w_s), v_c(w_s)) )   conditional prior, equation 4
      - KL( q(w|x) || N(0, I) )                                        w-prior
      - eta KL( q(c|x) || 1/K )                                        z-prior
      - alpha E H[ p(c | z, w) ]                                       consistency violation, equation 6
"""

from typing import ClassVar

from torch import Tensor

from mixviz.models.config import ModelConfig, Preset, setting
from mixviz.models.gmvae import GMVAE, Draws, GMVAEConfig, Recognition
from mixviz.models.objectives import categorical_entropy, categorical_uniform_kl


class GMVAEv1Config(GMVAEConfig):
    """Settings of version 1."""

    components: int = setting(
        8,
        "Components (K)",
        "Number of components of the mixture; more than the data need is the usual choice.",
        paper="8 on arcs",
        ge=1,
        le=1000,
    )
    eta: float = setting(
        1.0,
        "z-prior weight η",
        "Pulls each point's component probabilities towards uniform; 1 is the evidence lower bound.",
        paper="0 or 1",
        live=True,
        ge=0,
        le=10,
    )
    alpha: float = setting(
        2.0,
        "Consistency weight α",
        "Penalises latents that lie between components.",
        paper="0, 1 or 2 on arcs, 0.4 on SVHN",
        live=True,
        ge=0,
        le=10,
    )


def _figure(letter: str, eta: float, alpha: float, outcome: str, reason: str) -> Preset:
    return Preset(
        f"v1 figure 2{letter}: η={eta:g}, α={alpha:g}, {outcome}",
        "arcs",
        {"components": 8, "eta": eta, "alpha": alpha},
        f"{reason} Ten times the paper's learning rate.",
    )


class GMVAEv1(GMVAE):
    """GMVAE whose q(c|x) is a softmax head on the shared trunk."""

    Config: ClassVar[type[ModelConfig]] = GMVAEv1Config
    title = "GMVAE v1"
    classifier_head = True
    config: GMVAEv1Config
    presets: ClassVar[dict[str, Preset]] = {
        "v1-figure-2c": _figure(
            "c",
            1,
            0,
            "degenerate",
            "The plain evidence lower bound: the z-prior undoes clustering.",
        ),
        "v1-figure-2d": _figure(
            "d", 0, 0, "overlapping", "Without the z-prior nothing keeps components apart either."
        ),
        "v1-figure-2e": _figure(
            "e", 0, 1, "one big cluster", "The consistency violation alone empties all but one."
        ),
        "v1-figure-2f": _figure("f", 1, 2, "clean", "Both in balance: a few clean clusters."),
        "v1-arcs-laptop": Preset(
            "Arcs, K=5",
            "arcs",
            {"components": 5, "alpha": 0.4, "component_spread": 1.0},
            "As many components as arcs; α as the paper takes it for SVHN, because 2 empties some.",
        ),
        "v1-digits-laptop": Preset(
            "8x8 digits, K=10",
            "digits",
            {"components": 10, "alpha": 0.4, "epochs": 100, "batch_size": 50},
            "Small network; α as the paper takes it for SVHN, because 2 empties components.",
        ),
        "v1-mnist-laptop": Preset(
            "MNIST in minutes: small network, K=10",
            "mnist",
            {
                "components": 10,
                "alpha": 0.4,
                "network": "small",
                "epochs": 15,
                "batch_size": 128,
            },
            "Two fully connected layers instead of the paper's convolutions, and one sample for ten.",
        ),
        "v1-mnist-paper": Preset(
            "v1 table 1: MNIST, K=16, M=10",
            "mnist",
            {
                "components": 16,
                "samples": 10,
                "alpha": 0.4,
                "epochs": 100,
                "batch_size": 50,
                "learning_rate": 1e-4,
            },
            "The paper prints neither α nor η for MNIST; η is 1, and α of 0.4, the epochs and the batch size "
            "are those of the released code.",
        ),
    }

    def bound(
        self, x: Tensor, q: Recognition, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Evaluate equations 3 to 7."""
        log_head = self.log_responsibilities_of(q)  # (B, K)
        conditional_prior = (log_head.exp() * draws.z_kl).sum(-1).mean()
        z_prior = categorical_uniform_kl(log_head).mean()
        violation = categorical_entropy(draws.log_posterior).mean()
        objective = (
            draws.reconstruction
            - conditional_prior
            - draws.w_prior
            - self.config.eta * z_prior
            - self.config.alpha * violation
        )
        return objective, conditional_prior, z_prior, violation

    def log_responsibilities_of(self, q: Recognition) -> Tensor:
        """log q(c|x), the head: (B, K)."""
        assert q.component_logits is not None
        return q.component_logits.log_softmax(-1)
