"""Adding one's own data: a file is looked into, its columns or images are chosen, and it is kept."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os.path import expanduser
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import streamlit as st

from mixviz.data.own import existing, free_title, name_from, save
from mixviz.data.own_columns import NO_LABEL, guessed_label, suggested, usable
from mixviz.data.own_files import Contents, open_file
from mixviz.data.own_images import FITS, SIDES, ArrayPictures, Damaged, Fit, Pictures
from mixviz.data.own_limits import LIMITS, MEGABYTE
from mixviz.data.own_prepare import SCALINGS, Options, prepare
from mixviz.data.own_tables import Table
from mixviz.errors import MixvizError
from mixviz.figures.grids import image_grid
from mixviz.ui import keys
from mixviz.ui.runs import literal

T = TypeVar("T")
UPLOAD, ON_DISK = "Upload", "Path on this machine"
_SIDES = (8, 16, 28, 32, 48, 64, 96, 128)
_SIDES_IN_WORDS = " and ".join(map(str, SIDES))
_PREVIEWED = 24  # images
_AT_ONCE = 3_000_000  # numbers that are prepared for the preview
_LISTED = 60  # columns that are offered one by one


@dataclass
class Incoming:
    """A file that is being looked into, and its copy where it was uploaded."""

    id: str
    name: str
    path: Path
    contents: Contents
    folder: "tempfile.TemporaryDirectory[str] | None" = None


def add() -> None:
    """Draw the whole of adding a data set."""
    with st.expander("What can be read, and how large it may be", icon=":material/rule:"):
        st.markdown(
            "CSV, Parquet, NumPy's NPY and NPZ, and a ZIP archive or a folder of pictures, whose "
            "folders may be their classes. Tables give vectors; arrays (N, height, width), with or "
            "without colours, give images. Nothing that is read can run a program: arrays of "
            "Python objects are refused."
        )
        st.caption(f"{LIMITS.in_words()} An upload may have {LIMITS.upload // MEGABYTE} MB.")
    try:
        incoming = _incoming()
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    if incoming is None:
        return
    try:
        contents = _with_names(incoming)
        st.markdown(f"**{literal(incoming.name)}** · {_size(contents)}")
        if isinstance(contents, Table):
            options = _table_options(f"{incoming.id}.{contents.headed}", contents)
        else:
            options = _picture_options(incoming.id, contents)
        _keep(incoming, options)
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")


def _incoming() -> Incoming | None:
    """Return the file that is looked into, read once, or None if there is none yet."""
    place, kept = UPLOAD, st.session_state.get(keys.DATA_KEPT, 0)
    if _is_local():
        place = st.segmented_control(
            "From", [UPLOAD, ON_DISK], default=UPLOAD, required=True, key=keys.DATA_FROM
        )
    if place == ON_DISK:
        text = st.text_input(
            "Path of a file or folder",
            key=f"{keys.DATA_PATH}.{kept}",
            placeholder="/home/me/pictures",
            help="For what is too large to upload. It is read where it lies, on the app's machine.",
        ).strip()
        path = Path(expanduser(text))
        return _opened(f"path {text} {_version(path)}", path) if text else None
    uploaded = st.file_uploader(
        "A table, an array, or a ZIP of pictures",
        type=["csv", "tsv", "txt", "parquet", "pq", "npy", "npz", "zip"],
        max_upload_size=LIMITS.upload // MEGABYTE,
        key=f"{keys.DATA_UPLOAD}.{kept}",
    )
    if uploaded is None:
        st.caption(
            "Tables (CSV, TSV, TXT, Parquet), arrays (NPY, NPZ) and pictures in a ZIP, of at most "
            f"{LIMITS.upload // MEGABYTE} MB; a file of another kind is refused."
        )
        return None
    known: Incoming | None = st.session_state.get(keys.DATA_INCOMING)
    if known is not None and known.id == uploaded.file_id:
        return known
    folder = tempfile.TemporaryDirectory(prefix="mixviz-", ignore_cleanup_errors=True)
    copy = Path(folder.name) / "upload"
    with copy.open("wb") as target:
        target.write(uploaded.getbuffer())
    return _opened(uploaded.file_id, copy, uploaded.name, folder)


def _is_local() -> bool:
    """Whether only this machine's users reach the app: others may not read its disk."""
    return st.get_option("server.address") in ("127.0.0.1", "localhost", "::1")


