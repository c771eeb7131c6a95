"""Settings of MPCC and AIM."""

from typing import Any, Literal

from mixviz.models.config import ModelConfig, Preset, setting
from mixviz.models.start_config import GameStartConfig


class AIMConfig(ModelConfig):
    """What both have."""

    components: int = setting(
        1,
        "Components (K)",
        "AIM has one standard normal; more are copies of it, which nothing can tell apart.",
        paper="1",
        ge=1,
        le=1000,
    )
    network: Literal["auto", "dense", "residual"] = setting(
        "auto",
        "Network",
        "residual is the paper's, for square images of 5 to 64 pixels; auto takes it for images "
        "and dense for the rest.",
        paper="residual",
    )
    width: int | None = setting(
        None,
        "Width (C)",
        "Every block has 4C channels or units; empty takes 4 for residual networks, 16 for dense.",
        paper="12 on MNIST, 16 on Omniglot, 24 on Fashion-MNIST, 96 on CIFAR",
        ge=1,
        le=256,
    )
    latent_size: int | None = setting(
        None,
        "Latent size (D)",
        "Dimensions of z; empty takes 24 for images from 17 pixels on, 2 for points, 12 for the rest.",
        paper="24 on MNIST and Omniglot, 16 on Fashion-MNIST, 128 on CIFAR",
        ge=1,
        le=1000,
    )
    conditioning: Literal["per_class", "shared", "split"] = setting(
        "per_class",
        "How z and c reach the generator",
        "per_class: batch norms with tables of c; shared: all of z and an embedding of c in every "
        "block; split: a part of z in each block.",
        paper="per_class on MNIST and Omniglot, shared on Fashion-MNIST, split on CIFAR",
    )
    share_blocks: bool = setting(
        True,
        "Encoder shares the discriminator's blocks",
        "All blocks but the last are one network, which both games train.",
        paper="shared, and not shared in table 2",
    )
    d_steps: int = setting(
        4,
        "Discriminator steps",
        "Steps in one iteration; each takes an equal part of the run's batch.",
        paper="4, with 50 observations each",
        ge=1,
        le=20,
    )
    e_steps: int = setting(4, "Encoder steps", "Steps in one iteration.", paper="4", ge=1, le=20)
    learning_rate: float = setting(
        2e-4,
        "Learning rate η",
        "Step size of Adam for generator, discriminator and encoder.",
        paper="2e-4",
        live=True,
        gt=0,
        le=0.1,
    )
    halve_every: int | None = setting(
        None,
        "Epochs between halvings",
        "Learning rates are halved each time so many epochs are over; empty keeps them.",
        paper="kept",
        ge=1,
        le=100_000,
    )
    first_moment: float = setting(
        0.0,
        "Adam's first moment β₁",
        "Share of the last direction that Adam keeps.",
        paper="0",
        ge=0,
        le=0.99,
    )
    ema_decay: float = setting(
        0.9999,
        "Decay of the averaged generator",
        "The generator that samples is an exponential moving average of the one that is trained.",
        paper="0.9999",
        live=True,
        ge=0,
        le=1,
    )
    ema_start: int = setting(
        1000,
        "First averaged iteration",
        "Until then the averaged generator is a copy of the other.",
        paper="1000",
        ge=0,
        le=10_000_000,
    )
    standing_passes: int = setting(
        16,
        "Passes for standing statistics",
        "Passes of the averaged generator over which its batch norms take means and variances.",
        paper="16",
        ge=1,
        le=100,
    )


class MPCCConfig(GameStartConfig, AIMConfig):
    """What MPCC adds: the prior that is learned."""

    components: int = setting(
        10,
        "Components (K)",
        "Number of components of the mixture; the paper takes the number of classes.",
        paper="number of classes",
        ge=1,
        le=1000,
    )
    prior_learning_rate: float = setting(
        1.6e-3,
        "Learning rate of the prior η_p",
        "Step size of Adam for means and deviations; as small as the networks' it clusters badly.",
        paper="1.6e-3 on MNIST, Omniglot and Fashion-MNIST, 6e-4 on CIFAR",
        live=True,
        gt=0,
        le=0.5,
    )
    prior_weight: float = setting(
        0.01,
        "Weight of the prior's entropy λ_p",
        "Keeps components from shrinking; at 1 they grow without end.",
        paper="0.01",
        live=True,
        ge=0,
        le=10,
    )
    smallest_deviation: float = setting(
        0.5,
        "Smallest deviation",
        "No component gets narrower than this.",
        paper="0.5",
        live=True,
        ge=0,
        le=10,
    )


