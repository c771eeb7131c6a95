"""Downloads: from a server on this machine that serves tiny files in the sets' own formats."""

import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets

from mixviz.data import load, source, sources
from mixviz.data.downloads import Remote, share_of
from mixviz.data.entries import published
from mixviz.errors import MixvizError

IMAGES = {"train": 6, "t10k": 3}


def idx(array: np.ndarray) -> bytes:
    """Write an array of bytes in the IDX format."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve a folder; return the folder and its address."""
    served = tmp_path / "served"
    served.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MIXVIZ_DATA", str(tmp_path / "data"))
    yield served, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def mirror(server, monkeypatch):
    """Serve four tiny files, and let torchvision look for MNIST there."""
    rng = np.random.default_rng(0)
    (served, address), resources = server, []
    for part, count in IMAGES.items():
        images = rng.integers(256, size=(count, 28, 28)).astype(np.uint8)
        labels = rng.integers(10, size=count).astype(np.uint8)
        for name, content in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            packed = idx(content)
            (served / f"{name}-ubyte.gz").write_bytes(packed)
            resources.append((f"{name}-ubyte.gz", md5(packed)))
    mnist = torchvision.datasets.MNIST
    monkeypatch.setattr(mnist, "mirrors", [address])
    monkeypatch.setattr(mnist, "resources", resources)
    return served


def test_a_folder_that_may_not_be_entered_makes_the_set_unavailable(monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    assert "Permission denied); set MIXVIZ_DATA" in source("mnist").missing


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


@pytest.fixture
def made_up(server, monkeypatch):
    """Serve an archive and a single file of a set of one vector; return what is served."""
    served, address = server
    value = np.arange(4, dtype=np.float32)
    with tarfile.open(served / "part.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("part/x.bin")
        entry.size = value.nbytes
        archive.addfile(entry, io.BytesIO(value.tobytes()))
    (served / "y.bin").write_bytes(b"\1" * 50_000)
    remotes = [
        Remote(address + name, md5(content), len(content), "folder", archive=name.endswith("gz"))
        for name in ("part.tar.gz", "y.bin")
        for content in [(served / name).read_bytes()]
    ]
    files = ["folder/part/x.bin", "folder/y.bin"]
    entry = published("made-up", "Made-up", (2,), 2, 2, None, files, remotes)
    monkeypatch.setitem(sources.SOURCES, "made-up", entry)
    return served, remotes


def test_published_files_are_fetched_and_unpacked_once(made_up, tmp_path, monkeypatch):
    served, remotes = made_up
    folder = tmp_path / "data" / "folder"
    assert share_of(remotes) == 0
    shares = []
    source("made-up").download(shares.append)
    assert all(0 <= share <= 1 for share in shares)
    assert share_of(remotes) == 1
    assert source("made-up").missing is None
    assert np.fromfile(folder / "part" / "x.bin", np.float32).tolist() == [0, 1, 2, 3]
    assert (folder / "y.bin").read_bytes() == (served / "y.bin").read_bytes()
    assert not list(folder.glob("*.part"))

    for file in served.iterdir():
        file.unlink()
    (folder / "part" / "x.bin").unlink()
    source("made-up").download()  # from the archive that is there
    assert source("made-up").missing is None


def test_damaged_file_is_fetched_again(made_up, tmp_path):
    source("made-up").download()
    file = tmp_path / "data" / "folder" / "y.bin"
    file.write_bytes(b"other")
    source("made-up").download()
    assert file.read_bytes() == b"\1" * 50_000


def test_what_arrives_damaged_is_not_taken(made_up, tmp_path):
    served, remotes = made_up
    (served / "y.bin").write_bytes(b"<html>moved</html>")
    with pytest.raises(MixvizError, match="could not be downloaded") as caught:
        source("made-up").download()
    assert source("made-up").missing
    assert not (tmp_path / "data" / "folder" / "y.bin").exists()
    message = str(caught.value)
    assert "\n" not in message
    assert all(remote.url in message for remote in remotes)
    assert str(tmp_path / "data" / "folder") in message
    assert "mixviz download made-up" in message


def test_refused_connection_is_explained(made_up):
    for file in made_up[0].iterdir():
        file.unlink()
    with pytest.raises(MixvizError, match=r"could not be downloaded.*404"):
        source("made-up").download()
