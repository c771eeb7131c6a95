"""The image of the point under the pointer, sent to the browser in sheets as they are needed."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from mixviz.data import Dataset
from mixviz.figures.grids import as_pixels
from mixviz.figures.thumbnails import COLUMNS, PER_SHEET, sheet
from mixviz.ui import keys

_CSS = """
.explore-hover { position: fixed; z-index: 999; display: none; pointer-events: none; padding: 6px;
  max-width: 240px; font-size: 0.8rem; color: var(--st-text-color); border-radius: 6px;
  background: var(--st-secondary-background-color); box-shadow: 0 1px 6px rgba(0, 0, 0, 0.4); }
.explore-hover-image { image-rendering: pixelated; background-repeat: no-repeat; margin: 0 auto 4px; }
"""

_component = st.components.v2.component(
    "mixviz_explore_hover",
    css=_CSS,
    js=Path(__file__).with_name("explore_hover.js").read_text(),
    isolate_styles=False,
)


@st.fragment
def hover(key: str, data: Dataset, describe: Callable[[int], str]) -> None:
    """Show what is pointed at on the map of a data set.

    Parameters
    ----------
    key
        Changes whenever images or descriptions do.
    describe
        One line about a row.
    """
    asked = st.session_state.pop(keys.EXPLORE_SHEET, None)
    sent: dict[str, Any] = {"about": {"key": key, "size": PER_SHEET, "columns": COLUMNS}}
    if isinstance(asked, int) and 0 <= asked * PER_SHEET < len(data):
        sent["sheet"] = _sheet(data, asked, describe)
    _component(data=sent, key="explore.hover", height=1, on_sheet_change=_ask)


def _ask() -> None:
    st.session_state[keys.EXPLORE_SHEET] = st.session_state["explore.hover"]["sheet"]


def _sheet(data: Dataset, number: int, describe: Callable[[int], str]) -> dict[str, Any]:
    rows = range(number * PER_SHEET, min((number + 1) * PER_SHEET, len(data)))
    found: dict[str, Any] = {"number": number, "captions": [describe(row) for row in rows]}
    if data.kind == "image":
        images = as_pixels(data.x[rows.start : rows.stop])
        picture, width, height = sheet(images)
        kind = "png" if images.shape[1] == 1 else "jpeg"
        found |= {"picture": base64.b64encode(picture).decode(), "kind": kind}
        found |= {"width": width, "height": height}
    return found
