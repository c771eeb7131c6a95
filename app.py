"""The server: the app of `pages/main.py`, and what its plots ask for beside it."""

import streamlit as st

from mixviz.ui.feed import ROUTES

app = st.App("pages/main.py", routes=ROUTES)
