"""Maps of latents as interactive figures: points, prior samples and contours in two or three dimensions."""

from collections.abc import Sequence

import numpy as np
from contourpy import contour_generator
from scipy.ndimage import gaussian_filter, map_coordinates

from mixviz.evaluation.degeneracy import occupied
from mixviz.figures.contours import FAINT, Extent, drawable, ellipses, look
from mixviz.figures.embedding_colours import Colouring
from mixviz.figures.palette import NEUTRAL, SEQUENTIAL, colour, ink
from mixviz.figures.specs import Spec, axis, layout, packed, plain

Outlines = dict[int, np.ndarray]  # by component: (V, d) points of a line, NaN between its pieces

_LEGEND_LIMIT = 24
_MASS = 1 - np.exp(-2)  # share of a Gaussian in the plane within two standard deviations
_CELLS = 96  # along each side of a component's density
_SMOOTH = 2.5  # cells, at least
_FEWEST = 30  # samples that make a density
_GREYED = {"color": NEUTRAL, "opacity": 0.12}
_DRAWN = {"line": {"width": 2.5, "dash": "dash", "color": NEUTRAL}, "fillcolor": "rgba(0,0,0,0)"}
_TITLES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_SUBSCRIPTS = "₁₂₃"


def gaussian_outlines(means: np.ndarray, covariances: np.ndarray) -> Outlines:
    """Two-sigma outlines of Gaussians in d = 2 or 3 dimensions, exact.

    Parameters
    ----------
    means : (K, d)
    covariances : (K, d, d)

    Returns
    -------
    dict
        In three dimensions the outlines are the three sections of the ellipsoid along its axes.
    """
    if means.shape[1] == 2:
        known = drawable(means, covariances)
        lines = ellipses(means, covariances)
        return {k: lines[k] for k in np.flatnonzero(known).tolist()}
    angles = np.linspace(0, 2 * np.pi, 49)
    found = {}
    for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        if not np.isfinite(covariance).all() or not np.isfinite(mean).all():
            continue
        values, vectors = np.linalg.eigh(covariance)
        factor = 2 * vectors * np.sqrt(values.clip(min=0))  # (3, 3)
        pieces = []
        for i, j in ((0, 1), (0, 2), (1, 2)):
            ring = mean + np.outer(np.cos(angles), factor[:, i])
            ring = ring + np.outer(np.sin(angles), factor[:, j])
            pieces += [ring, np.full((1, 3), np.nan)]
        found[k] = np.concatenate(pieces[:-1])
    return found


def density_outlines(points: np.ndarray, components: np.ndarray, count: int) -> Outlines:
    """Outlines that hold as much of each component's samples as two sigma of a Gaussian: 86 %.

    Components with too few samples have none.

    Parameters
    ----------
    points : (M, 2), samples
    components : (M,), from which they are
    count
        K.
    """
    found = {}
    for k in range(count):
        own = points[components == k].astype(np.float64)
        if len(own) >= _FEWEST and np.isfinite(own).all():
            found[k] = _density_outline(own)
    return found


def _density_outline(own: np.ndarray) -> np.ndarray:
    # A few samples far away would make the cells, and with them the smoothing, as large as the rest.
    low, high = np.quantile(own, (0.01, 0.99), axis=0)
    margin = 0.3 * np.maximum(high - low, 1e-6)
    ranges = list(zip(low - margin, high + margin, strict=True))
    counts, x, y = np.histogram2d(own[:, 0], own[:, 1], bins=_CELLS, range=ranges)
    cells = (own - (x[0], y[0])) / (x[1] - x[0], y[1] - y[0]) - 0.5  # (n, 2)
    spread = np.diff(np.quantile(cells, (0.16, 0.84), axis=0), axis=0)[0] / 2
    # Scott's rule is for one mode; half of it keeps several apart.
    width = np.maximum(_SMOOTH, 0.5 * len(own) ** (-1 / 6) * spread)
    density = gaussian_filter(counts, width, mode="constant")
    level = np.quantile(map_coordinates(density, cells.T, order=1, cval=0.0), 1 - _MASS)
    middle_x, middle_y = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
    lines = contour_generator(middle_x, middle_y, density.T).lines(level)
    gap = np.full((1, 2), np.nan)
    pieces = [piece for line in lines for piece in (np.asarray(line), gap)]
    return np.concatenate(pieces[:-1]) if pieces else np.empty((0, 2))


def map_extent(points: np.ndarray, outlines: Outlines) -> Extent:
    """Left, right, bottom and top that hold the points (N, 2), and outlines that lie near them."""
    finite = points[np.isfinite(points).all(1)]
    if not len(finite):
        return (-1.0, 1.0, -1.0, 1.0)
    low, high = np.quantile(finite, (0.0005, 0.9995), axis=0)
    size = np.maximum(high - low, 1e-9)
    for line in outlines.values():
        line = line[np.isfinite(line).all(1)]
        if len(line) and (line > low - size).all() and (line < high + size).all():
            low, high = np.minimum(low, line.min(0)), np.maximum(high, line.max(0))
    margin = 0.04 * np.maximum(high - low, 1e-9)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return (left, right, bottom, top)


