"""Explore: what a run found, point by point."""

import streamlit as st

from mixviz.ui.cards import choose
from mixviz.ui.runs import chosen_run

run = chosen_run()
if run is None:
    choose("explore")
    st.stop()

from mixviz.ui.explore import explore  # noqa: E402  (imports PyTorch)

explore(run)
