"""Home: what this is, one button to begin, and the runs to look at."""

import streamlit as st

from mixviz.ui.cards import gallery


def demonstrate() -> None:
    """Start the demonstration; imported on the click, so that cards do not wait for PyTorch."""
    from mixviz.ui.setup import start_demo

    start_demo()
    st.switch_page("train.py")


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

gallery()
