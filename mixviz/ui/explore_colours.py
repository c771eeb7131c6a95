"""What the points of Explore are coloured by, and how one of them is described."""

import numpy as np

from mixviz.analysis.encoded import Encoding
from mixviz.evaluation.matrix import cluster_matrix
from mixviz.figures.embedding_colours import (
    Colouring,
    by_column,
    by_error,
    by_name,
    by_number,
    errors,
)

_COLUMN = "column "  # before the name of a column of the user's table


def describe(encoding: Encoding, names: list[str], row: int) -> str:
    """Say in a line what an observation is and where it went."""
    k = int(encoding.assignments[row])
    text = f"#{row} · component {names[k]} ({encoding.confidences[row]:.0%})"
    labels = encoding.data.labels
    if labels is not None:
        text += f" · label {label_name(encoding, int(labels[row]))}"
    return text


def label_name(encoding: Encoding, label: int) -> str:
    """Name of a class."""
    names = encoding.data.label_names
    return names[label] if 0 <= label < len(names) else str(label)


def colourings(encoding: Encoding) -> list[str]:
    """Names of what the points of an encoding can be coloured by."""
    found = ["component"]
    if encoding.data.labels is not None:
        found += ["label", "error"]
    return [*found, "confidence", "entropy", *(_COLUMN + name for name in encoding.data.columns)]


def called(by: str) -> str:
    """What a colouring is called on the page."""
    return {"error": "Error (one-to-one matching)", "entropy": "Entropy (nats)"}.get(
        by, by.removeprefix(_COLUMN) if by.startswith(_COLUMN) else by.capitalize()
    )


def colouring_of(encoding: Encoding, by: str, names: list[str]) -> Colouring:
    """Colours of all points of an encoding."""
    if by.startswith(_COLUMN):
        column = by.removeprefix(_COLUMN)
        return by_column(column, encoding.data.columns[column])
    if by == "confidence":
        return by_number(by, encoding.confidences, 0.0, 1.0)
    if by == "entropy":
        return by_number("entropy, nats", encoding.entropies, 0.0, float(np.log(len(names))))
    labels = encoding.data.labels
    if by == "label" and labels is not None:
        classes = max(int(labels.max(initial=0)) + 1, len(encoding.data.label_names))
        return by_name(by, labels, [label_name(encoding, k) for k in range(classes)])
    if by == "error" and labels is not None:
        return by_error(encoding.assignments, labels, matched(encoding))
    return by_name("component", encoding.assignments, names)


def matched(encoding: Encoding) -> np.ndarray:
    """Class of each component (K,) under the best one-to-one matching, -1 for none."""
    assert encoding.data.labels is not None
    components = encoding.log_responsibilities.shape[1]
    return cluster_matrix(encoding.assignments, encoding.data.labels, components).matched


def is_error(encoding: Encoding) -> np.ndarray:
    """Whose label is not that of their component (N,) bool."""
    assert encoding.data.labels is not None
    return errors(encoding.assignments, encoding.data.labels, matched(encoding))
