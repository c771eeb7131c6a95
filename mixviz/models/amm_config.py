"""Settings and presets of the AMM."""

from typing import Literal

from pydantic import ValidationInfo, field_validator

from mixviz.models.config import Preset, setting
from mixviz.models.start_config import GameStartConfig


class AMMConfig(GameStartConfig):
    """Settings of the AMM."""

    factorisation: Literal["z_given_c", "c_given_z"] = setting(
        "c_given_z",
        "Inference distribution",
        "z_given_c is q(c|x) q(z|x, c), equation 6; c_given_z is q(z|x) q(c|x, z), equation 7.",
        paper="c_given_z in tables 3 and 7, z_given_c in algorithm 1",
    )
    mixture: Literal["learned", "fixed"] = setting(
        "learned",
        "Components p(z|c)",
        "Learned by a network, or fixed Gaussians of variance 1.",
        paper="learned",
    )
    component_spread: float = setting(
        0.0,
        "Spread of the components",
        "Standard deviation in which fixed means lie, and in which learned means start apart.",
        paper="not given",
        validate_default=True,
        ge=0,
        le=20,
    )
    logit_deviation: float = setting(
        1.0,
        "First noise of the logits",
        "Standard deviation of the head's Gaussian logits at the start; a small one keeps c from "
        "becoming one-hot by noise alone.",
        paper="1 (biases 0)",
        gt=0,
        le=10,
    )
    assignment: Literal["head", "bayes"] = setting(
        "head",
        "Assignment",
        "head takes the encoder's c without noise; bayes takes argmax p(z|c) p(c) at its z, as the "
        "paper's accuracies do. bayes_agreement is the share on which both agree.",
        paper="bayes (equations 17 and 19)",
    )
    network: Literal["auto", "points", "small", "conv28", "conv32"] = setting(
        "auto",
        "Network",
        "conv28 is tables 3 to 6, conv32 tables 7 to 10, points and small are dense; auto takes "
        "the one that fits the data.",
    )
    latent_size: int | None = setting(
        None,
        "Latent size (D)",
        "Dimensions of z; empty takes the size the network's table gives.",
        paper="64",
        ge=1,
        le=1000,
    )
    weight_deviation: float = setting(
        0.02,
        "Deviation of the first weights",
        "Standard deviation of the weights at the start; biases start at 0.",
        paper="0.02",
        gt=0,
        le=1,
    )
    penalty_weight: float = setting(
        10.0,
        "Gradient penalty λ",
        "Weight of the penalty that keeps the discriminator's gradient in (x, c, z) near length 1.",
        paper="10 on MNIST, 0.01 on SVHN",
        live=True,
        ge=0,
        le=1000,
    )
    learning_rate: float = setting(
        2e-4,
        "Learning rate",
        "Step size of Adam (first moment 0.5) for all networks, before any halving.",
        paper="2e-4",
        live=True,
        gt=0,
        le=0.1,
    )
    halve_every: int | None = setting(
        None,
        "Epochs between halvings",
        "The learning rate is halved each time so many epochs are over; empty keeps it.",
        paper="kept",
        ge=1,
        le=100_000,
    )

    @field_validator("component_spread")
    @classmethod
    def _fixed_apart(cls, spread: float, values: ValidationInfo) -> float:
        several = values.data.get("components", 1) > 1
        if values.data.get("mixture") == "fixed" and several and not spread:
            raise ValueError(
                "fixed components need a spread, without which all are the same; "
                "take component_spread=3, or mixture=learned"
            )
        return spread


LAPTOP = {
    "components": 5,
    "component_spread": 3.0,
    "logit_deviation": 0.1,
    "penalty_weight": 1.0,
    "learning_rate": 5e-4,
}
CLUSTERS = {"init": "umap-gmm"}
TAUGHT = (
    "Clusters among UMAP coordinates first teach the encoder for some epochs: from random weights it stayed "
    "{}. "
)
KEPT = {"mixture": "fixed", "halve_every": 3}
KEPT_REASON = (
    "The components are fixed, as the paper allows, and the steps shrink: AMM's learned ones drifted "
    "together once the teacher was gone, and at the full learning rate observations left their clusters in bursts. "
)
APART = (
    "Components start apart and the logits with little noise, because in minutes they do not part "
    "by themselves; the learning rate is higher than the paper's."
)

PRINTED = (
    "As printed, but trained on the images that the paper leaves out for validation too; it gives neither "
    "batch size nor epochs. "
)
READ_SVHN = (
    "The decoder's last layer (table 9) and the layer that joins the discriminator's three (table 10) are "
    "as their shapes ask."
)
PRESETS: dict[str, Preset] = {
    "amm-arcs-laptop": Preset(
        "Arcs, K=5",
        "arcs",
        {**LAPTOP, "penalty_weight": 0.1, "learning_rate": 1e-3, "epochs": 50},
        "The arcs are thin: a discriminator held to slope 1 cannot see their edges. " + APART,
    ),
    "amm-digits-laptop": Preset(
        "8x8 digits, K=10",
        "digits",
        {
            **LAPTOP,
            **CLUSTERS,
            "teacher_epochs": 100,
            "components": 10,
            "epochs": 300,
            "batch_size": 100,
        },
        "Slopes of 8x8 images are steeper, so that the penalty weighs less than the paper's on MNIST. "
        + TAUGHT.format("at k-means' accuracy")
        + APART,
    ),
    "amm-mnist-laptop": Preset(
        "MNIST in minutes: dense network, K=10",
        "mnist",
        {
            **LAPTOP,
            **CLUSTERS,
            **KEPT,
            "teacher_epochs": 6,
            "components": 10,
            "network": "small",
            "epochs": 10,
            "batch_size": 100,
        },
        "Dense layers instead of the paper's convolutions: ten times as fast. "
        + TAUGHT.format("under k-means in these minutes")
        + KEPT_REASON
        + APART,
    ),
    "amm-mnist-paper": Preset(
        "Table 1: MNIST, K=10",
        "mnist",
        {"components": 10, "assignment": "bayes", "epochs": 100, "batch_size": 100},
        PRINTED
        + "Variances of components are 1, as in table 4; section 4.2 says that they are learned.",
    ),
    "amm-svhn-paper": Preset(
        "Table 1: SVHN, K=30",
        "svhn",
        {
            "components": 30,
            "penalty_weight": 0.01,
            "assignment": "bayes",
            "epochs": 100,
            "batch_size": 100,
        },
        PRINTED + READ_SVHN,
    ),
}
