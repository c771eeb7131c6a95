"""From a user's file to a data set: columns and label chosen, numbers scaled, images resized."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mixviz.data.dataset import Kind
from mixviz.data.own_columns import REASONS, beside, guessed_label, usable, why_no_feature
from mixviz.data.own_files import Contents
from mixviz.data.own_images import FITS, ArrayPictures, Damaged, Fit, Pictures
from mixviz.data.own_limits import LIMITS
from mixviz.data.own_tables import Table
from mixviz.errors import MixvizError, unknown

Scaling = Literal["standardise", "range", "none"]
Report = Callable[[float, str], None]
SCALINGS: dict[Scaling, str] = {
    "standardise": "mean 0 and standard deviation 1 in each column",
    "range": "from 0 to 1 in each column",
    "none": "as in the file",
}
_CLIP = 1e6  # standard deviations; farther away no 32-bit network can see anything


@dataclass(frozen=True)
class Options:
    """What is taken from a file, and how.

    Attributes
    ----------
    columns
        Names of the features; None takes all numbers but the label.
    label
        Name of the column that scores the clusters; None guesses it, "" takes none.
    scaling
        Of the features.
    side, colour, fit
        Of images: pixels along each side and whether they keep their colours, None for what suits
        the first pictures, and how others become squares.
    folders
        Whether the folders of pictures are their classes.
    headed
        Of a text table, whether its first line names the columns; None judges by the first lines. Read
        by `add_file` alone, which opens the file: what is prepared is open already.
    """

    columns: tuple[str, ...] | None = None
    label: str | None = None
    scaling: Scaling = "standardise"
    side: int | None = None
    colour: bool | None = None
    fit: Fit = "crop"
    folders: bool = True
    headed: bool | None = None


@dataclass(frozen=True)
class Prepared:
    """Observations ready to be kept.

    Attributes
    ----------
    x : float32 (N, D) or (N, C, H, W)
    labels : int64 (N,), optional
    columns
        Further values by name: float64 (N,), or texts (N,) as objects.
    dropped
        What was left out and why, a clause each.
    """

    kind: Kind
    x: np.ndarray
    scaling: str
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


def prepare(
    contents: Contents, options: Options, report: Report = lambda share, text: None
) -> Prepared:
    """Make a data set of a file's contents.

    Raises
    ------
    MixvizError
        When nothing sensible is left, a column is not there, or there is too much.
    """
    if isinstance(contents, Table):
        return _of_table(contents, options, report)
    return _of_pictures(contents, options, report)


# ---- tables ----------------------------------------------------------------------------------


def _of_table(table: Table, options: Options, report: Report) -> Prepared:
    index = {name: i for i, name in enumerate(table.names)}
    label = guessed_label(table) if options.label is None else options.label
    chosen = options.columns
    if chosen is None:
        chosen = tuple(usable(table, label))
    elif not chosen:
        raise MixvizError("No column is chosen; choose at least one to cluster by.")
    for name in (*chosen, *([label] if label else [])):
        if name not in index:
            raise unknown("column", name, table.names[:50])
    for name in chosen:
        if table.kinds[index[name]] != "number":
            raise MixvizError(f"Column {name!r} of {table.file} holds no numbers; leave it out.")
    dropped: list[str] = []
    if table.unread:
        dropped.append(f"{_columns(table.unread)}: neither numbers nor texts")
    features, kept_rows = _features(
        table, [index[name] for name in chosen], label, options, dropped, report
    )
    names = [chosen[i] for i in features]
    if not names:
        raise MixvizError(
            f"{table.file} has no column of different numbers to use; {_listed(dropped)}."
        )
    labels, label_names = None, tuple[str, ...]()
    if label:
        codes, texts = table.words(index[label])
        if missing := int((codes[kept_rows] < 0).sum()):
            dropped.append(f"rows without a {label}: {missing:,}")
            kept_rows &= codes >= 0
        labels, label_names = _compact(codes[kept_rows], texts, label)
    rows = int(kept_rows.sum())
    lost = table.rows - rows
    if rows < LIMITS.fewest or lost > rows:
        raise MixvizError(
            f"{lost:,} of the {table.rows:,} rows of {table.file} cannot be used: {_listed(dropped)}."
        )
    x = np.empty((rows, len(names)), np.float32)
    for place, name in enumerate(names):
        report(place / len(names), f"Scaling {len(names):,} columns")
        x[:, place] = _scaled(table.numbers(index[name])[kept_rows], name, options.scaling)
    left = [name for name in table.names if name not in (*names, label)]
    return Prepared(
        kind="vector",
        x=x,
        scaling=SCALINGS[options.scaling],
        labels=labels,
        label_names=label_names,
        columns=_kept_columns(table, (*left, *names), kept_rows),
        dropped=tuple(dropped),
    )


def _features(
    table: Table,
    columns: Sequence[int],
    label: str,
    options: Options,
    dropped: list[str],
    report: Report,
) -> tuple[list[int], np.ndarray]:
    """Return places of the columns that are features, and which rows (N,) have them all."""
    good, rows = [], np.ones(table.rows, bool)
    unsuitable: dict[str, list[str]] = {why: [] for why in REASONS}
    incomplete, infinite = 0, 0
    for place, column in enumerate(columns):
        report(place / len(columns), f"Reading {len(columns):,} columns")
        values = table.numbers(column)
        why = why_no_feature(
            table.names[column],
            values,
            table,
            alone=len(columns) == 1,
            chosen=options.columns is not None,
        )
        if why:
            unsuitable[why].append(table.names[column])
            continue
        good.append(place)
        finite = np.isfinite(values)
        infinite += int(np.isinf(values).sum())
        incomplete += int((rows & ~finite).sum())
        rows &= finite
    dropped += [f"{_columns(names)}: {why}" for why, names in unsuitable.items() if names]
    if options.columns is None:
        kinds = zip(table.names, table.kinds, strict=True)
        if texts := [name for name, kind in kinds if kind == "text" and name != label]:
            dropped.append(f"{_columns(texts)}: text, kept beside the features")
    if incomplete:
        why = "missing or not finite" if infinite else "missing"
        dropped.append(f"rows with a value that is {why}: {incomplete:,}")
    return good, rows


def _scaled(values: np.ndarray, name: str, scaling: Scaling) -> np.ndarray:
    """Scale a column in double precision; values too far out for 32 bits are refused."""
    with np.errstate(all="ignore"):
        if scaling == "standardise":
            values = (values - values.mean()) / max(values.std(), 1e-300)
        elif scaling == "range":
            values = (values - values.min()) / max(np.ptp(values), 1e-300)
        if not np.isfinite(values).all() or np.abs(values).max() > _CLIP:
            raise MixvizError(
                f"Column {name!r} has values too large or too far apart to train on; "
                "take its logarithm, or leave it out."
            )
    return values.astype(np.float32)


def _compact(
    codes: np.ndarray, texts: Sequence[str], label: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the classes that are there from 0, in the order of their names."""
    found, compact = np.unique(codes, return_inverse=True)
    if len(found) > LIMITS.classes:
        raise MixvizError(
            f"Column {label!r} has {len(found):,} different values, too many for a label; at most "
            f"{LIMITS.classes:,} classes are scored."
        )
    names = [texts[code] or "(empty)" for code in found]
    order = (
        np.argsort(names, kind="stable") if not all(map(_numeric, names)) else np.arange(len(names))
    )
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return place[compact], tuple(names[i] for i in order)


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kept_columns(table: Table, names: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the values of columns for the rows that are kept, as far as limits allow."""
    index = {name: i for i, name in enumerate(table.names)}
    most = min(LIMITS.kept, 100 * 10**6 // max(int(rows.sum()), 1))
    found = {}
    for name in names[:most]:
        if table.kinds[index[name]] == "number":
            found[name] = table.numbers(index[name])[rows]
        else:
            codes, texts = table.words(index[name])
            found[name] = np.array([*texts, ""], object)[codes[rows]]
    return found


def _columns(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
    return f"column{'s' * (len(names) != 1)} {shown}"


def _listed(dropped: Sequence[str]) -> str:
    return "; ".join(dropped) or "none of its columns holds numbers"


# ---- pictures --------------------------------------------------------------------------------


def _of_pictures(pictures: Pictures | ArrayPictures, options: Options, report: Report) -> Prepared:
    side, colour = pictures.suggested()
    side = side if options.side is None else options.side
    colour = colour if options.colour is None else options.colour
    if not 4 <= side <= LIMITS.side:
        raise MixvizError(f"Images of {side}x{side} pixels are not made; 4 to {LIMITS.side} are.")
    channels = 3 if colour else 1
    count = len(pictures)
    if count * channels * side * side > LIMITS.numbers:
        raise MixvizError(
            f"{count:,} images of {side}x{side} pixels are more than {LIMITS.numbers // 10**6} million "
            "numbers; choose fewer pixels, or grey."
        )
    x = np.empty((count, channels, side, side), np.float32)
    good = np.zeros(count, bool)
    reasons: list[str] = []
    squares = pictures.squares(range(count), side, colour, options.fit)
    for i, pixels in enumerate(squares):
        if i % 50 == 0:
            report(i / count, f"Reading {count:,} images")
        if isinstance(pixels, Damaged):
            reasons.append(f"{pictures.names[i]}, {pixels}")
        elif not np.isfinite(pixels).all():
            reasons.append(f"{pictures.names[i]}, not finite")
        else:
            x[i], good[i] = pixels, True
    dropped = list(pictures.notes)
    if reasons:
        dropped.append(f"images that cannot be read: {len(reasons):,} (first: {reasons[0]})")
    kept = int(good.sum())
    if kept < LIMITS.fewest or len(reasons) > kept:
        raise MixvizError(
            f"{len(reasons):,} of the {count:,} images in {pictures.file} cannot be read: "
            f"{reasons[0]}."
        )
    x = x if kept == count else x[good]
    labels, names, columns = _picture_labels(pictures, options, good)
    return Prepared(
        kind="image",
        x=x,
        scaling=f"{_unit_range(x, pictures)}; {FITS[options.fit]}",
        labels=labels,
        label_names=names,
        columns=columns,
        dropped=tuple(dropped),
    )


def _unit_range(x: np.ndarray, pictures: Pictures | ArrayPictures) -> str:
    """Bring pixels into [0, 1] in place, and say how."""
    low, high = float(x.min()), float(x.max())
    if low == high:
        raise MixvizError(f"All pixels of all images in {pictures.file} are the same.")
    bytes_ = isinstance(pictures, Pictures) or pictures.frames.dtype == np.uint8
    if bytes_ and (high > 1 or isinstance(pictures, Pictures)):
        x /= np.float32(255)
        return "pixels divided by 255, in [0, 1]"
    if low >= 0 and high <= 1:
        return "pixels as in the file, in [0, 1]"
    x -= np.float32(low)
    x /= np.float32(high - low)
    np.clip(x, 0, 1, out=x)
    return f"pixels from {low:g} to {high:g} brought to [0, 1]"


def _picture_labels(
    pictures: Pictures | ArrayPictures, options: Options, good: np.ndarray
) -> tuple[np.ndarray | None, tuple[str, ...], dict[str, np.ndarray]]:
    """Labels, their names, and further columns of the images that are kept."""
    if isinstance(pictures, Pictures):
        files = {"file": np.array([n[-LIMITS.text :] for n in pictures.names], object)[good]}
        if pictures.codes is None or not options.folders:
            return None, (), files
        labels, names = _compact(pictures.codes[good], pictures.classes, "folder")
        return labels, names, files
    table = beside(pictures)
    label = guessed_label(table) if options.label is None else options.label
    columns = _kept_columns(table, [name for name in table.names if name != label], good)
    if not label:
        return None, (), columns
    if label not in table.names:
        raise unknown("array", label, table.names)
    codes, texts = table.words(table.names.index(label))
    if (codes[good] < 0).any():
        raise MixvizError(f"Array {label!r} in {pictures.file} has values that are not finite.")
    return *_compact(codes[good], texts, label), columns
