"""Settings of MPCC and AIM."""

from typing import Literal

from mixviz.models.config import ModelConfig, setting


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
        "residual is the paper's, for square images of 8 to 64 pixels; auto takes it for images "
        "and dense for the rest.",
        paper="residual",
    )
    width: int | None = setting(
        None,
        "Width (C)",
        "Every block has 4C channels or units; empty takes 4 for images and 16 for the rest.",
        paper="12 on MNIST, 16 on Omniglot, 24 on Fashion-MNIST, 96 on CIFAR",
        ge=1,
        le=256,
    )
    latent_size: int | None = setting(
        None,
        "Latent size (D)",
        "Dimensions of z; empty takes 24 for images of 32 pixels, 12 for smaller ones, 2 for points "
        "and 10 for other vectors.",
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


class MPCCConfig(AIMConfig):
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