def embedding_figure(
    method: str,
    points: np.ndarray,
    colouring: Colouring,
    *,
    uirevision: str,
    extent: Extent | None = None,
    prior: np.ndarray | None = None,
    prior_components: np.ndarray | None = None,
    others: np.ndarray | None = None,
    outlines: Outlines | None = None,
    names: Sequence[str] = (),
    usage: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    selected: np.ndarray | None = None,
    drawn: np.ndarray | None = None,
) -> Spec:
    """Draw a map in two or three dimensions, by the shape of `points`.

    Parameters
    ----------
    method
        Names the axes.
    points : (N, d)
    prior : (M, d), prior_components : (M,)
        Samples of the mixture.
    others : (L, d)
        Points of another data set.
    outlines
        By component.
    names
        Names of the components.
    usage : (K,)
        Share of the points in each component; idle ones are drawn faint.
    rows : (N,)
        Numbers by which points are picked, where they are some of many; else their order.
    selected : (N,) bool
        All others are greyed.
    drawn : (V, 2)
        An outline that selects what is inside it.
    """
    solid = points.shape[1] == 3
    flat = _axes(method, points.shape[1])
    data = [
        *_points(
            points, np.arange(len(points)) if rows is None else rows, colouring, selected, solid
        ),
        *_crosses(prior, prior_components, solid),
        *_others(others, solid),
        *_lines(outlines or {}, names, usage, solid),
        *scale_of(colouring, solid),
    ]
    if solid:
        scene = dict(zip(("xaxis", "yaxis", "zaxis"), flat, strict=True))
        space = layout(uirevision, {}, {}, scene={**scene, "aspectmode": "data"})
        del space["xaxis"], space["yaxis"]
        return {"data": data, "layout": space}
    left, right, bottom, top = extent or map_extent(points, outlines or {})
    x = flat[0] | {"range": [left, right]}
    y = flat[1] | {"range": [bottom, top], "scaleanchor": "x", "scaleratio": 1}
    bar = {"orientation": "v", "bgcolor": "rgba(0,0,0,0)"}  # beside the legend, not over it
    more: Spec = {"dragmode": "drawclosedpath", "modebar": bar, "newshape": _DRAWN}
    more["shapes"] = [] if drawn is None else [outline_of(drawn)]
    return {"data": data, "layout": layout(uirevision, x, y, **more)}


def outline_of(drawn: np.ndarray) -> Spec:
    """Return an outline (V, 2) as what someone has drawn."""
    path = "L".join(f"{x:.6g},{y:.6g}" for x, y in drawn.tolist())
    return {
        "type": "path",
        "path": f"M{path}Z",
        "xref": "x",
        "yref": "y",
        "editable": True,
        **_DRAWN,
    }


def _axes(method: str, dimensions: int) -> list[Spec]:
    if method == "latent":
        return [axis(f"z{_SUBSCRIPTS[i]}") for i in range(dimensions)]
    named = [axis(f"{_TITLES.get(method, method)} {i + 1}") for i in range(dimensions)]
    if method == "pca":
        return named
    return [each | {"showticklabels": False} for each in named]  # only neighbours mean something


def _points(
    points: np.ndarray,
    numbers: np.ndarray,
    colouring: Colouring,
    selected: np.ndarray | None,
    solid: bool,
) -> list[Spec]:
    """Points as one trace for each colour, which is drawn much faster than an array of colours."""
    traces = []
    in_legend = len(colouring.names) <= _LEGEND_LIMIT
    if solid and selected is not None:
        rest = np.flatnonzero(~selected)
        marker = _GREYED | {"size": 2}
        traces.append(_trace(points[rest], "greyed", marker, numbers[rest], solid))
    for group in np.unique(colouring.groups).tolist():
        inside = colouring.groups == group
        if solid and selected is not None:
            inside &= selected
        rows = np.flatnonzero(inside)
        marker = _marker(len(points), solid) | {"color": colouring.hexadecimal(group)}
        trace = _trace(points[rows], f"points-{group}", marker, numbers[rows], solid)
        if in_legend and group in colouring.names:
            trace |= {"name": plain(colouring.names[group]), "showlegend": True}
        if not solid:
            trace["unselected"] = {"marker": _GREYED}
            if selected is not None:
                trace["selectedpoints"] = packed(np.flatnonzero(selected[rows]))
        traces.append(trace)
    return traces


def _marker(count: int, solid: bool) -> Spec:
    if solid:
        return {"size": 2 if count > 3000 else 3.5, "opacity": 0.8}
    if count > 30_000:
        return {"size": 2.5, "opacity": 0.5}
    return {"size": 3, "opacity": 0.65} if count > 3000 else {"size": 6, "opacity": 0.8}


def _trace(points: np.ndarray, uid: str, marker: Spec, rows: np.ndarray, solid: bool) -> Spec:
    trace: Spec = {
        "type": "scatter3d" if solid else "scattergl",
        "mode": "markers",
        "uid": uid,
        "x": packed(points[:, 0]),
        "y": packed(points[:, 1]),
        "customdata": packed(rows),
        "marker": marker,
        # In the plane the page finds the nearest point itself: Plotly stalls where points pile up.
        "hoverinfo": "none" if solid else "skip",
        "showlegend": False,
    }
    if solid:
        trace["z"] = packed(points[:, 2])
    return trace


