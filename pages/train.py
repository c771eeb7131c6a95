"""Train: set up a run, watch it live, steer it."""

import streamlit as st

from mixviz.ui.live import watch
from mixviz.ui.runs import chosen_run
from mixviz.ui.setup import new_run

run = chosen_run()
new_run(expanded=run is None)
if run is None:
    st.info("Start a run above, or choose one in the sidebar to watch it.", icon=":material/info:")
else:
    watch(run)