def _version(path: Path) -> str:
    """Return what differs once a file has changed, so that it is read again."""
    try:
        found = path.stat()
    except OSError:
        return ""  # its opening says why
    return f"{found.st_mtime_ns} {found.st_size}"


def _opened(
    id: str,
    path: Path,
    name: str = "",
    folder: "tempfile.TemporaryDirectory[str] | None" = None,
) -> Incoming:
    known: Incoming | None = st.session_state.get(keys.DATA_INCOMING)
    if known is not None and known.id == id:
        return known
    st.session_state.pop(keys.DATA_INCOMING, None)
    with st.spinner("Reading …"):
        incoming = Incoming(id, name or path.name, path, open_file(path, name), folder)
    st.session_state[keys.DATA_INCOMING] = incoming
    return incoming


def _once(key: str, compute: Callable[[], T]) -> T:
    """Return what is computed of a file's contents, once for as long as it is looked into."""
    key = f"{keys.DATA_OPTION}{key}"
    if key not in st.session_state:
        with st.spinner("Reading …"):
            st.session_state[key] = compute()
    found: T = st.session_state[key]
    return found


def _size(contents: Contents) -> str:
    if isinstance(contents, Table):
        return f"{contents.rows:,} rows, {len(contents.names):,} columns"
    text = f"{len(contents):,} images"
    if isinstance(contents, Pictures) and contents.classes:
        text += f" in {len(contents.classes):,} folders"
    return text


# ---- tables ----------------------------------------------------------------------------------


def _with_names(incoming: Incoming) -> Contents:
    """Let a text table's first line be names or values, where it was judged wrongly."""
    contents = incoming.contents
    if not isinstance(contents, Table) or contents.headed is None:
        return contents
    key = f"{keys.DATA_OPTION}{incoming.id}.headed"
    st.session_state.setdefault(key, contents.headed)
    headed = st.checkbox(
        "The first line names the columns", key=key, help="Judged by the first lines of the file."
    )
    if headed != contents.headed:
        incoming.contents = open_file(incoming.path, incoming.name, headed)
    return incoming.contents


def _table_options(id: str, table: Table) -> Options:
    """Show the first rows; choose columns, label and scaling."""
    st.dataframe(
        pd.DataFrame(table.head(8, _LISTED)), height=250, hide_index=True, alt="The first rows"
    )
    if len(table.names) > _LISTED:
        st.caption(f"The first {_LISTED} of {len(table.names):,} columns.")
    labels = [NO_LABEL, *table.names]
    left, right = st.columns(2)
    with left:
        label = st.selectbox(
            "Label",
            labels,
            labels.index(_once(f"{id}.guessed", partial(guessed_label, table))),
            format_func=lambda name: name or "none",
            key=f"{keys.DATA_OPTION}{id}.label",
            help="Scores the clusters; no model is shown it, but those that ask for some labels.",
        )
    with right:
        scaling = st.selectbox(
            "Scaling",
            list(SCALINGS),
            format_func=lambda name: SCALINGS[name].capitalize(),
            key=f"{keys.DATA_OPTION}{id}.scaling",
        )
    numbers = usable(table, label)
    key = f"{keys.DATA_OPTION}{id}.columns.{label}"
    default = _once(f"{id}.suggested.{label}", partial(suggested, table, label))
    if len(numbers) <= _LISTED:
        chosen = st.multiselect("Columns to cluster by", numbers, default, key=key)
    else:
        fit = set(default)
        unfit = [name for name in numbers if name not in fit]
        out = set(st.multiselect("Columns to leave out", numbers, unfit, key=key))
        chosen = [name for name in numbers if name not in out]
    columns = None if set(chosen) == set(default) else tuple(chosen)
    return Options(columns=columns, label=label, scaling=scaling)


# ---- pictures --------------------------------------------------------------------------------


