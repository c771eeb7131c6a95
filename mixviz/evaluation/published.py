"""The papers' own figures, to hold against runs: each with its mapping, K and source."""

from typing import NamedTuple


class Published(NamedTuple):
    """A figure of a paper: accuracy in per cent under the mapping the paper uses.

    Attributes
    ----------
    model, dataset, components, samples
        `components` is K; `samples` is S, None where the model has none.
    mean, deviation, best
        Over the paper's runs; None where it gives none.
    mapping
        A key of `evaluation.MAPPINGS`.
    split
        What it was measured on.
    source
        Table or version, with what else matters.
    """

    model: str
    dataset: str
    components: int
    samples: int | None
    mean: float | None
    deviation: float | None
    best: float | None
    mapping: str
    split: str
    source: str

    @property
    def figure(self) -> float:
        """The mean, or the best run's where no mean is printed, in percent."""
        value = self.best if self.mean is None else self.mean
        assert value is not None
        return value

    @property
    def accuracy(self) -> str:
        """The figure as the papers print it."""
        if self.mean is None:
            return f"best {self.best:.2f}"
        text = f"{self.mean:.2f}"
        text += f" ± {self.deviation:.2f}" if self.deviation is not None else ""
        return text + (f" (best {self.best:.2f})" if self.best is not None else "")


_BEST, _ONE, _MAJORITY = "most_confident", "hungarian", "majority"
_MNIST, _FASHION = "mnist", "fashion-mnist"
_STL, _CIFAR_10, _CIFAR_100 = "stl-10-resnet50", "cifar-10-resnet50", "cifar-100-resnet50"
_V1, _V2, _NVISA = "GMVAE v1, table 1", "GMVAE v2, table 1", "NVISA table I"

PUBLISHED = (
    Published("gmvae-v1", _MNIST, 10, 1, 74.47, 10.20, 87.71, _BEST, "test", _V1),
    Published("gmvae-v1", _MNIST, 10, 10, 86.94, 6.62, 93.67, _BEST, "test", _V1),
    Published("gmvae-v1", _MNIST, 16, 1, 84.80, 3.11, 88.36, _BEST, "test", _V1),
    Published("gmvae-v1", _MNIST, 16, 10, 90.24, 5.74, 97.50, _BEST, "test", _V1),
    Published("gmvae-v2", _MNIST, 10, 1, 77.78, 5.75, 87.31, _BEST, "test", _V2),
    Published("gmvae-v2", _MNIST, 10, 10, 82.31, 3.75, 88.54, _BEST, "test", _V2),
    Published("gmvae-v2", _MNIST, 16, 1, 85.09, 1.99, 89.01, _BEST, "test", _V2),
    Published("gmvae-v2", _MNIST, 16, 10, 87.82, 5.33, 96.92, _BEST, "test", _V2),
    Published("gmvae-v2", _MNIST, 30, 1, 92.77, 1.60, 95.84, _BEST, "test", _V2),
    Published("gmvae-v2", _MNIST, 30, 10, 89.27, 2.50, 93.22, _BEST, "test", _V2),
    Published("nvisa", _MNIST, 10, 15, 96.55, 2.64, 98.40, _ONE, "test", _NVISA),
    Published("nvisa", _FASHION, 10, 15, 62.63, 2.92, 66.14, _ONE, "test", _NVISA),
    Published("nvisa", _STL, 10, 15, 89.15, 2.36, 91.22, _ONE, "test", _NVISA),
    Published("nvisa", _CIFAR_10, 10, 15, 71.37, 2.79, 76.96, _ONE, "test", _NVISA),
    Published("nvisa", _CIFAR_100, 100, 50, 37.32, 0.70, 38.79, _ONE, "test", _NVISA),
    Published("ae-gmm", _MNIST, 10, None, 84.27, None, None, _ONE, "test", _NVISA),
    Published("vae-gmm", _MNIST, 10, None, 76.87, None, None, _ONE, "test", _NVISA),
    Published("dec", _MNIST, 10, None, None, None, 84.30, _ONE, "all", f"DEC, by {_NVISA}"),
    Published("vade", _MNIST, 10, None, None, None, 94.46, _ONE, "test", f"VaDE, by {_NVISA}"),
    Published("amm", _MNIST, 10, None, 96.68, 0.39, None, _ONE, "test", "AMM table 1"),
    Published("amm", _MNIST, 20, None, 96.01, 0.79, None, _MAJORITY, "test", "AMM table 1"),
    Published("amm", _MNIST, 30, None, 95.99, 1.11, None, _MAJORITY, "test", "AMM table 1"),
    Published("amm", "svhn", 20, None, 65.00, 5.24, None, _MAJORITY, "test", "AMM table 1"),
    Published("amm", "svhn", 30, None, 79.60, 0.80, None, _MAJORITY, "test", "AMM table 1"),
    Published("samm", "svhn", 10, None, 94.40, 0.45, None, _ONE, "test", "SAMM table 2"),
    Published("mpcc", _MNIST, 10, None, 98.48, 0.52, None, _MAJORITY, "all", "MPCC table 4"),
    Published(
        "mpcc",
        "omniglot",
        100,
        None,
        65.87,
        1.46,
        None,
        _MAJORITY,
        "all",
        "MPCC table 4, of other 100 classes",
    ),
    Published("mpcc", _FASHION, 10, None, 62.56, 4.16, None, _MAJORITY, "all", "MPCC table 4"),
    Published("mpcc", "cifar-10", 10, None, 64.25, 5.31, None, _MAJORITY, "all", "MPCC table 4"),
    Published(
        "mpcc", "cifar-100-20", 20, None, 35.21, 1.69, None, _MAJORITY, "all", "MPCC table 4"
    ),
)
