"""Tiny sets of images in the formats of the published ones, and files of the user's own."""

import bz2
import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

COUNTS = {"train": 8, "test": 3, "extra": 5}
ALPHABETS = {"background": ("Greek", "Early_Aramaic"), "evaluation": ("Angelic", "Tengwar")}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return an empty folder for data."""
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pixels_and_labels(rng, count, shape, classes):
    return rng.integers(256, size=(count, *shape)).astype(np.uint8), rng.integers(
        classes, size=count
    )


@pytest.fixture
def published(root, rng):
    """Write every published set; return bytes (N, C, H, W) and labels by name and split."""
    content = {}
    write_usps(root, rng, content)
    write_svhn(root, rng, content)
    write_cifar(root, rng, content)
    write_stl_10(root, rng, content)
    write_omniglot(root, rng, content)
    return content


def write_usps(root, rng, content):
    for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        pixels, labels = pixels_and_labels(rng, COUNTS[split], (1, 16, 16), 10)
        # A little is added as torchvision rounds down to whole grey levels.
        values = (pixels.reshape(len(pixels), -1) + 0.01) / 127.5 - 1
        lines = [
            f"{label + 1} " + " ".join(f"{i}:{value:.6f}" for i, value in enumerate(row, 1))
            for label, row in zip(labels, values, strict=True)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))
        content["usps", split] = pixels, labels


def write_svhn(root, rng, content):
    parts = {}
    for part, count in COUNTS.items():
        pixels, labels = pixels_and_labels(rng, count, (3, 32, 32), 10)
        labels[0] = 0
        matrix = {
            "X": pixels.transpose(2, 3, 1, 0),
            "y": np.where(labels == 0, 10, labels).astype(np.uint8)[:, None],
        }
        savemat(root / f"{part}_32x32.mat", matrix, do_compression=True)
        parts[part] = pixels, labels
    for split in ("train", "test"):
        content["svhn", split] = parts[split]
    content["svhn-extra", "test"] = parts["test"]
    content["svhn-extra", "train"] = tuple(
        np.concatenate(arrays) for arrays in zip(parts["train"], parts["extra"], strict=True)
    )


def write_cifar(root, rng, content):
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    batches = [pixels_and_labels(rng, 2, (3, 32, 32), 10) for _ in range(6)]
    for i, (pixels, labels) in enumerate(batches, 1):
        rows = np.concatenate([labels[:, None], pixels.reshape(2, -1)], axis=1)
        name = f"data_batch_{i}.bin" if i < 6 else "test_batch.bin"
        (folder / name).write_bytes(rows.astype(np.uint8).tobytes())
    (folder / "batches.meta.txt").write_text("".join(f"thing {i}\n" for i in range(10)) + "\n")
    content["cifar-10", "test"] = batches[-1]
    content["cifar-10", "train"] = tuple(
        np.concatenate(arrays) for arrays in zip(*batches[:5], strict=True)
    )

    folder = root / "cifar-100-binary"
    folder.mkdir()
    for kind, classes in (("fine", 100), ("coarse", 20)):
        names = "".join(f"{kind} {i}\n" for i in range(classes))
        (folder / f"{kind}_label_names.txt").write_text(names)
    for split in ("train", "test"):
        pixels, fine = pixels_and_labels(rng, COUNTS[split], (3, 32, 32), 100)
        coarse = rng.integers(20, size=len(fine))
        rows = np.concatenate(
            [coarse[:, None], fine[:, None], pixels.reshape(len(fine), -1)], axis=1
        )
        (folder / f"{split}.bin").write_bytes(rows.astype(np.uint8).tobytes())
        content["cifar-100", split] = pixels, fine
        content["cifar-100-20", split] = pixels, coarse


def write_stl_10(root, rng, content):
    folder = root / "stl10_binary"
    folder.mkdir()
    (folder / "class_names.txt").write_text("".join(f"thing {i}\n" for i in range(10)))
    for split in ("train", "test"):
        pixels, labels = pixels_and_labels(rng, COUNTS[split], (3, 96, 96), 10)
        (folder / f"{split}_X.bin").write_bytes(pixels.swapaxes(2, 3).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
        content["stl-10", split] = pixels, labels


def write_omniglot(root, rng, content):
    """Write drawings that are black but for a white square, whose corner tells them apart."""
    folder = root / "omniglot-py"
    folder.mkdir()
    expected = []
    index = {name: i for i, name in enumerate(sorted(sum(ALPHABETS.values(), ())))}
    for part, alphabets in ALPHABETS.items():
        with zipfile.ZipFile(folder / f"images_{part}.zip", "w") as archive:
            archive.writestr(f"images_{part}/", b"")
            for alphabet in sorted(alphabets):
                for number in (1, 2):
                    top, left = rng.integers(7, size=2) * 15
                    drawing = np.zeros((105, 105), np.uint8)
                    drawing[top : top + 15, left : left + 15] = 255
                    file = io.BytesIO()
                    Image.fromarray(drawing).convert("1").save(file, "PNG")
                    name = f"images_{part}/{alphabet}/character01/0001_{number:02}.png"
                    archive.writestr(name, file.getvalue())
                    small = np.full((28, 28), 255, np.uint8)  # 15 of 105 pixels are 4 of 28
                    rows, columns = top // 15 * 4, left // 15 * 4
                    small[rows : rows + 4, columns : columns + 4] = 0
                    expected.append((small[None], index[alphabet]))
    drawings, labels = zip(*expected, strict=True)
    content["omniglot", "all"] = np.array(drawings), np.array(labels)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path):
    """Write a file and return its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
