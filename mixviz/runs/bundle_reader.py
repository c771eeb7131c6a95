"""Reading a bundle with distrust: every name, size and value is checked before it is used."""

import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open

from mixviz.arrays import read_header
from mixviz.errors import MixvizError
from mixviz.runs import names, snapshots
from mixviz.runs.bundle_records import EVENTS, FORMAT, TERMS, BundledRun, Header, Moment, Shared
from mixviz.runs.checkpoint import read_state
from mixviz.runs.records import Event
from mixviz.runs.snapshots import Snapshot, Subsample

MAX_MEMBERS = 1_024  # as many snapshots as a run may keep, and what else there is
MAX_BYTES = 2_000_000_000  # unpacked, and what an archive inside the bundle unpacks to
MAX_RATIO = 200  # unpacked to packed
RATIO_FROM = 64_000_000  # bytes unpacked; below, no ratio does harm
MAX_RUN_BYTES = 8_000_000  # run.json is held in memory by whoever only peeks
MAX_DIRECTORY_BYTES = 512 * MAX_MEMBERS  # the archive's own list of its members


_MEMBER = re.compile(
    r"(run|terms|events|names)\.json|subsample\.npz|snapshots/[0-9]{9,15}\.npz"
    r"|checkpoint/(model\.safetensors|optimizer\.safetensors|state\.json)"
)
_CHUNK = 1 << 20

Progress = Callable[[float], object]


class _Refused(Exception):
    """Why a bundle is refused: the rest of a sentence that begins with its name."""


