"""The user's own data sets: kept by name and hash in the program's folder, seen by every process.

Each is a folder of NumPy arrays and JSON; nothing in it is ever unpickled.
"""

import json
import re
import secrets
import shutil
import time
from functools import lru_cache, partial
from itertools import count
from os.path import expanduser
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixviz.arrays import load_array, load_arrays
from mixviz.data.dataset import Dataset, Kind
from mixviz.data.entries import Source
from mixviz.data.own_files import open_file
from mixviz.data.own_images import readable
from mixviz.data.own_prepare import Options, Prepared, Report, prepare
from mixviz.errors import MixvizError
from mixviz.home import default_home

UNDO_SECONDS = 7 * 24 * 3600  # how long a deleted set can be brought back
RESERVED: set[str] = set()  # names of the sets that come with the program
_ABANDONED_SECONDS = 24 * 3600
_DELETED, _ADDING = ".deleted", ".adding-"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


class OwnSet(BaseModel):
    """What is known of a data set without reading it; `hash` is that of `Dataset.content_hash`."""

    model_config = ConfigDict(frozen=True)

    format: int = Field(1, ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")
    title: str = Field(min_length=1, max_length=200)
    kind: Kind
    shape: tuple[int, ...]
    size: int = Field(ge=1)
    label_names: tuple[str, ...]
    labelled: bool
    scaling: str
    hash: str
    created: float
    origin: str
    dropped: tuple[str, ...]
    columns: tuple[str, ...]


def root() -> Path:
    """Folder of the user's data sets."""
    return default_home() / "datasets"


def own_sets() -> dict[str, OwnSet]:
    """Return the user's data sets by name, the newest first; a damaged one is passed over."""
    return _described(root())


def deleted_sets() -> dict[str, OwnSet]:
    """Return the data sets that were deleted and can be brought back."""
    return _described(root() / _DELETED)


def _described(folder: Path) -> dict[str, OwnSet]:
    found = []
    for path in folder.glob("*/description.json"):
        try:
            described = _description(path, path.stat().st_mtime_ns)
        except OSError:
            continue
        if described is not None and described.name == path.parent.name:
            found.append(described)
    found.sort(key=lambda one: -one.created)
    return {one.name: one for one in found}


@lru_cache(maxsize=1000)
def _description(path: Path, changed: int) -> OwnSet | None:
    try:
        return OwnSet.model_validate_json(path.read_bytes())
    except (ValidationError, OSError):
        return None


def own_source(described: OwnSet) -> Source:
    """Return the entry of the catalogue for one of the user's sets."""
    return Source(
        described.name,
        described.title,
        described.kind,
        described.shape,
        described.size,
        len(described.label_names),
        partial(_read, described.name),
        "all",
        "all",
        version=described.hash,
    )


def name_from(text: str) -> str:
    """Make a name for the command line out of a title or the name of a file."""
    name = _hyphenated(text)[:50].strip("-")
    return name if _NAME.fullmatch(name) else "data"


def _hyphenated(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def free_title(title: str) -> str:
    """Return a title whose name is not taken: shortened and with a number where it is."""
    taken = RESERVED | set(own_sets()) | set(deleted_sets())
    if name_from(title) not in taken:
        return title
    while len(title) > 150 or len(_hyphenated(title)) > 40:  # both are cut, the number with them
        title = title[:-1]
    numbered = (f"{title.rstrip()} {n}" for n in count(2))
    return next(one for one in numbered if name_from(one) not in taken)


def add_file(
    path: Path, options: Options, title: str = "", *, report: Report = lambda share, text: None
) -> OwnSet:
    """Make a data set of a file or folder and keep it; without a title, the same is not kept twice.

    Raises
    ------
    MixvizError
        When the file is nothing that can be used; nothing is kept then.
    """
    path = Path(expanduser(path)).absolute()  # Path.expanduser fails where there is no such user
    prepared = prepare(open_file(path, headed=options.headed), options, report)
    known = None if title else existing(prepared)
    name = readable(path.name)
    return known or save(prepared, readable(title) or free_title(Path(name).stem or name), name)


def existing(prepared: Prepared) -> OwnSet | None:
    """Return the data set with just this content, whatever it is called, or None."""
    hash = _dataset("", prepared).content_hash
    return next((known for known in own_sets().values() if _holds(known, prepared, hash)), None)


def _holds(known: OwnSet, prepared: Prepared, hash: str) -> bool:
    """Whether a set has this content: the hash is of features and labels alone."""
    beside = (prepared.label_names, tuple(prepared.columns))
    if known.hash != hash or (known.label_names, known.columns) != beside:
        return False
    try:
        kept = _read(known.name, "all").columns
    except MixvizError:  # a damaged one is not it
        return False
    return all(
        kept[name].dtype == values.dtype
        and np.array_equal(kept[name], values, equal_nan=values.dtype != object)
        for name, values in prepared.columns.items()
    )


def save(prepared: Prepared, title: str, origin: str) -> OwnSet:
    """Keep a data set; the same content under the same name is not kept twice.

    Parameters
    ----------
    title
        What it is called; its name on the command line is made from it.
    origin
        Name of the file, without its folder.

    Raises
    ------
    MixvizError
        When another set has the name, or the disk is full; nothing remains then.
    """
    title = " ".join(title.split())[:200] or "Data"
    name = name_from(title)
    hash = _dataset(name, prepared).content_hash
    for known in own_sets().values():
        if name in (known.name, name_from(known.title)) and _holds(known, prepared, hash):
            return known
    if name in RESERVED or name in own_sets() or (root() / _DELETED / name).exists():
        raise MixvizError(f"There is a data set named {name} already; choose another name.")
    described = OwnSet(
        format=1,
        name=name,
        title=title,
        kind=prepared.kind,
        shape=prepared.x.shape[1:],
        size=len(prepared.x),
        label_names=prepared.label_names,
        labelled=prepared.labels is not None,
        scaling=prepared.scaling,
        hash=hash,
        created=time.time(),
        origin=origin[-200:],
        dropped=prepared.dropped,
        columns=tuple(prepared.columns),
    )
    _purge()
    folder = root() / f"{_ADDING}{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
        _write(folder, described, prepared)
        folder.rename(root() / name)
    except OSError as error:
        raise MixvizError(f"{title} could not be kept: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return described


def _write(folder: Path, described: OwnSet, prepared: Prepared) -> None:
    np.save(folder / "x.npy", prepared.x, allow_pickle=False)
    if prepared.labels is not None:
        np.save(folder / "labels.npy", prepared.labels, allow_pickle=False)
    texts: dict[str, list[str]] = {}
    arrays: dict[str, np.ndarray] = {}
    for i, (name, values) in enumerate(prepared.columns.items()):
        if values.dtype == object:
            code = {text: i for i, text in enumerate(sorted(set(values)))}
            texts[name] = list(code)
            arrays[str(i)] = np.fromiter(map(code.get, values), np.int32, len(values))
        else:
            arrays[str(i)] = values
    if arrays:
        np.savez(folder / "columns.npz", **arrays)  # type: ignore[arg-type]
        (folder / "texts.json").write_text(json.dumps(texts), "utf-8")
    (folder / "description.json").write_text(described.model_dump_json(), "utf-8")


def _dataset(name: str, prepared: Prepared) -> Dataset:
    return Dataset(
        name=name,
        split="all",
        x=prepared.x,
        kind=prepared.kind,
        scaling=prepared.scaling,
        labels=prepared.labels,
        label_names=prepared.label_names,
        columns=prepared.columns,
    )


def _read(name: str, split: str) -> Dataset:
    """Read one of the user's sets; it has no official split, so that each part is all of it."""
    folder = root() / name
    described = own_sets().get(name)
    if described is None:
        raise MixvizError(f"The data set {name} is gone.")
    try:
        x = load_array(folder / "x.npy")
        labels = load_array(folder / "labels.npy") if described.labelled else None
        columns = _read_columns(folder, described)
    except (OSError, ValueError, EOFError, LookupError) as error:
        raise MixvizError(
            f"The data set {name} is damaged; delete it, and add {described.origin} again."
        ) from error
    return _dataset(
        name,
        Prepared(
            kind=described.kind,
            x=x,
            scaling=described.scaling,
            labels=labels,
            label_names=described.label_names,
            columns=columns,
        ),
    )


def _read_columns(folder: Path, described: OwnSet) -> dict[str, np.ndarray]:
    if not described.columns:
        return {}
    texts = json.loads((folder / "texts.json").read_text("utf-8"))
    arrays = load_arrays(folder / "columns.npz")
    found = {name: arrays[str(i)] for i, name in enumerate(described.columns)}
    return {
        name: np.array(texts[name], object)[values] if name in texts else values
        for name, values in found.items()
    }


def rename(name: str, title: str) -> None:
    """Change what a set is called; its name on the command line stays, because runs refer to it."""
    described = own_sets().get(name)
    title = " ".join(title.split())[:200]
    if described is None or not title:
        raise MixvizError(f"The data set {name} cannot be renamed to {title!r}.")
    changed = described.model_copy(update={"title": title})
    path = root() / name / "description.json"
    draft = path.with_name(f".description-{secrets.token_hex(4)}")
    draft.write_text(changed.model_dump_json(), "utf-8")
    draft.replace(path)


def delete(name: str) -> None:
    """Put a set aside; `restore` brings it back, for a week."""
    _purge()
    _move(root() / name, root() / _DELETED / name)


def restore(name: str) -> None:
    """Bring a deleted set back."""
    _move(root() / _DELETED / name, root() / name)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
        target.touch()  # deleted now
    except OSError as error:
        raise MixvizError(f"The data set {source.name} is not there any more.") from error


def _purge() -> None:
    """Remove what was deleted long ago, and what processes left that ended while saving."""
    for pattern, seconds in ((f"{_DELETED}/*", UNDO_SECONDS), (f"{_ADDING}*", _ABANDONED_SECONDS)):
        for folder in root().glob(pattern):
            try:
                if time.time() - folder.stat().st_mtime > seconds:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue
