"""Replay: scrub through the training of up to four runs."""

import streamlit as st

from mixviz.ui import panels
from mixviz.ui.cards import choose
from mixviz.ui.replay import choose_others, exports, heading, player
from mixviz.ui.runs import chosen_run
from mixviz.ui.services import store

run = chosen_run()
if run is None:
    choose("replay")
    st.stop()
heading(run)
left, right = st.columns([3, 2], vertical_alignment="bottom")
with left:
    others = choose_others(run)
runs = [one for one in (run, *others) if store().snapshot_steps(one.id)]
if runs:
    with right:
        colour_by = panels.colouring(*runs)
    player(runs, colour_by)
    exports(runs, colour_by)
else:
    st.info("This run has no snapshots yet.", icon=":material/info:")
