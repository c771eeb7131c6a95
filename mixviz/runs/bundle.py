"""Bundles: a run as one file that can be shared.

A bundle is a ZIP archive of `run.json`, `terms.json`, `events.json` and the run folder's files.
The catalogue's lines of the snapshots are made anew from the snapshots when a bundle is imported.
"""

import hashlib
import json
import logging
import math
import os
import re
import shutil
import sqlite3
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from mixviz.errors import MixvizError
from mixviz.runs import names
from mixviz.runs.bundle_reader import (
    MAX_BYTES,
    MAX_MEMBERS,
    Progress,
    open_bundle,
)
from mixviz.runs.bundle_records import BundledRun
from mixviz.runs.checkpoint import has_checkpoint
from mixviz.runs.files import write_atomically
from mixviz.runs.records import Status
from mixviz.runs.store import RunStore

SUFFIX = ".mixviz"
_MOMENTS = "optimizer.safetensors"
CHECKPOINT_FILES = ("model.safetensors", _MOMENTS, "state.json")
_PATH = re.compile(r"(?<![\w.:/\\])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"/\\]+[/\\])+([^\s'\"/\\]*)")
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


def export_run(
    store: RunStore, run_id: str, path: Path, *, progress: Progress | None = None
) -> None:
    """Write a run as one file; a run that is being trained is written as interrupted.

    A finished run leaves out the moments of its optimisers, most of a checkpoint, which nothing needs.

    Parameters
    ----------
    store
        Where the run is.
    run_id
        Its id, or an unambiguous beginning of it.
    path
        The file to write; an older one is replaced when the new one is whole.
    progress
        Called with the share that is done, 0 to 1.

    Raises
    ------
    MixvizError
        When there is no such run, its checkpoint is not whole, it is larger than a bundle may be, or
        the file cannot be written.
    """
    path = Path(path)
    run = store.get(run_id)
    folder = store.folder(run.id)
    values = {
        name: _portable(getattr(run, name)) for name in BundledRun.model_fields if name != "format"
    }
    values["status"] = Status.INTERRUPTED if run.status.live else run.status
    try:
        record = BundledRun(**values)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise MixvizError(
            f"Run {run.id} does not fit in a bundle because of its {field}."
        ) from error
    left_out = {_MOMENTS} if run.status is Status.FINISHED else set()
    wanted = [name for name in CHECKPOINT_FILES if name not in left_out]
    curves = [[step, epoch, _portable(terms)] for step, epoch, terms in store.terms(run.id)]
    events = [[e.step, e.field, e.value, e.previous] for e in store.events(run.id)]
    named = names.as_json(names.given_names(store, run.id))
    moments = [f"snapshots/{step:09d}.npz" for step in store.snapshot_steps(run.id)]
    if len(moments) + 5 + len(CHECKPOINT_FILES) > MAX_MEMBERS:
        raise MixvizError(f"Run {run.id} has too many snapshots for a bundle ({len(moments)}).")

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, ExitStack() as stack:
            size = 0
            for name, value in (
                ("run.json", record.model_dump(mode="json")),
                ("terms.json", curves),
                ("events.json", events),
                *((("names.json", named),) if named else ()),
            ):
                text = json.dumps(value, allow_nan=False).encode()
                archive.writestr(_entry(name), text)
                size += len(text)
            for name, source in _open_checkpoint(store.checkpoint_folder(run.id), wanted, stack):
                size += _copy(source, archive, f"checkpoint/{name}")
            for done, name in enumerate(["subsample.npz", *moments]):
                with suppress(FileNotFoundError), (folder / name).open("rb") as source:
                    size += _copy(source, archive, name)
                if size > MAX_BYTES:
                    raise MixvizError(f"Run {run.id} is too large for a bundle.")
                if progress is not None:
                    progress((done + 1) / (len(moments) + 1))

    try:
        write_atomically(path, write)
    except OSError as error:
        raise MixvizError(f"{path} could not be written: {error.strerror or error}.") from error


def _open_checkpoint(
    folder: Path, wanted: list[str], stack: ExitStack
) -> list[tuple[str, BinaryIO]]:
    """Open the files of one and the same checkpoint, which a trainer replaces as a whole folder.

    None where there is no checkpoint; no moments where it has none, as after an import.
    """
    if not has_checkpoint(folder) and not folder.exists():
        return []
    reason = "it was replaced again and again"
    for _ in range(5):
        files: list[tuple[str, BinaryIO]] = []
        try:
            before = folder.stat()
            for name in wanted:
                with suppress(FileNotFoundError) if name == _MOMENTS else nullcontext():
                    files.append((name, stack.enter_context((folder / name).open("rb"))))
            if os.path.samestat(before, folder.stat()):
                return files
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}"
            time.sleep(0.02)
    raise MixvizError(
        f"The run's checkpoint cannot be read ({reason}); export it again, and if that does not help "
        "train the run anew."
    )


def _copy(source: BinaryIO, archive: zipfile.ZipFile, name: str) -> int:
    """Copy an open file into the archive and return its size in bytes."""
    with archive.open(_entry(name), "w") as member:
        shutil.copyfileobj(source, member, _CHUNK)
    return source.tell()


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a member's header without a time, so that equal runs give equal bundles."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _portable(value: Any) -> Any:
    """Return JSON without paths of this machine, and with null for what is not finite."""
    if isinstance(value, Mapping):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        if "\n" not in value and os.path.isabs(value):
            return os.path.basename(value.rstrip("/\\"))
        return _PATH.sub(r"\1", value)
    return value


def peek(path: Path) -> BundledRun:
    """Return what a bundle says of its run, without unpacking it.

    Raises
    ------
    MixvizError
        When the file is not a bundle that this version reads.
    """
    with open_bundle(Path(path)) as bundle:
        return bundle.run()


def import_run(
    store: RunStore, path: Path, *, shipped: bool = False, progress: Progress | None = None
) -> str:
    """Add the run in a bundle to the store and return its id there.

    All is checked before anything can be seen. A run that the store has already is left as it is,
    but listed again if it was archived or deleted; one whose id another run has gets a fresh id.

    Parameters
    ----------
    store
        Where to.
    path
        The bundle.
    shipped
        Whether the run came with the program.
    progress
        Called with the share that is done, 0 to 1.

    Raises
    ------
    MixvizError
        When the file is not a sound bundle, or there is no room for it; nothing remains then.
    """
    path = Path(path)
    with open_bundle(path) as bundle:
        run = bundle.run()
        known = _known(store, run)
        if known is not None:
            if not shipped:  # one that was deleted or put out of sight is wanted again
                store.restore([known])
                store.archive([known], False)
            return known
        try:
            with tempfile.TemporaryDirectory(
                prefix=".import-", dir=store.home, ignore_cleanup_errors=True
            ) as temporary:
                folder = Path(temporary) / "run"
                folder.mkdir()
                bundle.unpack(folder, progress)
                moments = [bundle.moment(folder, name) for name in bundle.moments]
                terms, events = bundle.terms(), bundle.events()
                names.write(folder, bundle.names())
                values = run.model_dump(exclude={"format", "id"})
                if run.status.live:
                    values["status"] = Status.INTERRUPTED
                return store.insert_imported(
                    _names(run),
                    folder,
                    {**values, "shipped": shipped},
                    terms=terms,
                    snapshots=moments,
                    events=events,
                )
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise MixvizError(f"{path.name} could not be added to the runs: {reason}.") from error


def shipped_bundles(folder: Path) -> list[Path]:
    """Return the bundles in a folder, by name; none if there is no such folder."""
    return sorted(path for path in Path(folder).glob(f"*{SUFFIX}") if path.is_file())


def import_shipped(store: RunStore, folder: Path) -> list[str]:
    """Import the bundles of a folder that the store has not yet, and return the new runs' ids.

    Meant for every start of the program: what is there already is only peeked at, several
    processes may do it at once, and a bundle that cannot be read is logged and passed over. A run
    that an earlier version shipped under the name of a new one goes to the archive.
    """
    added, current = [], []
    for path in shipped_bundles(folder):
        try:
            current.append(peek(path))
            if _known(store, current[-1]) is None:
                added.append(import_run(store, path, shipped=True))
        except MixvizError as error:
            _log.warning("%s", error)
    if added:
        new = {store.get(run).name for run in added}
        kept = {run.created for run in current}
        there = [run for run in store.runs(1000, shipped=True) if run.name in new]
        store.archive([run.id for run in there if run.created not in kept])
    return added


def _names(run: BundledRun) -> Iterator[str]:
    """Yield the run's id, then others in place of its random end: the same ones every time."""
    yield run.id
    stem = run.id.rpartition("-")[0][:57] or "run"
    for attempt in range(100):
        seed = f"{run.id} {run.created!r} {attempt}".encode()
        yield f"{stem}-{hashlib.sha256(seed).hexdigest()[:6]}"


def _known(store: RunStore, run: BundledRun) -> str | None:
    for name in _names(run):
        try:
            found = store.get(name, deleted=True)
        except MixvizError:
            return None
        if found.id != name:
            return None
        if found.created == run.created:
            return name
    return None
