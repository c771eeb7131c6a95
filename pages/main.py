"""What every page has: run picker, and navigation over the pages."""

import streamlit as st

from mixviz.ui.runs import pick_run
from mixviz.ui.services import ICON, warm_up

st.set_page_config(page_title="mixviz", page_icon=ICON, layout="wide")
st.html(
    "<style>.stMainBlockContainer { padding-top: 3rem; padding-bottom: 3rem; }"
    # As high as the boxes that they stand beside.
    "button[data-variant=segmented_control] { min-height: 2.5rem; }"
    # Where the sidebar is folded away, a bar with its button lies over the top of the page.
    "@media (max-width: 768px) { .stMainBlockContainer { padding-top: 4.5rem; } }</style>"
)

page = st.navigation(
    [
        st.Page("home.py", title="Home", icon=":material/home:", default=True),
        st.Page("train.py", title="Train", icon=":material/play_circle:"),
        st.Page("replay.py", title="Replay", icon=":material/history:"),
        st.Page("explore.py", title="Explore", icon=":material/scatter_plot:"),
        st.Page("clusters.py", title="Clusters", icon=":material/grid_on:"),
        st.Page("generate.py", title="Generate", icon=":material/brush:"),
        st.Page("compare.py", title="Compare", icon=":material/table_chart:"),
        st.Page("data.py", title="Data", icon=":material/upload_file:"),
    ]
)
pick_run()
page.run()
warm_up()