_LAPTOP: dict[str, Any] = {
    "e_steps": 2,
    "learning_rate": 5e-4,
    "first_moment": 0.5,
    "ema_decay": 0.99,
    "ema_start": 100,
}
_LAPTOP_REASON = (
    "A hundred times fewer iterations than the paper's: fewer steps in each, a higher learning rate "
    "with momentum, halved towards the end, a still faster prior, and a shorter average."
)
_SMALL_IMAGES: dict[str, Any] = {
    "d_steps": 3,
    "width": 6,
    "latent_size": 10,
    "batch_size": 150,
    "epochs": 160,
    "halve_every": 100,
}
_POINTS: dict[str, Any] = {
    "d_steps": 2,
    "width": 16,
    "latent_size": 2,
    "batch_size": 400,
    "epochs": 50,
    "halve_every": 20,
}
_LARGE_IMAGES: dict[str, Any] = {
    "d_steps": 2,
    "width": 2,
    "latent_size": 10,
    "batch_size": 100,
    "epochs": 3,
    "halve_every": 1,
}
_PAPER_REASON = (
    "As printed, on training and test images together; a batch holds the 50 images of each of the "
    "four discriminator steps, and the epochs make {} iterations. As in the authors' program, the encoder "
    "has a block more than table 7, and -log q(z|x~) reaches the prior in the encoder's first step."
)
_PADDED = " The paper resizes 28 pixels to 32; here a margin of black is put around them."
_PAPER: dict[str, Any] = {"batch_size": 200, "split": "all"}

MPCC_PRESETS = {
    "mpcc-arcs-laptop": Preset(
        "Arcs, K=5",
        "arcs",
        {"components": 5, "prior_learning_rate": 0.03} | _LAPTOP | _POINTS,
        _LAPTOP_REASON,
    ),
    "mpcc-digits-laptop": Preset(
        "8x8 digits, K=10",
        "digits",
        {"prior_learning_rate": 0.03} | _LAPTOP | _SMALL_IMAGES,
        _LAPTOP_REASON,
    ),
    "mpcc-mnist-laptop": Preset(
        "MNIST in minutes: dense, from clusters",
        "mnist",
        _LAPTOP
        | _LARGE_IMAGES
        | {
            "prior_learning_rate": 5e-3,
            "init": "umap-gmm",
            "teacher_epochs": 6,
            "network": "dense",
            "width": 64,
            "share_blocks": False,
            "epochs": 9,
            "halve_every": 2,
        },
        _LAPTOP_REASON
        + " Dense layers in place of convolutions, and an encoder of its own: the paper's network of a "
        "sixth of its width came to an accuracy of 0.31 in 1,800 iterations from random weights (seed 0). "
        "Clusters teach for six epochs, in which the accuracy reaches 0.88 (seed 0); the model's own "
        "losses, in which q(c|x) of data does not occur, take it to half of that in the three that follow. "
        "The paper takes 125,000 iterations on a GPU.",
    ),
    "mpcc-mnist-paper": Preset(
        "Table 4: MNIST, K=10",
        "mnist",
        {"width": 12, "latent_size": 24, "epochs": 358} | _PAPER,
        _PAPER_REASON.format("125,000") + _PADDED,
    ),
    "mpcc-omniglot-paper": Preset(
        "Table 4: Omniglot, K=100",
        "omniglot",
        {"components": 100, "width": 16, "latent_size": 24, "epochs": 772} | _PAPER,
        _PAPER_REASON.format("125,000")
        + " The paper's Omniglot is another choice of the images, with 100 classes, resized to 32 pixels; "
        "here they are of 28 with a margin.",
    ),
    "mpcc-fashion-mnist-paper": Preset(
        "Table 4: Fashion-MNIST, K=10",
        "fashion-mnist",
        {"width": 24, "latent_size": 16, "conditioning": "shared", "epochs": 215} | _PAPER,
        _PAPER_REASON.format("75,000") + _PADDED,
    ),
}
_COLOUR: dict[str, Any] = {
    "width": 96,
    "latent_size": 128,
    "conditioning": "split",
    "epochs": 250,
} | _PAPER
MPCC_PRESETS |= {
    "mpcc-cifar-10-paper": Preset(
        "Table 4: CIFAR-10, K=10",
        "cifar-10",
        {"prior_learning_rate": 6e-4} | _COLOUR,
        _PAPER_REASON.format("75,000"),
    ),
    "mpcc-cifar-100-20-paper": Preset(
        "Table 4: CIFAR-20, K=20",
        "cifar-100-20",
        {"components": 20, "prior_learning_rate": 6e-4} | _COLOUR,
        _PAPER_REASON.format("75,000"),
    ),
}
AIM_PRESETS = {
    "aim-arcs-laptop": Preset("Arcs", "arcs", _LAPTOP | _POINTS, _LAPTOP_REASON),
    "aim-digits-laptop": Preset("8x8 digits", "digits", _LAPTOP | _SMALL_IMAGES, _LAPTOP_REASON),
    "aim-mnist-laptop": Preset(
        "MNIST in minutes: a sixth of the paper's width",
        "mnist",
        _LAPTOP | _LARGE_IMAGES,
        _LAPTOP_REASON,
    ),
    "aim-cifar-10-paper": Preset(
        "Table 2: CIFAR-10, shared blocks",
        "cifar-10",
        _COLOUR | {"split": "train", "epochs": 300},
        "As printed, on the training images alone, as for the paper's scores of generated images; "
        "a batch holds the 50 images of each of the four discriminator steps.",
    ),
}
