"""The mixture as a whole: how much each component is used and overlaps, and its density."""

from collections.abc import Sequence

import numpy as np

from mixviz.figures.palette import COLOURS, NEUTRAL, UNKNOWN, codes, colour, discrete_scale
from mixviz.figures.specs import Spec, axis, layout, packed, plain
from mixviz.runs.snapshots import Snapshot, Subsample

_POINTS = 2000
_NAMED = 30  # components of which every pair can be named
_FADE = [[0, "rgba(47,141,245,0)"], [1, "rgba(47,141,245,1)"]]  # shows the background where zero


def usage_figure(
    snapshot: Snapshot,
    uirevision: str | int,
    names: Sequence[str] | None = None,
    note: str = "",
) -> Spec:
    """Draw the share of points assigned to each component, in per cent, against an even 1/K.

    `names` of the components (K,) are shown on hover; by default their numbers. A `note` stands below.
    """
    components = len(snapshot.usage)
    shares = 100 * np.nan_to_num(snapshot.usage, nan=0.0, posinf=0.0, neginf=0.0)
    bars = {
        "type": "bar",
        "x": list(range(components)),
        "y": packed(shares.astype(np.float32)),
        "marker": {"color": [colour(k) for k in range(components)]},
        "customdata": [plain(name) for name in names or map(str, range(components))],
        "hovertemplate": "component %{customdata}: %{y:.1f} %<extra></extra>",
        "showlegend": False,
    }
    x, y = _component_axis(components), axis("% of points", rangemode="tozero")
    if note:
        x["title"] |= {"text": f"component<br>{plain(note)}", "font": {"size": 12}}
    even = {
        "type": "scatter",
        "mode": "lines",
        "name": "1/K",
        "x": [-0.5, components - 0.5],
        "y": [100 / max(components, 1)] * 2,
        "line": {"color": NEUTRAL, "width": 2, "dash": "dash"},
        "hoverinfo": "skip",
        "showlegend": True,
    }
    return {"data": [bars, even], "layout": layout(uirevision, x, y, bargap=0.15)}


def overlap_figure(
    snapshot: Snapshot, uirevision: str | int, names: Sequence[str] | None = None
) -> Spec:
    """Draw the Bhattacharyya coefficient of each pair of components, 0 (apart) to 1 (the same).

    `names` of the components (K,) are shown on hover; by default their numbers.
    """
    components = len(snapshot.overlap)
    cells = {
        "type": "heatmap",
        "z": packed(snapshot.overlap.astype(np.float32)),
        "zmin": 0,
        "zmax": 1,
        "colorscale": _FADE,
        "colorbar": {"thickness": 10, "len": 0.8, "outlinewidth": 0},
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "components %{y} and %{x}: %{z:.2f}<extra></extra>",
        "hoverongaps": False,
    }
    if names and components <= _NAMED:
        called = [plain(name) for name in names]
        cells["text"] = [[f"{first} and {second}" for second in called] for first in called]
        cells["hovertemplate"] = "components %{text}: %{z:.2f}<extra></extra>"
    x = _component_axis(components, showgrid=False, constrain="domain", zeroline=False)
    y = _component_axis(components, showgrid=False, constrain="domain", zeroline=False)
    y |= {"autorange": "reversed", "scaleanchor": "x"}
    return {"data": [cells], "layout": layout(uirevision, x, y)}


def density_figure(snapshot: Snapshot, subsample: Subsample, uirevision: str | int) -> Spec:
    """Draw the model's density p(x) over two-dimensional data, under the data.

    Raises
    ------
    ValueError
        When the data have not two dimensions.
    """
    if not len(subsample.points):
        raise ValueError("density is drawn for two-dimensional data only")
    known = snapshot.density.ndim == 2 and np.isfinite(snapshot.density_extent).all()
    data = [density_map(snapshot.density, snapshot.density_extent)] if known else []
    return {
        "data": [*data, _observations(snapshot, subsample)],
        "layout": layout(
            uirevision,
            axis("x₁", showgrid=False, zeroline=False),
            axis("x₂", showgrid=False, zeroline=False, scaleanchor="x", scaleratio=1),
            coloraxis={
                "colorscale": discrete_scale(),
                "cmin": -0.5,
                "cmax": UNKNOWN + 0.5,
                "showscale": False,
            },
        ),
    }


def _component_axis(components: int, **settings: object) -> Spec:
    ticks = {"dtick": 1} if components <= len(COLOURS) // 2 else {}
    return axis("component", **ticks, **settings)


def density_map(density: np.ndarray, extent: np.ndarray, highest: float | None = None) -> Spec:
    """Draw a density (G, G) over its extent: left, right, bottom, top; darkest at `highest`."""
    left, right, bottom, top = (float(each) for each in extent)
    rows, columns = density.shape
    trace = {
        "type": "heatmap",
        "z": packed(density.astype(np.float32)),
        "x0": left,
        "dx": (right - left) / max(columns - 1, 1),
        "y0": bottom,
        "dy": (top - bottom) / max(rows - 1, 1),
        "zmin": 0,
        "colorscale": _FADE,
        "zsmooth": "best",
        "showscale": False,
        "hovertemplate": "p(x) = %{z:.3g}<extra></extra>",
    }
    return trace if highest is None else trace | {"zmax": highest}


def _observations(snapshot: Snapshot, subsample: Subsample) -> Spec:
    stride = -(-len(subsample.points) // _POINTS)
    points = subsample.points[::stride]
    trace: Spec = {
        "type": "scattergl",
        "mode": "markers",
        "x": packed(points[:, 0]),
        "y": packed(points[:, 1]),
        "marker": {"size": 3, "opacity": 0.6, "color": NEUTRAL},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    if len(snapshot.assignments) == len(subsample.points):
        trace["marker"]["color"] = packed(codes(snapshot.assignments[::stride]))
        trace["marker"]["coloraxis"] = "coloraxis"
    return trace
