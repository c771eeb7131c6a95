"""Tests of ResNet-50 features: made once, kept, standardised; the network is made up."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models
from torchvision.transforms import v2

from mixviz.data import SOURCES, features, load, source, sources
from mixviz.errors import MixvizError


@pytest.fixture
def calls(monkeypatch):
    """Put a linear map in the network's place; return the sizes of the batches that it saw."""
    seen = []
    weights = torch.randn(64, features.DIMENSIONS, generator=torch.Generator().manual_seed(0))
    weights[:, 5] = 0

    def network():
        def compute(images):
            seen.append(len(images))
            return images.flatten(1)[:, :64] @ weights + 7

        return compute

    def fetch_weights(progress):
        progress(1.0)

    monkeypatch.setattr(features, "network", network)
    monkeypatch.setattr(features, "fetch_weights", fetch_weights)
    return seen


def files(root: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (root / "features").iterdir()}


def test_every_image_set_has_features():
    for name, described in list(SOURCES.items()):
        if described.kind == "image":
            derived = source(f"{name}-resnet50")
            assert (derived.kind, derived.shape) == ("vector", (2048,))
            assert (derived.size, derived.classes) == (described.size, described.classes)


def test_features_are_made_once_and_standardised(root, calls):
    derived = source("digits-resnet50")
    assert "mixviz download digits-resnet50" in derived.missing
    assert "\n" not in derived.missing
    with pytest.raises(MixvizError, match="mixviz download digits-resnet50"):
        load("digits-resnet50")
    shares = []
    derived.download(shares.append)
    assert derived.missing is None
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert sum(calls) == 1797
    data, digits = load("digits-resnet50"), load("digits")
    assert (data.name, data.split, data.kind) == ("digits-resnet50", "all", "vector")
    assert (data.x.shape, data.x.dtype) == ((1797, 2048), np.float32)
    assert data.labels.tolist() == digits.labels.tolist()
    assert data.label_names == digits.label_names
    changing = np.arange(2048) != 5
    np.testing.assert_allclose(data.x.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(data.x.std(0)[changing], 1, atol=1e-4)
    assert np.all(data.x[:, 5] == 0)

    before = files(root)
    derived.download()
    assert sum(calls) == 1797, "computed again"
    assert files(root) == before
    assert len(before) == 2
    (path,) = (root / "features").glob("digits-resnet50-scaling-*.npy")
    mean, deviation = np.load(path)
    raw = features.network()(torch.from_numpy(digits.x)).numpy()
    np.testing.assert_allclose(data.x * deviation + mean, raw, atol=1e-4)


def test_the_test_part_is_scaled_as_the_training_part(published, root, calls):
    source("stl-10-resnet50").download()
    (path,) = (root / "features").glob("stl-10-resnet50-scaling-*.npy")
    mean, deviation = np.load(path)
    for part in ("train", "test"):
        raw = features.network()(torch.from_numpy(load("stl-10", part).x)).numpy()
        found = load("stl-10-resnet50", part)
        np.testing.assert_allclose(found.x, (raw - mean) / deviation, atol=1e-3)
        assert found.labels.tolist() == published["stl-10", part][1].tolist()
    assert len(load("stl-10-resnet50", "all")) == 11


def test_sets_with_the_same_images_share_features(published, calls):
    source("cifar-100-resnet50").download()
    computed = len(calls)
    assert source("cifar-100-20-resnet50").missing is None
    source("cifar-100-20-resnet50").download()
    assert len(calls) == computed
    fine, coarse = load("cifar-100-resnet50"), load("cifar-100-20-resnet50")
    assert coarse.name == "cifar-100-20-resnet50"
    assert np.array_equal(fine.x, coarse.x)
    assert coarse.labels.tolist() == published["cifar-100-20", "train"][1].tolist()
    assert len(coarse.label_names) == 20


def test_features_of_other_images_are_refused_and_replaced(published, root, calls):
    source("cifar-10-resnet50").download()
    before = files(root)
    file = root / "cifar-10-batches-bin" / "data_batch_1.bin"
    file.write_bytes(file.read_bytes()[::-1].replace(bytes([0]), bytes([1])))
    (root / "cifar-10-batches-bin" / "batches.meta.txt").write_text("name\n" * 256)
    with pytest.raises(MixvizError, match="computed from other images"):
        load("cifar-10-resnet50")
    source("cifar-10-resnet50").download()
    load("cifar-10-resnet50")
    after = files(root)
    assert len(after) == len(before) == 3
    assert len(after.keys() & before.keys()) == 1, "the test part's are kept"


@pytest.mark.parametrize("damage", [lambda raw: raw[:-7], lambda raw: b"", pickle.dumps])
def test_damaged_features_are_refused_and_made_again(published, root, calls, damage):
    source("usps-resnet50").download()
    intact = load("usps-resnet50").x
    (path,) = (root / "features").glob("usps-resnet50-train-*.npy")
    path.write_bytes(damage(path.read_bytes()))
    sources._read.cache_clear()
    with pytest.raises(MixvizError, match="mixviz download usps-resnet50") as caught:
        load("usps-resnet50")
    assert path.name in str(caught.value)
    source("usps-resnet50").download()
    assert np.array_equal(load("usps-resnet50").x, intact)


def test_objects_in_a_features_file_are_not_unpickled(published, root, calls):
    source("usps-resnet50").download()
    (path,) = (root / "features").glob("usps-resnet50-train-*.npy")
    np.save(path, np.array([Path("x")] * 8, dtype=object), allow_pickle=True)
    with pytest.raises(MixvizError, match="is damaged"):
        load("usps-resnet50")


def test_images_that_are_missing_are_fetched_first(root, calls, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)
    with pytest.raises(MixvizError, match=r"USPS could not be downloaded \(no route to host\)"):
        source("usps-resnet50").download()
    assert calls == []


def test_damaged_images_are_named(published, root, calls):
    (root / "usps.bz2").write_bytes(b"")
    with pytest.raises(MixvizError, match="delete them and run: mixviz download usps\\."):
        source("usps-resnet50").download()


def test_folder_that_cannot_be_written_is_explained(root, calls):
    (root / "features").write_text("a file where the folder should be")
    with pytest.raises(MixvizError, match="could not be computed") as caught:
        source("digits-resnet50").download()
    assert str(root) in str(caught.value)


# ---- the weights -----------------------------------------------------------------------------

WEIGHTS = "resnet50-0676ba61.pth"


def test_the_weights_are_torchvision_s():
    assert torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url == features.WEIGHTS_URL


def test_weights_that_cannot_be_downloaded_are_explained(root, monkeypatch):
    monkeypatch.setattr(features, "WEIGHTS_URL", f"http://127.0.0.1:9/models/{WEIGHTS}")
    with pytest.raises(MixvizError, match="weights of ResNet-50") as caught:
        source("digits-resnet50").download()
    message = str(caught.value)
    assert "\n" not in message
    assert f"get {WEIGHTS} from http" in message
    assert str(root / "weights") in message
    assert not list((root / "weights").glob("*.pth"))


class Payload:
    """What would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_weights_that_are_none_are_refused_and_not_executed(root):
    path = root / "weights" / WEIGHTS
    path.parent.mkdir()
    for content in (b"", b"<html>", pickle.dumps(Payload(root / "executed"), 2)):
        path.write_bytes(content)
        with pytest.raises(MixvizError, match=WEIGHTS):
            features.network()
    torch.save({"conv1.weight": torch.zeros(2)}, path)
    with pytest.raises(MixvizError, match=WEIGHTS):
        features.network()
    torch.save([1], path)
    with pytest.raises(MixvizError, match=WEIGHTS):
        features.network()
    assert not (root / "executed").exists()


def test_features_are_the_averaged_last_map_of_torchvision_s_network(root):
    path = root / "weights" / WEIGHTS
    path.parent.mkdir()
    torch.manual_seed(0)
    resnet = torchvision.models.resnet50().eval()
    torch.save(resnet.state_dict(), path)
    maps = []
    resnet.layer4.register_forward_hook(lambda *given: maps.append(given[-1]))
    grey = torch.rand(2, 1, 28, 28)
    with torch.inference_mode():
        found = features.network()(grey)
        resnet(features.prepared(grey))
    assert maps[0].shape == (2, 2048, 7, 7)
    assert found.shape == (2, 2048)
    torch.testing.assert_close(found, maps[0].mean((2, 3)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 300, 300)])
def test_images_are_prepared_as_torchvision_prepares_them(shape):
    image = torch.rand(2, *shape)
    transform = v2.Compose(
        [
            v2.Resize((224, 224), antialias=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    expected = transform(image.expand(-1, 3, -1, -1))
    torch.testing.assert_close(features.prepared(image), expected)
