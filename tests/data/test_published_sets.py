"""Tests of the sets read from their authors' files: tiny ones in the same formats."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torchvision.datasets

from mixviz.data import SOURCES, downloads, entries, image_files, load, source, sources
from mixviz.errors import MixvizError

FILES = {
    "usps": image_files.USPS_FILES,
    "svhn": image_files.SVHN_FILES,
    "svhn-extra": image_files.SVHN_EXTRA_FILES,
    "cifar-10": image_files.CIFAR_10_FILES,
    "cifar-100": image_files.CIFAR_100_FILES,
    "cifar-100-20": image_files.CIFAR_100_FILES,
    "stl-10": image_files.STL_10_FILES,
    "omniglot": image_files.OMNIGLOT_FILES,
}
REAL = {  # training and test images of the real sets
    "usps": (7291, 2007),
    "svhn": (73257, 26032),
    "svhn-extra": (73257 + 531131, 26032),
    "cifar-10": (50000, 10000),
    "cifar-100": (50000, 10000),
    "cifar-100-20": (50000, 10000),
    "stl-10": (5000, 8000),
    "omniglot": (32460, 32460),
}


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", sorted(set(FILES) - {"omniglot"}))
def test_files_are_read_pixel_by_pixel(published, name, part):
    data, described = load(name, part), source(name)
    pixels, labels = published[name, part]
    assert described.missing is None
    assert np.array_equal(data.x, (pixels / 255).astype(np.float32))
    assert data.labels.tolist() == labels.tolist()
    assert (data.name, data.split, data.kind) == (name, part, "image")
    assert (data.x.dtype, data.labels.dtype) == (np.float32, np.int64)
    assert data.x.flags.c_contiguous
    assert (data.shape, len(data.label_names)) == (described.shape, described.classes)
    assert described.size == REAL[name][0]


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(("name", "class_name"), [("svhn", "SVHN"), ("stl-10", "STL10")])
def test_torchvision_reads_the_same(published, root, monkeypatch, name, class_name, part):
    reader = getattr(torchvision.datasets, class_name)
    monkeypatch.setattr(reader, "_check_integrity", lambda self: True)  # the sums of the real files
    theirs, ours = reader(str(root), split=part), load(name, part)
    assert np.array_equal(ours.x, (theirs.data / 255).astype(np.float32))
    assert ours.labels.tolist() == theirs.labels.tolist()


@pytest.mark.parametrize("part", ["train", "test", "all"])
def test_omniglot_is_one_set_of_small_drawings_with_bright_ink(published, part):
    data = load("omniglot", part)
    drawings, labels = published["omniglot", "all"]
    assert data.split == "all"
    assert data.shape == source("omniglot").shape
    assert data.label_names == ("Angelic", "Early Aramaic", "Greek", "Tengwar")
    assert data.labels.tolist() == labels.tolist()
    # The filter blurs edges: what lies in the middle of the square is exact.
    assert np.abs(data.x - drawings / 255).mean() < 0.02
    for drawing, expected in zip(data.x, drawings, strict=True):
        top, left = (axis.min() for axis in np.nonzero(expected[0] == 0))
        assert np.all(drawing[0, top + 1 : top + 3, left + 1 : left + 3] == 0)
        assert drawing.max() == 1


def test_names_of_classes_are_those_of_the_files(published):
    assert load("cifar-100").label_names[7] == "fine 7"
    assert load("cifar-100-20").label_names[7] == "coarse 7"
    assert load("cifar-10").label_names[9] == load("stl-10").label_names[9] == "thing 9"
    assert load("svhn").label_names == load("usps").label_names == tuple("0123456789")


def test_both_parts_are_joined(published):
    data = load("stl-10", "all")
    assert len(data) == len(published["stl-10", "train"][0]) + len(published["stl-10", "test"][0])
    assert data.split == "all"


@pytest.mark.parametrize("name", FILES)
def test_one_missing_file_is_enough(published, root, name):
    for file in FILES[name]:
        content = (root / file).read_bytes()
        (root / file).unlink()
        assert f"mixviz download {name}" in source(name).missing
        assert str(root) in source(name).missing
        (root / file).write_bytes(content)
    assert source(name).missing is None


def shorter(raw):
    return raw[:-5]


def emptied(raw):
    return b""


def text(raw):
    return b"<html>404 Not Found</html>"


class Payload:
    """What would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def refusal(name, part):
    """Return why a part cannot be loaded, or nothing if it can."""
    try:
        load(name, part)
    except MixvizError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("damage", [shorter, emptied, text, "pickle"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_answered_with_the_command(published, root, name, damage):
    for file in FILES[name]:
        intact = (root / file).read_bytes()
        if file.endswith(".txt") and damage is shorter:
            continue  # a shorter name is a name
        if file.endswith("_label_names.txt") and ("coarse" in file) != (name == "cifar-100-20"):
            continue  # names of the other labels
        sources._read.cache_clear()
        damaged = pickle.dumps(Payload(root / "executed")) if damage == "pickle" else damage(intact)
        (root / file).write_bytes(damaged)
        messages = [message for part in ("train", "test") if (message := refusal(name, part))]
        assert messages, f"{file} is damaged, and was read"
        assert all(f"mixviz download {name}" in message for message in messages)
        assert all("\n" not in message for message in messages)
        (root / file).write_bytes(intact)
    assert not (root / "executed").exists()
    load(name, "train")
    load(name, "test")


def test_labels_beyond_the_names_are_refused(published, root):
    (root / "cifar-10-batches-bin" / "batches.meta.txt").write_text("one\ntwo\n")
    with pytest.raises(MixvizError, match="2 classes"):
        load("cifar-10")


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(published, monkeypatch):
    monkeypatch.setattr(entries, "machine_memory", lambda: 8e9)
    with pytest.raises(MixvizError, match=r"needs 9\.3 GB of memory, and this machine has 8\.0 GB"):
        load("svhn-extra")
    load("svhn-extra", "test")
    load("svhn", "all")
    monkeypatch.setattr(entries, "machine_memory", lambda: 10e9)
    load("svhn-extra")
    with pytest.raises(MixvizError, match=r"needs 16\.7 GB"):
        load("svhn-extra", "all")


def test_large_sets_say_how_much_memory_they_take(root):
    assert "(7.4 GB in memory)" in source("svhn-extra").missing
    assert "GB" not in source("svhn").missing


def test_files_on_the_network_are_those_that_torchvision_knows():
    sets = torchvision.datasets
    known = {url: md5 for url, _, md5 in [*sets.USPS.split_list.values()]}
    known |= {url: md5 for url, _, md5 in sets.SVHN.split_list.values()}
    known[sets.STL10.url] = sets.STL10.tgz_md5
    for part, md5 in sets.Omniglot.zips_md5.items():
        known[f"{sets.Omniglot.download_url_prefix}/{part}.zip"] = md5
    remotes = (*downloads.USPS, *downloads.SVHN_EXTRA, *downloads.STL_10, *downloads.OMNIGLOT)
    assert {remote.url: remote.md5 for remote in remotes} == known


@pytest.mark.parametrize("name", FILES)
def test_the_real_sets_have_their_published_sizes(name):
    if not os.environ.get("MIXVIZ_DATA"):
        pytest.skip("MIXVIZ_DATA is not set, so there is no folder to look for the set in")
    if source(name).missing:
        pytest.skip(source(name).missing)
    for part, count in zip(("train", "test"), REAL[name], strict=True):
        data = load(name, part)
        assert data.x.shape == (count, *source(name).shape)
        assert set(data.labels.tolist()) == set(range(source(name).classes))
        assert (data.x.min(), data.x.max()) == (0, 1)


def test_the_catalogue_is_read_without_heavy_libraries():
    program = (
        "import sys, mixviz.data as d; [s.missing for s in d.SOURCES.values()];"
        "heavy = {'torch', 'torchvision', 'scipy', 'PIL', 'sklearn', 'tqdm'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(SOURCES) > 20
