"""The app: run picker and navigation over the pages."""

import streamlit as st

from mixviz.ui.services import prepare_static_files, warm_up
from mixviz.ui.runs import pick_run

st.set_page_config(page_title="mixviz", page_icon=":material/bubble_chart:", layout="wide")
prepare_static_files()

page = st.navigation(
    [
        st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("pages/train.py", title="Train", icon=":material/play_circle:"),
        st.Page("pages/replay.py", title="Replay", icon=":material/history:"),
    ]
)
pick_run()
page.run()
warm_up()
