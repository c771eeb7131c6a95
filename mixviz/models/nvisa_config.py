"""Settings and presets of NVISA."""

from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from mixviz.models.config import Preset, setting
from mixviz.models.start_config import StartConfig


class NVISAConfig(StartConfig):
    """Settings of NVISA; `samples` stands before `estimator`, which is checked against it."""

    samples: int = setting(
        15,
        "Monte Carlo samples (S)",
        "Samples of (c, z) drawn for each observation; enumerate draws S of z for every component.",
        paper="15; 50 where K=100",
        ge=1,
        le=1000,
    )
    estimator: Literal["vimco", "nvil", "enumerate"] = setting(
        "vimco",
        "Gradient estimator",
        "vimco weighs samples against each other, nvil against a learned baseline, "
        "enumerate sums over all components.",
        paper="vimco",
        validate_default=True,
    )
    reparameterise_z: bool = setting(
        False,
        "Reparameterise z",
        "VIMCO's score function for c alone, gradients through the samples of z; less noise.",
        paper="off",
    )
    mean_field: bool = setting(
        False,
        "Mean field",
        "The control q(z|x), which does not see the component, in place of q(z|c,x).",
        paper="off",
    )
    likelihood: Literal["auto", "bernoulli", "gaussian"] = setting(
        "auto",
        "Likelihood p(x|z)",
        "Gaussian with learned standard deviations, or Bernoulli for values in [0, 1]; "
        "auto takes Bernoulli for images.",
        paper="gaussian",
    )
    noise_levels: int = setting(
        0,
        "Grey levels to dequantise",
        "Number of grey levels between which uniform noise fills the gaps in images; 0 adds none.",
        paper="256 for images",
        ge=0,
        le=65536,
    )
    network: Literal["auto", "points", "small", "strided", "conv28", "conv32"] = setting(
        "auto",
        "Network",
        "Trunk and decoder; the paper prints no sizes. Offered are those of the GMVAE papers (points, "
        "conv28, conv32), small, 256-256, and strided, whose decoder of linear layers is cheap on processors.",
        paper="convolutions",
    )
    latent_size: int | None = setting(
        None,
        "Latent size (D)",
        "Dimensions of z; empty takes 2 for points and 10 for anything else.",
        paper="10; 16 for Fashion-MNIST, 5 for STL-10",
        ge=1,
        le=1000,
    )
    component_spread: float = setting(
        1.0,
        "Initial spread of the components",
        "Standard deviation in which the component means start apart, without pretraining.",
        ge=0,
        le=100,
    )
    std_start: float = setting(
        1.0,
        "Annealing: start",
        "Lower bound of the standard deviations of p(x|z) and q(z|c,x) at the start.",
        paper="1",
        live=True,
        ge=0,
        le=10,
    )
    std_factor: float = setting(
        0.5,
        "Annealing: factor",
        "The bound is multiplied by this after every period.",
        paper="0.5",
        live=True,
        gt=0,
        le=1,
    )
    std_period: float = setting(
        100.0,
        "Annealing: period (epochs)",
        "Epochs between two steps of the annealing, pretraining left out.",
        paper="100",
        live=True,
        gt=0,
        le=100_000,
    )
    std_floor: float = setting(
        1e-4,
        "Annealing: floor",
        "The bound does not sink under this.",
        paper="1e-4",
        live=True,
        gt=0,
        le=1,
    )
    learning_rate: float = setting(
        1e-3, "Learning rate", "Step size of Adam.", paper="1e-3", live=True, gt=0, le=0.1
    )
    halving_period: float = setting(
        300.0,
        "Learning rate: halving (epochs)",
        "Epochs after which the learning rate is halved, again and again, pretraining left out.",
        paper="300",
        live=True,
        gt=0,
        le=100_000,
    )

    @field_validator("estimator")
    @classmethod
    def _others_to_compare_with(cls, estimator: str, values: ValidationInfo) -> str:
        if estimator == "vimco" and values.data.get("samples") == 1:
            raise ValueError(
                "VIMCO weighs each sample against the others and samples=1 leaves none; "
                "take samples=2 or more, or another estimator"
            )
        return estimator


