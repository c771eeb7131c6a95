"""What the points of a map can be coloured by: a name or a number for each of them."""

from dataclasses import dataclass

import numpy as np

from mixviz.figures.palette import (
    COLOURS,
    NEUTRAL,
    RGB,
    UNKNOWN,
    codes,
    sequential_rgb,
)

BINS = 8  # colours of a number
MOST_NAMES = 50  # distinct values above which a column of numbers is drawn as a scale

_RIGHT, _WRONG = 8, 1  # of the palette


@dataclass(frozen=True, eq=False)
class Colouring:
    """Colours of N points.

    Attributes
    ----------
    title
        What the colours mean.
    groups : (N,) uint8, colour of each point among `shades`
    shades : (S, 3) uint8, RGB
    names
        One for each shade that is in the legend, by shade; empty where there is a scale.
    low, high
        Ends of the scale.
    """

    title: str
    groups: np.ndarray
    shades: np.ndarray
    names: dict[int, str]
    low: float = 0.0
    high: float = 1.0

    def hexadecimal(self, group: int) -> str:
        """Colour of a group, as Plotly takes it."""
        return "#{:02x}{:02x}{:02x}".format(*self.shades[group])


def by_name(title: str, values: np.ndarray, names: list[str]) -> Colouring:
    """Colour by numbers 0 and up (N,), each of which has a name; negative ones are unknown."""
    groups = codes(values)
    known = {k: names[k] for k in range(min(len(names), len(COLOURS)))}
    if (groups == UNKNOWN).any():
        known[UNKNOWN] = "unknown"
    return Colouring(title, groups, RGB, known if len(names) <= len(COLOURS) else {})


def by_number(
    title: str, values: np.ndarray, low: float | None = None, high: float | None = None
) -> Colouring:
    """Colour by a number (N,); what is not finite is neutral.

    The scale goes from `low` to `high`, by default over all but the extreme hundredths.
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    if low is None or high is None:
        ends = np.quantile(values[known], (0.01, 0.99)) if known.any() else (0.0, 1.0)
        low, high = (
            float(ends[0]) if low is None else low,
            float(ends[1]) if high is None else high,
        )
    width = high - low if high > low else 1.0
    place = np.clip((np.where(known, values, low) - low) / width, 0, 1)
    groups = np.minimum(place * BINS, BINS - 1).astype(np.uint8)
    middles = sequential_rgb((np.arange(BINS) + 0.5) / BINS)
    shades = np.concatenate([middles, RGB[UNKNOWN][None]])
    return Colouring(title, np.where(known, groups, BINS).astype(np.uint8), shades, {}, low, high)


def by_error(assignments: np.ndarray, labels: np.ndarray, matched: np.ndarray) -> Colouring:
    """Colour by whether the class matched to a point's component is its label.

    Parameters
    ----------
    assignments : (N,) components
    labels : (N,) classes, negative ones unknown
    matched : (K,) class of each component under a matching, -1 for none
    """
    wrong = errors(assignments, labels, matched)
    groups = np.where(labels < 0, UNKNOWN, np.where(wrong, _WRONG, _RIGHT))
    names = {_RIGHT: "right", _WRONG: "wrong"}
    if (labels < 0).any():
        names[UNKNOWN] = "unknown"
    return Colouring("error", groups.astype(np.uint8), RGB, names)


def errors(assignments: np.ndarray, labels: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Tell whose label is not the class matched to its component: (N,) bool."""
    return (matched[assignments] != labels) & (labels >= 0)


def by_column(title: str, values: np.ndarray) -> Colouring:
    """Colour by a column of a table (N,): numbers on a scale, text and few whole numbers by name."""
    values = np.asarray(values)
    known = np.isfinite(values) if values.dtype.kind in "fiu" else np.ones(len(values), bool)
    named, numbers = np.unique(values[known], return_inverse=True)
    if values.dtype.kind in "fiu" and (len(named) > MOST_NAMES or (named != np.round(named)).any()):
        return by_number(title, values)
    codes = np.full(len(values), -1)
    codes[known] = numbers
    names = [f"{name:.0f}" if values.dtype.kind == "f" else str(name) for name in named]
    return by_name(title, codes, names)


def single(title: str, count: int) -> Colouring:
    """Colour all points alike."""
    return Colouring(title, np.full(count, UNKNOWN, np.uint8), RGB, {UNKNOWN: title})


__all__ = [
    "BINS",
    "NEUTRAL",
    "Colouring",
    "by_column",
    "by_error",
    "by_name",
    "by_number",
    "errors",
    "single",
]