def _picture_options(id: str, pictures: Pictures | ArrayPictures) -> Options:
    """Choose size, colours and labels; show what the models will see."""
    side, colour = _once(f"{id}.suggested", pictures.suggested)
    prefix = f"{keys.DATA_OPTION}{id}"
    sides = sorted({*_SIDES, side})
    first, second, third = st.columns(3)
    with first:
        side = st.selectbox(
            "Size",
            sides,
            sides.index(side),
            format_func=lambda n: f"{n} x {n} pixels",
            key=f"{prefix}.side",
            help=f"Larger images take longer to train on, with the square of the size. "
            f"Convolutional networks are made for {_SIDES_IN_WORDS} pixels; suggested is the "
            "larger of these to which the median picture need not be enlarged.",
        )
    with second:
        colour = st.selectbox(
            "Colours",
            [False, True],
            int(colour),
            format_func=lambda c: "Kept" if c else "Grey",
            key=f"{prefix}.colour",
        )
    with third:
        fit: Fit = st.selectbox(
            "Other shapes are",
            list(FITS),
            format_func=lambda name: FITS[name],
            key=f"{prefix}.fit",
        )
    label, folders = None, True
    if isinstance(pictures, ArrayPictures):
        names = [NO_LABEL, *pictures.beside]
        label = st.selectbox(
            "Label",
            names,
            names.index(_once(f"{id}.guessed", partial(guessed_label, pictures))),
            format_func=lambda name: name or "none",
            key=f"{prefix}.label",
        )
    elif pictures.classes:
        folders = st.checkbox(
            f"The {len(pictures.classes)} folders are the classes", True, key=f"{prefix}.folders"
        )
        st.caption(literal(", ".join(pictures.classes[:20])))
    options = Options(label=label, side=side, colour=colour, fit=fit, folders=folders)
    _preview(pictures, options)
    return options


def _preview(pictures: Pictures | ArrayPictures, options: Options) -> None:
    assert options.side is not None and options.colour is not None
    indices = np.unique(np.linspace(0, len(pictures) - 1, _PREVIEWED).astype(int)).tolist()
    seen = [
        pixels
        for pixels in pictures.squares(indices, options.side, options.colour, options.fit)
        if not isinstance(pixels, Damaged)
    ]
    if not seen:
        return
    images = np.stack(seen).astype(np.float64)
    if images.max() > 255 or images.min() < 0 or images.max() <= 1:
        images = 255 * (images - images.min()) / max(np.ptp(images), 1e-12)
    st.image(image_grid(images.astype(np.uint8), columns=8), alt="Some of the images")
    st.caption(f"{len(seen)} of the images, as models will see them.")


# ---- keeping ---------------------------------------------------------------------------------


def _keep(incoming: Incoming, options: Options) -> None:
    contents = incoming.contents
    if isinstance(contents, Table) and contents.rows * len(contents.names) <= _AT_ONCE:
        prepared = prepare(contents, options)
        classes = f", {len(prepared.label_names)} classes" if prepared.labels is not None else ""
        st.markdown(
            f"Makes **{len(prepared.x):,} observations of {prepared.x.shape[1]:,} numbers**"
            f"{classes}."
        )
        dropped(prepared.dropped)
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    with left:
        proposed = free_title(Path(incoming.name).stem)
        title = st.text_input(
            "Name",
            proposed,
            max_chars=100,
            key=f"{keys.DATA_OPTION}{incoming.id}.name",
        )
    with right:
        saving = st.button(
            "Save as a data set", type="primary", icon=":material/save:", width="stretch"
        )
    st.caption(f"On the command line: mixviz cluster {name_from(title)}")
    if not saving:
        return
    st.button("Cancel", icon=":material/cancel:")  # any click ends the work below; nothing is kept
    prepared = prepare(contents, options, reporter())
    known = existing(prepared) if title == proposed else None
    kept = known or save(prepared, title, incoming.name)
    st.session_state.pop(keys.DATA_INCOMING, None)
    st.session_state[keys.DATA_ADDED] = (
        f"{kept.title} is kept." if known is None else f"{kept.title} holds just this already."
    )
    st.session_state[keys.DATA_KEPT] = st.session_state.get(keys.DATA_KEPT, 0) + 1
    st.rerun()


def dropped(reasons: tuple[str, ...]) -> None:
    """Say what was left out and why."""
    if reasons:
        st.caption("Left out: " + literal("; ".join(reasons)) + ".")


def reporter() -> Callable[[float, str], None]:
    """Return what shows progress on a bar, a few times a second."""
    bar = st.progress(0.0)
    last = 0.0

    def report(share: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 0.15:
            last = time.monotonic()
            bar.progress(min(max(share, 0.0), 1.0), text)

    return report
