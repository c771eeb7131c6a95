"""Streamlit widgets that the pages share; the only part of the package that imports Streamlit."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

if PagesManager.uses_pages_directory:
    # Until `st.navigation` has run once in a server, Streamlit runs the files in `pages/` by itself,
    # so that a link straight to a page would miss what `app.py` does before every page.
    PagesManager.uses_pages_directory = False
    st.rerun()
