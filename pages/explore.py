"""Explore: what a run found, point by point."""

import streamlit as st

from mixviz.ui.runs import chosen_run

run = chosen_run()
if run is None:
    st.info("Choose a run in the sidebar to explore what it found.", icon=":material/info:")
    st.stop()

from mixviz.ui.explore import explore  # noqa: E402  (imports PyTorch)

explore(run)
