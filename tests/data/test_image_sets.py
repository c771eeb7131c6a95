"""Tests of the image sets: digits, MNIST files that are missing, damaged, tiny or the real ones."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torchvision.datasets

from mixviz.data import SOURCES, load, source
from mixviz.data.images import data_root, torchvision_files
from mixviz.errors import MixvizError

MNIST_LIKE = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}


def idx(values):
    """Bytes of an IDX file: zero, zero, 8 for unsigned bytes, dimensions, sizes, values."""
    sizes = np.array(values.shape, dtype=">u4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return an empty folder for data."""
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def written(root):
    """Write tiny sets of images; return what was written, by set and part."""
    rng = np.random.default_rng(0)
    content = {}
    for name, class_name in MNIST_LIKE.items():
        folder = root / class_name / "raw"
        folder.mkdir(parents=True)
        for part, prefix, count in (("train", "train", 7), ("test", "t10k", 4)):
            images = rng.integers(256, size=(count, 28, 28))
            labels = rng.integers(10, size=count)
            (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
            (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
            content[name, part] = images, labels
    return content


def test_digits_are_sixteenths():
    data = load("digits")
    assert data.x.shape == (1797, 1, 8, 8)
    assert data.x.dtype == np.float32
    assert sorted(set((16 * data.x).ravel().tolist())) == list(range(17))
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.label_names == tuple("0123456789")


def test_digits_have_one_part_and_say_so():
    assert load("digits", "train") is load("digits", "test")
    assert load("digits").split == "all"


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", MNIST_LIKE)
def test_files_are_read_pixel_by_pixel(written, name, part):
    data = load(name, part)
    images, labels = written[name, part]
    assert source(name).missing is None
    assert data.x.shape == (len(images), 1, 28, 28)
    assert np.array_equal(data.x[:, 0], (images / 255).astype(np.float32))
    assert data.labels.tolist() == labels.tolist()
    assert (data.name, data.split, data.kind) == (name, part, "image")
    assert (data.x.dtype, data.labels.dtype) == (np.float32, np.int64)


def test_labels_have_names_of_their_own(written):
    assert load("mnist").label_names[3] == "three"
    assert load("fashion-mnist").label_names[9] == "Ankle boot"


@pytest.mark.parametrize("name", MNIST_LIKE)
def test_missing_files_are_answered_with_the_command(root, name):
    reason = source(name).missing
    assert str(root) in reason
    assert f"mixviz download {name}" in reason
    with pytest.raises(MixvizError) as caught:
        load(name)
    assert str(caught.value) == f"{reason}."
    assert "\n" not in reason


@pytest.mark.parametrize("position", range(4))
def test_one_missing_file_is_enough(written, position):
    torchvision_files("MNIST")[position].unlink()
    assert "mixviz download mnist" in source("mnist").missing
    assert source("fashion-mnist").missing is None


def shorter(raw):
    return raw[:-5]


def longer(raw):
    return raw + bytes(3)


def emptied(raw):
    return b""


def header_only(raw):
    return raw[:4]


def text(raw):
    return b"<html>404 Not Found</html>"


def compressed(raw):
    return b"\x1f\x8b\x08\x00" + raw


def other_type(raw):
    return bytes([0, 0, 13]) + raw[3:]


def no_type(raw):
    return bytes([0, 0, 10]) + raw[3:]


def one_more(raw):
    """Claim one more item than there is."""
    return raw[:7] + bytes([raw[7] + 1]) + raw[8:]


DAMAGE = [shorter, longer, emptied, header_only, text, compressed, other_type, no_type, one_more]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", [0, 1])
def test_damaged_files_are_answered_with_the_command(written, file, damage):
    path = torchvision_files("MNIST")[file]
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    with pytest.raises(MixvizError, match="mixviz download mnist") as caught:
        load("mnist")
    assert "\n" not in str(caught.value)
    path.write_bytes(intact)
    assert len(load("mnist")) == 7, "a failure must not be remembered"


def test_labels_of_other_images_are_refused(written):
    _, labels, _, other_labels = torchvision_files("MNIST")
    labels.write_bytes(other_labels.read_bytes())
    with pytest.raises(MixvizError, match="mixviz download mnist"):
        load("mnist")


def test_another_folder_is_another_set(written, tmp_path_factory, monkeypatch):
    assert len(load("mnist")) == 7
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(MixvizError, match="mixviz download mnist"):
        load("mnist")


def test_data_root_without_a_setting_is_a_cache_folder(monkeypatch):
    monkeypatch.delenv("MIXVIZ_DATA", raising=False)
    assert data_root().parts[-2:] == ("mixviz", "data")
    monkeypatch.setenv("MIXVIZ_DATA", "~/sets")
    assert "~" not in str(data_root())


def test_what_comes_with_the_program_cannot_be_downloaded():
    for name in ("arcs", "pinwheel", "digits"):
        assert source(name).missing is None
        with pytest.raises(MixvizError, match="nothing to download"):
            source(name).download()


def test_a_failed_download_is_explained(root, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", refuse)
    with pytest.raises(MixvizError, match=r"no route to host.*MIXVIZ_DATA"):
        source("mnist").download()


def test_unknown_set_is_answered_with_the_choices():
    with pytest.raises(MixvizError, match="'cifar'") as caught:
        load("cifar")
    assert all(name in str(caught.value) for name in SOURCES)


@pytest.mark.parametrize("name", ["arcs", "pinwheel", "digits"])
def test_sources_describe_what_they_load(name):
    data, described = load(name), source(name)
    assert (data.name, data.kind, data.shape) == (name, described.kind, described.shape)
    assert len(set(data.labels.tolist())) == len(data.label_names) == described.classes


def test_a_changed_value_changes_the_hash():
    data = replace(load("arcs"), x=load("arcs").x[:50].copy(), labels=load("arcs").labels[:50])
    value = data.x.copy()
    value[31, 1] = np.nextafter(value[31, 1], np.float32(9))
    label = data.labels.copy()
    label[7] += 1
    variants = [
        replace(data, x=value),
        replace(data, labels=label),
        replace(data, labels=None),
        replace(data, x=data.x.reshape(25, 2, 2)),
        replace(data, x=data.x[::-1]),
    ]
    hashes = {variant.content_hash for variant in (data, *variants)}
    assert len(hashes) == 1 + len(variants)


def test_the_hash_is_of_the_content_alone():
    data = load("arcs")
    assert replace(data, name="other", split="test").content_hash == data.content_hash
    assert replace(data, x=np.asfortranarray(data.x)).content_hash == data.content_hash


COUNTS = {
    ("mnist", "train"): [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    ("mnist", "test"): [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ("fashion-mnist", "train"): [6000] * 10,
    ("fashion-mnist", "test"): [1000] * 10,
}


@pytest.mark.parametrize(("name", "part"), COUNTS)
def test_the_real_sets_have_their_published_sizes(name, part):
    if not os.environ.get("MIXVIZ_DATA"):
        pytest.skip("MIXVIZ_DATA is not set, so there is no folder to look for the set in")
    if source(name).missing:
        pytest.skip(source(name).missing)
    data = load(name, part)
    assert np.bincount(data.labels).tolist() == COUNTS[name, part]
    assert data.x.shape == (sum(COUNTS[name, part]), 1, 28, 28)
    assert (data.x.min(), data.x.max()) == (0, 1)
