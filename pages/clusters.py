"""Clusters: the cluster matrix of a run, its components, and what merging them would do."""

import streamlit as st

from mixviz.ui.clusters import clusters
from mixviz.ui.runs import chosen_run

run = chosen_run()
if run is None:
    st.info("Choose a run in the sidebar to see its clusters.", icon=":material/info:")
else:
    clusters(run)