@contextmanager
def open_bundle(path: Path) -> Iterator["Bundle"]:
    """Open a bundle; what is wrong with it, now or later, becomes a one-sentence `MixvizError`."""
    try:
        with path.open("rb") as file, _archive(file) as archive:
            yield Bundle(archive, path.stat().st_size)
    except _Refused as error:
        raise MixvizError(f"{path.name} {error}.") from error
    except OSError as error:
        raise MixvizError(f"{path} cannot be read: {error.strerror or error}.") from error


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a ZIP archive, once its end says that the list of its members is a small one."""
    start = file.read(4)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 42))  # the longest comment, and what stands before it
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        if start == b"PK\x03\x04":
            raise _Refused("is cut short; copy or download it again")
        raise _Refused("is not a bundle: it is not a ZIP archive")
    members, directory = struct.unpack_from("<HL", tail, at + 10)
    if tail[max(0, at - 20) :].startswith(b"PK\x06\x07") or size > MAX_BYTES:
        raise _Refused("is too large to be a bundle")
    if members > MAX_MEMBERS or directory > MAX_DIRECTORY_BYTES:
        raise _Refused(f"has too many members to be a bundle (at most {MAX_MEMBERS})")
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise _Refused("is damaged: the list of its members cannot be read") from error


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Say which member is damaged, whatever library found it."""
    try:
        yield
    except (
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise _Refused(f"is damaged: its member {name} cannot be read") from error


class Bundle:
    """An open bundle whose member names are safe; what they hold is checked as it is read."""

    def __init__(self, archive: zipfile.ZipFile, size: int):
        self._archive = archive
        self._size = size
        self._spent = 0
        self.members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            self._admit(member)
        if "run.json" not in self.members:
            raise _Refused("is not a bundle: it has no run.json")
        if self.moments and "subsample.npz" not in self.members:
            raise _Refused("is not a whole bundle: it has no subsample.npz")

    @property
    def moments(self) -> list[str]:
        """Names of the members that are snapshots."""
        return [name for name in self.members if name.startswith("snapshots/")]

    def _admit(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.orig_filename != name or not _MEMBER.fullmatch(name):
            raise _Refused(f"has a member that no bundle has: {name[:80]!r}")
        if kind not in (0, stat.S_IFREG):
            raise _Refused(f"has a member that is not a plain file: {name}")
        if name in self.members:
            raise _Refused(f"has the member {name} twice")
        if member.flag_bits & 1:
            raise _Refused("is encrypted; a bundle never is")
        self.members[name] = member

    def run(self) -> BundledRun:
        """Return the checked run.json."""
        text = self._read("run.json", MAX_RUN_BYTES)
        with _reading("run.json"):
            version = Header.model_validate_json(text).format
            if version != FORMAT:
                raise _Refused(
                    f"has format {version}, and this version of mixviz reads format {FORMAT}; "
                    "update mixviz"
                )
            run = BundledRun.model_validate_json(text)
            json.dumps([run.config, run.result], allow_nan=False)
        return run

    def terms(self) -> list[tuple[int, float, dict[str, float]]]:
        """Return the rows of the training curves; null stands for what was not finite."""
        text = self._read("terms.json") if "terms.json" in self.members else b"[]"
        with _reading("terms.json"):
            rows = TERMS.validate_json(text)
            _increasing([row[0] for row in rows])
        return [
            (step, epoch, {k: math.nan if v is None else v for k, v in terms.items()})
            for step, epoch, terms in rows
        ]

    def events(self) -> list[Event]:
        """Return the changes of live fields."""
        text = self._read("events.json") if "events.json" in self.members else b"[]"
        with _reading("events.json"):
            rows = EVENTS.validate_json(text)
            _increasing(sorted(row[:2] for row in rows))
        return [Event(*row) for row in rows]

    def names(self) -> dict[int, str]:
        """Return the names that were given to components."""
        if "names.json" not in self.members:
            return {}
        text = self._read("names.json", MAX_RUN_BYTES)
        with _reading("names.json"):
            return names.checked(json.loads(text))

    def unpack(self, folder: Path, progress: Progress | None) -> None:
        """Write the run's files under `folder`, each one checked."""
        names = [name for name in self.members if not re.fullmatch(r"\w+\.json", name)]
        for done, name in enumerate(names, start=1):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            with path.open("xb") as file:
                for chunk in self._chunks(name):
                    file.write(chunk)
            self._check(path, name)
            if progress is not None:
                progress(done / len(names))

    def moment(self, folder: Path, name: str) -> tuple[int, float, dict, dict, str]:
        """Return a snapshot's row (step, epoch, metrics, terms, verdict) of the catalogue."""
        with _reading(name):
            snapshot = snapshots.read_snapshot(folder / name)
            plain = {item: getattr(snapshot, item) for item in Moment.model_fields}
            moment = Moment.model_validate(plain)
            if name != f"snapshots/{moment.step:09d}.npz":
                raise ValueError("the snapshot is of another step")
            _check_snapshot(snapshot)
        return moment.step, moment.epoch, moment.metrics, moment.terms, moment.verdict

    def _check(self, path: Path, name: str) -> None:
        if path.suffix == ".npz":
            self._check_arrays(path, name, Subsample if name == "subsample.npz" else Snapshot)
        with _reading(name):
            if path.suffix == ".safetensors":
                with safe_open(path, framework="np") as tensors:
                    tensors.keys()
            elif path.suffix == ".json":
                json.dumps(read_state(path.read_bytes()), allow_nan=False)
            elif name == "subsample.npz":
                shared = asdict(snapshots.read_subsample(path))
                shared["label_names"] = list(shared["label_names"])
                Shared.model_validate({k: shared[k] for k in Shared.model_fields})
                _check_subsample(Subsample(**shared))

    def _check_arrays(self, path: Path, name: str, record: type) -> None:
        """Check the headers of a NumPy archive before any library makes room for its arrays."""
        allowed = {f"{item.name}.npy" for item in fields(record)} | {"plain.npy"}
        with _reading(name), path.open("rb") as file:
            try:
                inner = _archive(file)
            except _Refused as error:
                raise ValueError(str(error)) from error
            with inner:
                infos = inner.infolist()
                self._spend(max(0, sum(i.file_size for i in infos) - path.stat().st_size))
                for info in infos:
                    if info.filename not in allowed:
                        raise ValueError(f"no field {info.filename}")
                    with inner.open(info) as member:
                        _check_header(member, info.file_size, name)

    def _read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        chunks = []
        for chunk in self._chunks(name):
            chunks.append(chunk)
            limit -= len(chunk)
            if limit < 0:
                _too_large()
        return b"".join(chunks)

    def _chunks(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes, counted as they come: its header may lie."""
        with _reading(name), self._archive.open(self.members[name]) as member:
            while chunk := member.read(_CHUNK):
                self._spend(len(chunk))
                yield chunk

    def _spend(self, count: int) -> None:
        self._spent += count
        ratio_holds = self._spent <= max(RATIO_FROM, MAX_RATIO * self._size)
        if self._spent > MAX_BYTES or not ratio_holds:
            _too_large()


def _check_header(member: IO[bytes], size: int, name: str) -> None:
    """Check that an array's header says numbers, and as many as there are bytes."""
    kind, shape = read_header(member)
    if kind.hasobject:
        raise _Refused(f"contains pickled objects, in {name}; they could run code and are not read")
    if kind.kind not in "biuf" or size - member.tell() != math.prod(shape) * kind.itemsize:
        raise ValueError("not an array of numbers")


def _check_snapshot(snapshot: Snapshot) -> None:
    """Check that the arrays of a snapshot are of the same N observations and K components."""
    _check_kinds(snapshot)
    n, k = len(snapshot.points), len(snapshot.means)
    shapes = {
        "points": (n, 2),
        "assignments": (n,),
        "confidences": (n,),
        "means": (k, 2),
        "covariances": (k, 2, 2),
        "weights": (k,),
        "usage": (k,),
        "overlap": (k, k),
        "axes": (len(snapshot.centre), 2),
    }
    if snapshot.density.size:
        shapes |= {"density": (len(snapshot.density),) * 2, "density_extent": (4,)}
    if snapshot.samples.size:
        shapes["samples"] = (k, *snapshot.samples.shape[1:])
    _check_shapes(snapshot, shapes)
    if snapshot.assignments.dtype.kind not in "iu" or not k:
        raise ValueError("points are not assigned to components")


def _check_subsample(subsample: Subsample) -> None:
    _check_kinds(subsample)
    n = len(subsample.indices)
    shapes: dict[str, tuple[int, ...]] = {"indices": (n,)}
    if subsample.labels.size:
        shapes["labels"] = (n,)
    if subsample.points.size:
        shapes["points"] = (n, 2)
    _check_shapes(subsample, shapes)


def _check_kinds(record: Snapshot | Subsample) -> None:
    for item in fields(record):
        if item.type is np.ndarray and not isinstance(getattr(record, item.name), np.ndarray):
            raise ValueError(f"{item.name} is not an array")


def _check_shapes(record: Snapshot | Subsample, shapes: dict[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if getattr(record, name).shape != shape:
            raise ValueError(f"{name} is not of the shape {shape}")


def _increasing(keys: list) -> None:
    if any(a >= b for a, b in pairwise(keys)):
        raise ValueError("rows out of order")


def _too_large() -> NoReturn:
    raise _Refused("unpacks to more than a bundle may hold")
