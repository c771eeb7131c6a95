"""Home: what this is, one button to begin, and the runs to look at."""

import streamlit as st

from mixviz.ui.cards import cards
from mixviz.ui.services import store


def demonstrate() -> None:
    """Start the demonstration; imported on the click, so that cards do not wait for PyTorch."""
    from mixviz.ui.setup import start_demo

    start_demo()
    st.switch_page("pages/train.py")


st.title("mixviz", anchor=False)
st.markdown(
    "Watch the clusters of a mixture model **form or collapse while it trains**. Steer it with a "
    "slider, replay what happened step by step, and take it to other data."
)

st.button(
    "Watch a mixture collapse",
    type="primary",
    icon=":material/play_arrow:",
    on_click=demonstrate,
)
st.caption(
    "Ten components of a Gaussian-mixture VAE fall onto each other within seconds. "
    "Then drag λ to 1.5 and see them spread."
)

runs = store().runs(60)
recent = [run for run in runs if not run.shipped][:8]
shipped = sorted((run for run in store().runs(1000) if run.shipped), key=lambda run: run.name)
if recent:
    st.subheader("Your runs", anchor=False)
    cards(recent)
if shipped:
    st.subheader("Runs to explore", anchor=False)
    cards(shipped)
