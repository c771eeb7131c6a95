"""Compare: all runs in one table, over seeds, as curves, two by two, and sweeps of many."""

import streamlit as st

from mixviz.ui import compare, compare_sweep, keys
from mixviz.ui import compare_views as views

RUNS, SEEDS, CURVES, COURSES, CONFIGS, SWEEP = VIEWS = (
    "Runs",
    "Seeds",
    "Curves",
    "K and S",
    "Difference",
    "Sweep",
)

st.title("Compare", anchor=False)
compare.undo_bar()
asked = st.session_state.get(keys.COMPARE_VIEW) or st.query_params.get(keys.COMPARE_VIEW)
if asked != SWEEP:  # which has runs of its own
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
if view == SWEEP:
    compare_sweep.sweep()
elif view == RUNS:
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
