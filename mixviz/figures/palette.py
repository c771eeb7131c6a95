"""One fixed colour per component, the same in every picture and every run."""

import numpy as np

# Printed by `python tests/figures/make_palette.py`: far apart for normal vision, protanopia,
# deuteranopia and tritanopia at once, most of all the first ten; seen on white and on near-black.
# fmt: off
COLOURS: tuple[str, ...] = (
    "#992df3", "#cf1b00", "#3faba2", "#fcbd12", "#cfbdea",
    "#3feaab", "#a290fc", "#995a5a", "#517590", "#ea755a",
    "#bd757e", "#c6247e", "#8775c6", "#99c6bd", "#b499cf",
    "#d89900", "#b4cf75", "#99b487", "#ea5124", "#e12db4",
    "#ab63fc", "#c66351", "#bdabfc", "#ab513f", "#b412bd",
    "#cfab51", "#bd8799", "#6cbdbd", "#09997e", "#87a26c",
    "#99d8d8", "#99e151", "#878724", "#7e90d8", "#bd4899",
    "#f363ea", "#8799b4", "#1bcfd8", "#24876c", "#d82d6c",
    "#ab7590", "#c699ab", "#abbd75", "#6c7eab", "#48bd24",
    "#9063d8", "#a2903f", "#7ecfab", "#fc9999", "#cf8790",
)
# fmt: on

NEUTRAL = "#8a8f98"  # unlabelled, unselected, reference lines
UNKNOWN = len(COLOURS)  # the code of NEUTRAL beside those of COLOURS

# The middle of matplotlib's viridis, whose ends vanish on one of the two backgrounds.
SEQUENTIAL = ("#375a8c", "#2a788e", "#1f958b", "#2cb17e", "#63cb5f", "#b0dd2f")


def _rgb(colours: tuple[str, ...]) -> np.ndarray:
    return np.array([[int(each[i : i + 2], 16) for i in (1, 3, 5)] for each in colours], np.uint8)


RGB = _rgb((*COLOURS, NEUTRAL))  # (51, 3), by code
_SEQUENTIAL_RGB = _rgb(SEQUENTIAL)


def colour(k: int) -> str:
    """Return the colour of component `k`, as a hex string; colours repeat after 50 components."""
    return COLOURS[k % len(COLOURS)]


def ink(k: int) -> str:
    """Return black or white, whichever is read better on the colour of component `k`."""
    red, green, blue = RGB[k % len(COLOURS)] / 255
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"


def codes(values: np.ndarray) -> np.ndarray:
    """Return palette codes (N,) uint8 of component or label numbers; negative ones are unknown."""
    values = np.asarray(values)
    return np.where(values < 0, UNKNOWN, values % len(COLOURS)).astype(np.uint8)


def discrete_scale() -> list[list[float | str]]:
    """Return a Plotly colour scale whose codes 0 to 50 lie at the integers, over [-0.5, 50.5]."""
    names = (*COLOURS, NEUTRAL)
    edges = np.linspace(0, 1, len(names) + 1).tolist()
    return [[edges[i + side], name] for i, name in enumerate(names) for side in (0, 1)]


def sequential_scale() -> list[list[float | str]]:
    """Return a Plotly colour scale from low to high."""
    return [[i / (len(SEQUENTIAL) - 1), name] for i, name in enumerate(SEQUENTIAL)]


def sequential_rgb(values: np.ndarray) -> np.ndarray:
    """Return RGB (N, 3) uint8 of values (N,) in [0, 1]; non-finite values are neutral."""
    ticks = np.linspace(0, 1, len(SEQUENTIAL))
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    rgb = np.stack([np.interp(filled, ticks, channel) for channel in _SEQUENTIAL_RGB.T], -1)
    return np.where(known[:, None], rgb.round(), RGB[UNKNOWN]).astype(np.uint8)
