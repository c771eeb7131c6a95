"""Generate: samples, reconstructions, interpolations and styles of a run's model, and the pad."""

import streamlit as st

from mixviz.ui.runs import chosen_run

run = chosen_run()
if run is None:
    st.info("Choose a run in the sidebar to see what it draws.", icon=":material/info:")
else:
    from mixviz.ui.generate import generate  # imports PyTorch, for which the hint need not wait

    generate(run)
