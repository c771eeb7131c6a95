"""Which reader a user's file takes: by its name, and by how it begins."""

import io
import zipfile
from pathlib import Path

import numpy as np

from mixviz.arrays import load_array
from mixviz.data.own_archives import members_of, open_zip
from mixviz.data.own_csv import read_csv
from mixviz.data.own_images import (
    ArrayPictures,
    FolderPictures,
    Pictures,
    ZippedPictures,
    readable,
)
from mixviz.data.own_limits import LIMITS
from mixviz.data.own_tables import (
    ArrayTable,
    Table,
    npy_header,
    read_npy,
    read_parquet,
)
from mixviz.errors import MixvizError

Contents = Table | Pictures | ArrayPictures

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".npy", ".npz", ".zip")
_MAIN = ("x", "data", "images", "features", "embeddings", "latents", "x_train", "arr_0")


def open_file(path: Path, name: str = "", headed: bool | None = None) -> Contents:
    """Look into a file or a folder: a table, or pictures.

    Parameters
    ----------
    path
        Where it is.
    name
        What it is called, where `path` is a copy under another name.
    headed
        Of a text table, whether its first line names the columns; None judges.

    Raises
    ------
    MixvizError
        When it is nothing that can be read, or larger than `LIMITS` allow; the message is one
        sentence.
    """
    name = readable(name or path.name)
    try:
        if path.is_dir():
            return FolderPictures(path, name)
        size = path.stat().st_size
        if size > LIMITS.file:
            raise MixvizError(
                f"{name} has {size / 1e9:.1f} GB; at most {LIMITS.file / 1e9:.0f} GB can be read."
            )
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise MixvizError(f"{name} cannot be opened: {error.strerror or error}.") from error
    if not size:
        raise MixvizError(f"{name} is empty.")
    suffix = Path(name).suffix.lower()
    if start.startswith(b"\x93NUMPY"):
        return _of_arrays(name, read_npy(path, name), {})
    if start.startswith(b"PAR1"):
        return read_parquet(path, name)
    if start.startswith(b"PK"):
        return _of_archive(path, name, suffix)
    if suffix in (".csv", ".tsv", ".txt"):
        return read_csv(path, name, headed)
    if suffix in SUFFIXES:
        raise MixvizError(f"{name} does not begin as a {suffix} file does; it may be damaged.")
    raise MixvizError(
        f"{name} is of no kind that is read: CSV, Parquet, NPY, NPZ, a ZIP archive or folder of pictures."
    )


def _of_archive(path: Path, name: str, suffix: str) -> Contents:
    with open_zip(path, name) as archive:
        members = members_of(archive, name)
    arrays = [member for member in members if member.filename.endswith(".npy")]
    if suffix == ".npz" or len(arrays) == len(members):
        return _of_npz(path, name)
    return ZippedPictures(path, name)


def _of_npz(path: Path, name: str) -> Contents:
    """Read the arrays of an archive, of which the largest, or one called x, holds the observations."""
    arrays: dict[str, np.ndarray] = {}
    with open_zip(path, name) as archive:
        for member in members_of(archive, name):
            if not member.filename.endswith(".npy"):
                raise MixvizError(f"{name} holds {member.filename[:50]!r}, which is no array.")
            label = f"{member.filename.removesuffix('.npy')} in {name}"
            try:
                with archive.open(member) as stream:
                    content = stream.read(LIMITS.unpacked)
            except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError) as error:
                raise MixvizError(f"{name} is damaged; it may be cut short.") from error
            stream_ = io.BytesIO(content)
            dtype, shape = npy_header(stream_, label)
            if dtype.itemsize * int(np.prod(shape, dtype=object)) != len(content) - stream_.tell():
                raise MixvizError(f"{label} is cut short.")
            arrays[member.filename.removesuffix(".npy")] = load_array(io.BytesIO(content))
    wide = {key: one for key, one in arrays.items() if one.ndim >= 2 and one.dtype.kind in "biuf"}
    if not wide:
        raise MixvizError(f"{name} holds no array of numbers with rows and columns.")
    named = [key for key in wide if key.lower() in _MAIN]
    main = (
        min(named, key=lambda key: _MAIN.index(key.lower()))
        if named
        else max(wide, key=lambda key: wide[key].size)
    )
    beside = {
        key: one.ravel()
        for key, one in arrays.items()
        if key != main and one.ndim and one.size == len(one) == len(wide[main])
    }
    return _of_arrays(name, wide[main], beside)


def _of_arrays(name: str, array: np.ndarray, beside: dict[str, np.ndarray]) -> Contents:
    if array.dtype.kind not in "biuf":
        raise MixvizError(f"{name} holds texts, not numbers.")
    if array.ndim == 2:
        return ArrayTable(name, array, beside)
    if array.ndim in (3, 4):
        return ArrayPictures(name, array, beside)
    raise MixvizError(
        f"{name} has shape {array.shape}; tables (N, columns) and images (N, height, width) are read."
    )