def _overlay(points: np.ndarray, uid: str, marker: Spec, solid: bool) -> Spec:
    trace = _trace(points, uid, marker, np.empty(0, np.int32), solid) | {"hoverinfo": "skip"}
    del trace["customdata"]
    if not solid:
        trace["unselected"] = {"marker": {"opacity": marker["opacity"]}}
    return trace


def _crosses(prior: np.ndarray | None, components: np.ndarray | None, solid: bool) -> list[Spec]:
    if prior is None or not len(prior) or components is None:
        return []
    marker: Spec = {"symbol": "cross" if solid else "cross-thin", "opacity": 0.7}
    marker |= {"size": 2} if solid else {"size": 4}
    shades = components % 50
    traces = []
    for shade in np.unique(shades).tolist():
        line = {"width": 1, "color": colour(shade)}
        look = marker | {"color": colour(shade), "line": line}
        traces.append(_overlay(prior[shades == shade], f"prior-{shade}", look, solid))
    traces[0] |= {"name": "prior samples", "showlegend": True, "legendgroup": "prior"}
    return [trace | {"legendgroup": "prior"} for trace in traces]


def _others(others: np.ndarray | None, solid: bool) -> list[Spec]:
    if others is None or not len(others):
        return []
    marker = {"symbol": "diamond-open", "size": 3 if solid else 6, "color": NEUTRAL, "opacity": 0.8}
    trace = _overlay(others, "others", marker, solid)
    return [trace | {"name": "placed points", "showlegend": True}]


def _lines(
    outlines: Outlines, names: Sequence[str], usage: np.ndarray | None, solid: bool
) -> list[Spec]:
    idle = set() if usage is None else set(np.flatnonzero(~occupied(usage)).tolist())
    # The idle ones first, so that the others lie above them.
    outlines = {k: outlines[k] for k in sorted(outlines, key=lambda k: k not in idle)}
    traces = []
    for k, line in outlines.items():
        dash, opacity = look(k not in idle)
        trace: Spec = {
            "type": "scatter3d" if solid else "scattergl",
            "mode": "lines",
            "uid": f"component-{k}",
            "name": plain(names[k] if k < len(names) else str(k)),
            "x": packed(line[:, 0]),
            "y": packed(line[:, 1]),
            "line": {"color": colour(k), "width": 3 if solid else 2, "dash": dash},
            "opacity": opacity,
            "hoverinfo": "skip",
            "showlegend": False,
        }
        if solid:
            trace["z"] = packed(line[:, 2])
        traces.append(trace)
    return traces if solid else [*traces, *_numbers(outlines, idle)]


def _numbers(outlines: Outlines, idle: set[int]) -> list[Spec]:
    """Numbers of the components, each inside the longest piece of its outline."""
    shown = {k: _longest(line).mean(0) for k, line in outlines.items() if len(line)}
    if not shown:
        return []
    where = np.array(list(shown.values()))
    opacities = [FAINT if k in idle else 0.9 for k in shown]
    marker: Spec = {"size": 16, "opacity": opacities, "color": [colour(k) for k in shown]}
    ground = {**marker, "line": {"width": 1, "color": "#ffffff"}}
    return [
        {
            "type": "scattergl",
            "mode": "markers+text",
            "uid": "numbers",
            "x": packed(where[:, 0]),
            "y": packed(where[:, 1]),
            "text": [str(k) for k in shown],
            "textfont": {"size": 10, "weight": "bold", "color": [ink(k) for k in shown]},
            "marker": ground,
            "unselected": {"marker": {"opacity": 0.9}, "textfont": {"color": "#ffffff"}},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def _longest(line: np.ndarray) -> np.ndarray:
    gaps = np.flatnonzero(~np.isfinite(line).all(1))
    pieces = [piece[np.isfinite(piece).all(1)] for piece in np.split(line, gaps)]
    return max(pieces, key=len)


def scale_of(colouring: Colouring, solid: bool) -> list[Spec]:
    """Carry the scale of a number on a trace without points."""
    if colouring.names or len(colouring.shades) > len(SEQUENTIAL) + 3:
        return []
    steps = len(colouring.shades) - 1
    scale = [
        [(i + side) / steps, colouring.hexadecimal(i)] for i in range(steps) for side in (0, 1)
    ]
    bar = {
        "thickness": 10,
        "len": 0.8,
        "outlinewidth": 0,
        "title": {"text": plain(colouring.title), "side": "right"},
    }
    marker = {"color": [colouring.low], "cmin": colouring.low, "cmax": colouring.high}
    marker |= {"colorscale": scale, "showscale": True, "colorbar": bar}
    trace: Spec = {
        "type": "scatter3d" if solid else "scatter",
        "mode": "markers",
        "uid": "scale",
        "x": [None],
        "y": [None],
        "marker": marker,
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [trace | ({"z": [None]} if solid else {})]
