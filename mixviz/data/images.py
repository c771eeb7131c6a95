"""Image data sets: scikit-learn's digits, and MNIST and Fashion-MNIST through torchvision."""

from pathlib import Path

import numpy as np

from mixviz.data.dataset import Dataset
from mixviz.data.downloads import data_root


def digits(split: str) -> Dataset:
    """Return scikit-learn's 1,797 handwritten digits of 8x8 pixels, which have no official split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Dataset(
        name="digits",
        split=split,
        x=(bunch.images[:, None] / 16).astype(np.float32),
        kind="image",
        scaling="pixels divided by 16, in [0, 1]",
        labels=bunch.target.astype(np.int64),
        label_names=tuple(str(i) for i in range(10)),
    )


def torchvision_images(name: str, class_name: str, split: str, download: bool = False) -> Dataset:
    """Load a torchvision grey-scale set from `data_root()`.

    Raises
    ------
    RuntimeError, OSError
        From torchvision, when files are missing and `download` is false, or the network fails.
    ValueError
        When there are not as many labels as images.
    """
    import torchvision.datasets

    images = getattr(torchvision.datasets, class_name)(
        str(data_root()), train=split == "train", download=download
    )
    if len(images.data) != len(images.targets):
        raise ValueError(f"{len(images.data)} images and {len(images.targets)} labels")
    return Dataset(
        name=name,
        split=split,
        x=(images.data.numpy()[:, None] / np.float32(255)).astype(np.float32),
        kind="image",
        scaling="pixels divided by 255, in [0, 1]",
        labels=images.targets.numpy().astype(np.int64),
        label_names=tuple(name.split(" - ")[-1] for name in images.classes),
    )


def torchvision_files(class_name: str) -> list[Path]:
    """Return the four files that torchvision reads for one of its MNIST-like sets."""
    folder = data_root() / class_name / "raw"
    return [
        folder / f"{part}-{content}-ubyte"
        for part in ("train", "t10k")
        for content in ("images-idx3", "labels-idx1")
    ]


_COMPRESSED_BYTES = {"MNIST": 11_594_722, "FashionMNIST": 30_878_645}


def downloaded_share(class_name: str) -> float:
    """Share of a set's compressed bytes that are on disk, in [0, 1]."""
    folder = data_root() / class_name / "raw"
    there = sum(file.stat().st_size for file in folder.glob("*.gz")) if folder.is_dir() else 0
    return min(1.0, there / _COMPRESSED_BYTES[class_name])
