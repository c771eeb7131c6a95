"""One Plotly figure that changes in place: zoom and WebGL context survive every update."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from mixviz.ui.feed import PLOTLY

_HERE = Path(__file__).parent
_CSS = """
.live-plot { width: 100%; }
.live-plot .modebar-container { opacity: 0.7; }
.live-plot-error { color: var(--st-text-color); padding: 1rem; }
"""

_component = st.components.v2.component(
    "mixviz_live_plot",
    css=_CSS,
    js=(_HERE / "live_plot.js").read_text(),
    isolate_styles=False,
)


def live_plot(
    figure: dict[str, Any],
    *,
    key: str,
    height: int,
    label: str,
    follow: str | None = None,
    every: float = 0.0,
) -> None:
    """Draw a figure; called again with the same key it updates the one that is there.

    Parameters
    ----------
    figure
        Plotly's `data` and `layout`; colours of text and grid are filled in from the theme.
    key
        Identity of the plot on the page.
    height
        Pixels.
    label
        Description for screen readers.
    follow
        Address, below the app's own, that the plot asks for the next figure and label. It adds as
        `after` the version that it shows, which is in the layout's `meta`.
    every
        Seconds between two such questions at the least.
    """
    data = {"figure": figure, "height": height, "label": label, "plotly": PLOTLY}
    _component(data=data | {"follow": follow, "every": every}, key=key, height=height)


def pickable_plot(
    figure: dict[str, Any],
    *,
    key: str,
    height: int,
    label: str,
    version: str,
    points: bool,
    greys: bool,
    on_pick: Callable[[str, Any], None],
) -> None:
    """Draw a figure whose points can be pointed at, clicked on and drawn around.

    What is pointed at is told to the page itself, by an event `mixviz-point` with the row.

    Parameters
    ----------
    version
        A figure of the same version is not drawn again.
    points
        Whether the points are in the figure, as traces with their rows as `customdata`; otherwise it
        holds a picture of them, and places and views are told.
    greys
        Whether what is drawn around is all that selects, so that the rest is greyed there and then.
    on_pick
        Called with what was done and its value: `outline`, corners [x, y] of what was drawn around
        or None; `row` of the point that was clicked on; `place` [x, y] of a click where points are
        not in the figure; `view` [left, right, bottom, top, width, height], the last two in pixels.
    """

    def picked(name: str) -> Any:
        return lambda: on_pick(name, st.session_state[key][name]["value"])

    told: dict[str, Any] = {
        f"on_{name}_change": picked(name) for name in ("outline", "row", "place", "view")
    }
    _component(
        data={
            "figure": figure,
            "height": height,
            "label": label,
            "version": version,
            "plotly": PLOTLY,
            "pick": {"points": points, "view": not points, "greys": greys},
        },
        key=key,
        height=height,
        **told,
    )
