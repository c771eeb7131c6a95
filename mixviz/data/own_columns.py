"""Which columns of a user's table are features, and which is the label, where nobody says it."""

import numpy as np

from mixviz.data.own_images import ArrayPictures
from mixviz.data.own_limits import LIMITS
from mixviz.data.own_tables import ArrayTable, Table

NO_LABEL = ""
_LABELS = ("label", "labels", "class", "target", "y", "species", "category", "cluster")
_EMPTY = "without any value"
_CONSTANT = "the same value in every row"
_SPARSE = "more than half of the values missing"
_NUMBERING = "the number of the row"
_INDEX = "the index of the rows"
REASONS = (_EMPTY, _CONSTANT, _SPARSE, _NUMBERING, _INDEX)


def guessed_label(contents: Table | ArrayPictures) -> str:
    """Name of the column that looks like a label, by its name and its values, or `NO_LABEL`.

    Its values are texts, or whole numbers of which at most half as many differ as there are rows:
    measurements may have the name of a label too.
    """
    table = contents if isinstance(contents, Table) else beside(contents)
    for column, name in enumerate(table.names):
        if name.lower() in _LABELS and _are_classes(table, column):
            return name
    return NO_LABEL


def _are_classes(table: Table, column: int) -> bool:
    if table.kinds[column] == "text":
        return len(table.words(column)[1]) <= LIMITS.classes
    values = table.numbers(column)
    values = values[np.isfinite(values)]
    if not len(values) or (values != np.round(values)).any():
        return False
    return len(np.unique(values)) <= min(LIMITS.classes, table.rows // 2)


def beside(pictures: ArrayPictures) -> ArrayTable:
    """Return the arrays that came with images as columns."""
    return ArrayTable(pictures.file, np.empty((len(pictures), 0)), pictures.beside)


def usable(table: Table, label: str) -> list[str]:
    """Names of the columns that can be features: all numbers but the label."""
    kinds = zip(table.names, table.kinds, strict=True)
    return [name for name, kind in kinds if kind == "number" and name != label]


def suggested(table: Table, label: str) -> list[str]:
    """Names of the columns that are features unless others are chosen."""
    names = usable(table, label)
    index = {name: i for i, name in enumerate(table.names)}
    return [
        name
        for name in names
        if not why_no_feature(name, table.numbers(index[name]), table, alone=len(names) == 1)
    ]


def why_no_feature(
    name: str, values: np.ndarray, table: Table, *, alone: bool, chosen: bool = False
) -> str:
    """Return which of `REASONS` keeps a column from being a feature, or "".

    Parameters
    ----------
    values : float64 (N,)
    alone
        Whether there is no other column to be a feature.
    chosen
        Whether the user asked for it; what only looks unfit is taken then.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return _EMPTY
    if np.ptp(values[finite]) == 0:
        return _CONSTANT
    if chosen:
        return ""
    if name in table.indices:
        return _INDEX
    if finite.mean() < 0.5:
        return _SPARSE
    return _NUMBERING if not alone and (np.diff(values) == 1).all() else ""