def _paper(title: str, dataset: str, **settings: Any) -> Preset:
    """Settings of section III-A; the paper prints neither epochs nor batch size nor layer sizes."""
    layers = "two of 256 of our own" if "resnet50" in dataset else "those of the GMVAE papers"
    return Preset(
        title,
        dataset,
        {
            "components": 10,
            "samples": 15,
            "likelihood": "gaussian",
            "epochs": 1500,
            "batch_size": 128,
            **settings,
        },
        "As printed where it is printed; 1,500 epochs take the annealing to its floor, batches of 128 are "
        f"ours, and hidden layers are {layers}.",
    )


_MINUTES: dict[str, Any] = {
    "components": 10,
    "samples": 1,
    "estimator": "enumerate",
    "likelihood": "gaussian",
    "network": "strided",
    "init": "umap-gmm",
    "teacher_epochs": 4,
    "teacher_augment": True,
    "std_start": 0.3,
    "std_floor": 0.3,
    "halving_period": 2.0,
    "epochs": 7,
    "batch_size": 256,
    "precision": "bf16-mixed",
}

PRESETS: dict[str, Preset] = {
    "nvisa-arcs-laptop": Preset(
        "Arcs, annealed over 15 epochs",
        "arcs",
        {
            "components": 5,
            "samples": 5,
            "pretrain_epochs": 5,
            "std_start": 0.2,
            "std_period": 5.0,
            "std_floor": 0.02,
            "epochs": 20,
        },
        "After five epochs of the autoencoder the annealing starts below the spread of the data, 0.5, and "
        "ends at 0.05, twice that of an arc.",
    ),
    "nvisa-digits-laptop": Preset(
        "8x8 digits from an autoencoder",
        "digits",
        {
            "components": 10,
            "samples": 5,
            "pretrain_epochs": 30,
            "init": "umap-gmm",
            "teacher_epochs": 15,
            "likelihood": "bernoulli",
            "std_start": 2.0,
            "std_period": 10.0,
            "epochs": 60,
            "batch_size": 100,
        },
        "1,797 small images hold few nats: a Bernoulli likelihood, an autoencoder and clusters among "
        "UMAP coordinates, which teach for 15 epochs, make them enough; one step of the annealing "
        "takes 10 epochs instead of 100.",
    ),
    "nvisa-mnist-laptop": Preset(
        "MNIST in minutes: from clusters that UMAP finds",
        "mnist",
        _MINUTES,
        "Seven epochs in place of 1,500: clusters among UMAP coordinates teach q(c|x) for four epochs, "
        "with moved images (data augmentation), three end on the bound alone. One sample for each "
        "component is enough, and a bound of 0.3 on the standard deviations keeps the clusters: under "
        "smaller ones the likelihood outweighs them.",
    ),
    "nvisa-fashion-mnist-laptop": Preset(
        "Fashion-MNIST in minutes: from clusters that UMAP finds",
        "fashion-mnist",
        {**_MINUTES, "map_blur": 1.0, "map_count": 5},
        "As on MNIST; clothes are blurred before UMAP sees them, whose outlines differ by a pixel, and "
        "clusters are what most of five maps agree on: two in five maps show others.",
    ),
    "nvisa-mnist-paper": _paper("Table I: MNIST", "mnist", noise_levels=256, latent_size=10),
    "nvisa-fashion-mnist-paper": _paper(
        "Table I: Fashion-MNIST", "fashion-mnist", noise_levels=256, latent_size=16
    ),
    "nvisa-stl-10-paper": _paper("Table I: STL-10", "stl-10-resnet50", latent_size=5),
    "nvisa-cifar-10-paper": _paper("Table I: CIFAR-10", "cifar-10-resnet50", latent_size=10),
    "nvisa-cifar-100-paper": _paper(
        "Table I: CIFAR-100", "cifar-100-resnet50", latent_size=10, components=100, samples=50
    ),
}
