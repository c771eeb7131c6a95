"""Image sets read from the files that their authors published; nothing is unpickled."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mixviz.data.dataset import Dataset
from mixviz.data.downloads import data_root

DIGIT_NAMES = tuple(str(digit) for digit in range(10))

USPS_FILES = ("usps.bz2", "usps.t.bz2")
SVHN_FILES = ("train_32x32.mat", "test_32x32.mat")
SVHN_EXTRA_FILES = (*SVHN_FILES, "extra_32x32.mat")
CIFAR_10_FILES = tuple(
    f"cifar-10-batches-bin/{name}"
    for name in (
        *(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
        "batches.meta.txt",
    )
)
CIFAR_100_FILES = tuple(
    f"cifar-100-binary/{name}"
    for name in ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")
)
STL_10_FILES = tuple(
    f"stl10_binary/{name}"
    for name in ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")
)
OMNIGLOT_FILES = ("omniglot-py/images_background.zip", "omniglot-py/images_evaluation.zip")


def usps(split: str) -> Dataset:
    """Return USPS (Hull 1994): handwritten digits of 16x16 grey pixels, through torchvision."""
    import torchvision.datasets

    images = torchvision.datasets.USPS(str(data_root()), train=split == "train")
    return _dataset("usps", split, images.data[:, None], np.array(images.targets), DIGIT_NAMES)


def svhn(split: str) -> Dataset:
    """Return SVHN (Netzer et al. 2011): digits of house numbers, 32x32 pixels in colour."""
    return _dataset("svhn", split, *_house_numbers(split), DIGIT_NAMES)


def svhn_extra(split: str) -> Dataset:
    """Return SVHN whose training part has the 531,131 easier extra images after its own."""
    files = ("train", "extra") if split == "train" else (split,)
    pixels, labels = map(np.concatenate, zip(*map(_house_numbers, files), strict=True))
    return _dataset("svhn-extra", split, pixels, labels, DIGIT_NAMES)


def _house_numbers(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one MATLAB file of SVHN: X (32, 32, 3, N) and y (N, 1), in which 10 stands for 0."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(data_root() / f"{part}_32x32.mat", variable_names=["X", "y"])
    except MatReadError as error:
        raise ValueError(str(error)) from error
    pixels, labels = content["X"], content["y"]
    if pixels.dtype != np.uint8 or pixels.shape[:3] != (32, 32, 3):
        raise ValueError(f"X in {part}_32x32.mat has shape {pixels.shape} and type {pixels.dtype}")
    return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels.ravel().astype(np.int64) % 10


def cifar_10(split: str) -> Dataset:
    """Return CIFAR-10 (Krizhevsky 2009): 10 kinds of things, 32x32 pixels in colour."""
    folder = data_root() / "cifar-10-batches-bin"
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    labels, pixels = _cifar([folder / file for file in files], label_bytes=1)
    return _dataset("cifar-10", split, pixels, labels[:, 0], _lines(folder / "batches.meta.txt"))


def cifar_100(split: str) -> Dataset:
    """Return CIFAR-100 (Krizhevsky 2009): 100 kinds of things, 32x32 pixels in colour."""
    folder = data_root() / "cifar-100-binary"
    labels, pixels = _cifar([folder / f"{split}.bin"], label_bytes=2)
    names = _lines(folder / "fine_label_names.txt")
    return _dataset("cifar-100", split, pixels, labels[:, 1], names)


def cifar_100_20(split: str) -> Dataset:
    """Return CIFAR-100 with its 20 superclasses as labels."""
    folder = data_root() / "cifar-100-binary"
    labels, pixels = _cifar([folder / f"{split}.bin"], label_bytes=2)
    names = _lines(folder / "coarse_label_names.txt")
    return _dataset("cifar-100-20", split, pixels, labels[:, 0], names)


def _cifar(files: Sequence[Path], label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read records of label bytes, then 3,072 pixels; CIFAR-100's coarse label is the first."""
    parts = [_records(file, label_bytes + 3 * 32 * 32) for file in files]
    rows = np.concatenate(parts)  # (N, label_bytes + 3072)
    return rows[:, :label_bytes].astype(np.int64), rows[:, label_bytes:].reshape(-1, 3, 32, 32)


def _records(file: Path, size: int) -> np.ndarray:
    """Read a file of records of `size` bytes as (N, size)."""
    raw = np.fromfile(file, np.uint8)
    if len(raw) % size or not len(raw):
        raise ValueError(f"{file.name} has {len(raw)} bytes, no whole number of images")
    return raw.reshape(-1, size)


def stl_10(split: str) -> Dataset:
    """Return the labelled images of STL-10 (Coates et al. 2011): 96x96 pixels in colour."""
    folder = data_root() / "stl10_binary"
    raw = _records(folder / f"{split}_X.bin", 3 * 96 * 96)
    pixels = raw.reshape(-1, 3, 96, 96).swapaxes(2, 3)  # columns come first in the file
    labels = np.fromfile(folder / f"{split}_y.bin", np.uint8).astype(np.int64) - 1
    return _dataset("stl-10", split, pixels, labels, _lines(folder / "class_names.txt"))


def omniglot(split: str) -> Dataset:
    """Return all of Omniglot (Lake et al. 2015): characters of 50 alphabets, ink bright.

    Its two published parts have no alphabet in common, so neither can score the other.
    Drawings of 105x105 pixels are reduced to 28x28 by Pillow's bilinear filter.
    """
    found = [item for file in OMNIGLOT_FILES for item in _drawings(data_root() / file)]
    names = sorted({alphabet for alphabet, _ in found})
    index = {alphabet: i for i, alphabet in enumerate(names)}
    pixels = np.array([drawing for _, drawing in found], np.uint8).reshape(-1, 1, 28, 28)
    labels = np.array([index[alphabet] for alphabet, _ in found], np.int64)
    return _dataset("omniglot", split, pixels, labels, [name.replace("_", " ") for name in names])


def _drawings(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield alphabet and drawing from FOLDER/ALPHABET/CHARACTER/DRAWING.png in a zip file."""
    from PIL import Image

    with zipfile.ZipFile(file) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".png"):
                continue
            _, alphabet, _, _ = name.split("/")
            with archive.open(name) as content, Image.open(content, formats=["PNG"]) as image:
                if image.size != (105, 105):
                    raise ValueError(f"{name} in {file.name} has {image.size} pixels")
                small = image.convert("L").resize((28, 28), Image.Resampling.BILINEAR)
            yield alphabet, 255 - np.asarray(small)


def _lines(file: Path) -> tuple[str, ...]:
    """Return the lines of a text file that are not empty: names of classes."""
    return tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())


def _dataset(
    name: str, split: str, pixels: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> Dataset:
    """Check bytes (N, C, H, W) and labels (N,) against each other; scale the pixels."""
    if len(pixels) != len(labels) or not len(labels):
        raise ValueError(f"{len(pixels)} images and {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(f"labels {labels.min()} to {labels.max()}, but {len(names)} classes")
    return Dataset(
        name=name,
        split=split,
        x=np.ascontiguousarray(pixels) / np.float32(255),
        kind="image",
        scaling="pixels divided by 255, in [0, 1]",
        labels=labels.astype(np.int64),
        label_names=tuple(names),
    )
