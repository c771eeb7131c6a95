"""Compare: all runs in one table, over seeds, as curves, and two by two."""

import streamlit as st

from mixviz.ui import compare, keys
from mixviz.ui import compare_views as views

RUNS, SEEDS, CURVES, COURSES, CONFIGS = VIEWS = (
    "Runs",
    "Seeds",
    "Curves",
    "K and S",
    "Difference",
)

st.title("Compare", anchor=False)
compare.undo_bar()
table = compare.filtered()
chosen = compare.choose(table)
view = st.segmented_control(
    "View",
    VIEWS,
    default=RUNS,
    required=True,
    key=keys.COMPARE_VIEW,
    bind="query-params",
    label_visibility="collapsed",
)
if view == RUNS:
    compare.actions(table, chosen)
    compare.runs_table(table, chosen)
elif view == SEEDS:
    views.seeds(table)
elif view == CURVES:
    views.curves(chosen)
elif view == COURSES:
    views.courses(table)
else:
    views.configurations(chosen)
