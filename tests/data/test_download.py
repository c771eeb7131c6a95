"""Downloads: from a server on this machine that serves tiny files in MNIST's own format."""

import gzip
import hashlib
import http.server
import struct
import threading
from functools import partial

import numpy as np
import pytest
import torchvision.datasets

from mixviz.data import load, source
from mixviz.errors import MixvizError

IMAGES = {"train": 6, "t10k": 3}


def idx(array: np.ndarray) -> bytes:
    """Write an array of bytes in the IDX format."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Serve four tiny files, and let torchvision look for MNIST there."""
    rng = np.random.default_rng(0)
    served, resources = tmp_path / "served", []
    served.mkdir()
    for part, count in IMAGES.items():
        images = rng.integers(256, size=(count, 28, 28)).astype(np.uint8)
        labels = rng.integers(10, size=count).astype(np.uint8)
        for name, content in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            packed = idx(content)
            (served / f"{name}-ubyte.gz").write_bytes(packed)
            digest = hashlib.md5(packed, usedforsecurity=False).hexdigest()
            resources.append((f"{name}-ubyte.gz", digest))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mnist = torchvision.datasets.MNIST
    monkeypatch.setattr(mnist, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(mnist, "resources", resources)
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path / "data"))
    yield served
    server.shutdown()
    server.server_close()


def test_download_makes_the_set_available_and_reports_shares(mirror):
    assert "mixviz download mnist" in source("mnist").missing
    shares = []
    source("mnist").download(shares.append)
    assert all(0 <= share <= 1 for share in shares)
    assert source("mnist").missing is None
    assert len(load("mnist", "train")) == IMAGES["train"]
    assert len(load("mnist", "test")) == IMAGES["t10k"]


def test_download_that_fails_says_what_to_do(mirror):
    for file in mirror.iterdir():
        file.unlink()
    with pytest.raises(MixvizError, match=r"could not be downloaded.*MIXVIZ_DATA"):
        source("mnist").download()
    assert source("mnist").missing


def test_what_comes_with_the_program_is_not_downloaded():
    with pytest.raises(MixvizError, match="nothing to download"):
        source("arcs").download()
