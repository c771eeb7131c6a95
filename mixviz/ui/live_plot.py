"""One Plotly figure that changes in place: zoom and WebGL context survive every update."""

from pathlib import Path
from typing import Any

import streamlit as st

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


def live_plot(figure: dict[str, Any], *, key: str, height: int, label: str) -> None:
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
    """
    _component(data={"figure": figure, "height": height, "label": label}, key=key, height=height)
