"""Data: bring one's own, and have it clustered."""

import streamlit as st

from mixviz.ui.data import add
from mixviz.ui.data_sets import sets

st.title("Data", anchor=False)
st.markdown(
    "Your own tables and pictures become data sets for every model, here and in a terminal."
)
sets()
st.subheader("Add data", anchor=False)
add()
