"""The user's data sets: what they hold, renaming, deleting, and clustering one by one button."""

import numpy as np
import streamlit as st

from mixviz.analysis.suggest import KIND, TASK, Suggestion, clustering, key, stored_suggestion
from mixviz.arrays import load_array
from mixviz.data.own import (
    OwnSet,
    delete,
    deleted_sets,
    own_sets,
    rename,
    restore,
    root,
)
from mixviz.errors import MixvizError
from mixviz.figures.grids import image_grid
from mixviz.figures.suggestion import criterion_figure
from mixviz.ui import keys
from mixviz.ui.data import dropped
from mixviz.ui.live_plot import live_plot
from mixviz.ui.runs import literal
from mixviz.ui.services import jobs, store
from mixviz.ui.tasks import artifact_or_task, tasks

_SHOWN = 12  # images on a card


def sets() -> None:
    """Draw the user's data sets, the newest first, and those that can be brought back."""
    found = own_sets()
    if error := st.session_state.pop(keys.DATA_ERROR, None):
        st.error(literal(error), icon=":material/error:")
    if added := st.session_state.pop(keys.DATA_ADDED, None):
        st.toast(literal(added), icon=":material/check:")
    _offer_undo()
    if found:
        st.subheader("Your data sets", anchor=False)
    for described in found.values():
        with st.container(border=True):
            _card(described)
    if gone := deleted_sets():
        with st.expander("Deleted data sets", icon=":material/delete:"):
            st.caption("They can be brought back for a week.")
            for described in gone.values():
                st.button(
                    f"Bring back {literal(described.title)}",
                    key=f"restore.{described.name}",
                    icon=":material/undo:",
                    on_click=_act,
                    args=(restore, described.name),
                )


def _offer_undo() -> None:
    name = st.session_state.get(keys.DATA_UNDO)
    if name not in deleted_sets():
        st.session_state.pop(keys.DATA_UNDO, None)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Deleted **{literal(deleted_sets()[name].title)}**.")
        st.button("Undo", icon=":material/undo:", on_click=_act, args=(restore, name))


def _act(action: object, *arguments: str) -> None:
    """Do something to a set, or leave the reason why it cannot be done for the page."""
    try:
        action(*arguments)  # type: ignore[operator]
    except MixvizError as error:
        st.session_state[keys.DATA_ERROR] = str(error)


def _delete(name: str) -> None:
    _act(delete, name)
    st.session_state[keys.DATA_UNDO] = name


def _rename(name: str) -> None:
    _act(rename, name, st.session_state[f"{keys.DATA_OPTION}title.{name}"])


def _card(described: OwnSet) -> None:
    name = described.name
    st.markdown(f"**{literal(described.title)}** · {summary(described)}")
    if described.kind == "image":
        _pictures(described)
    dropped(described.dropped)
    suggestion = stored_suggestion(store(), name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Components (K)",
            1,
            1000,
            suggestion.components if suggestion else None,
            key=_components_key(name, bool(suggestion)),
            placeholder="suggested",
            help="How many clusters to look for; empty lets the data suggest it.",
            width=160,
        )
        st.button(
            "Cluster this",
            key=f"cluster.{name}",
            type="primary",
            icon=":material/scatter_plot:",
            on_click=_cluster,
            args=(name, bool(suggestion)),
        )
        with st.popover("Rename", icon=":material/edit:"):
            st.text_input("Name", described.title, key=f"{keys.DATA_OPTION}title.{name}")
            st.caption(f"On the command line it stays {literal(name)}, because runs refer to it.")
            st.button("Rename", key=f"rename.{name}", on_click=_rename, args=(name,))
        st.button(
            "Delete", key=f"delete.{name}", icon=":material/delete:", on_click=_delete, args=(name,)
        )
    if st.session_state.get(keys.DATA_CLUSTERED) == name:
        _start_when_suggested(name)
    if suggestion:
        _explain(name, suggestion)


def summary(described: OwnSet) -> str:
    """What a data set holds, in one line."""
    if described.kind == "image":
        channels, height, width = described.shape
        each = f"images of {width}x{height} pixels, {'colour' if channels == 3 else 'grey'}"
    else:
        each = f"observations of {described.shape[0]:,} numbers"
    parts = [f"{described.size:,} {each}"]
    if described.labelled:
        parts.append(f"{len(described.label_names):,} classes")
    if described.columns:
        count = len(described.columns)
        parts.append(f"{count:,} column{'s' * (count != 1)} kept")
    parts.append(f"from {literal(described.origin)}")
    return f"{' · '.join(parts)} · `{described.hash[:10]}`"


@st.cache_data(max_entries=200, show_spinner=False)
def _grid(name: str, hash: str) -> bytes | None:
    """Return some of a set's images as a PNG; None if it is damaged."""
    try:
        x = load_array(root() / name / "x.npy", mapped=True)
        chosen = np.unique(np.linspace(0, len(x) - 1, _SHOWN).astype(int))
        return image_grid((255 * x[chosen]).round().astype(np.uint8), columns=_SHOWN)
    except (OSError, ValueError):
        return None


def _pictures(described: OwnSet) -> None:
    if picture := _grid(described.name, described.hash):
        st.image(picture, alt=f"Some images of {described.title}")


# ---- cluster this ----------------------------------------------------------------------------


def _components_key(name: str, suggested: bool) -> str:
    return f"{keys.DATA_OPTION}k.{name}.{suggested}"


def _cluster(name: str, suggested: bool) -> None:
    """Start a run at once where K is given or was suggested, else begin to suggest it."""
    components = st.session_state.get(_components_key(name, suggested))
    try:
        if components:
            st.session_state.pop(keys.DATA_CLUSTERED, None)  # what was to follow a suggestion
            _start(name, components)
            return
        if not store().artifacts.has(KIND, key(name)):
            tasks().start(f"{KIND}.{key(name)}", TASK, dataset=name)
        st.session_state[keys.DATA_CLUSTERED] = name
    except MixvizError as error:  # deleted in another tab
        st.session_state[keys.DATA_ERROR] = str(error)


def _start_when_suggested(name: str) -> None:
    try:
        if not artifact_or_task(KIND, key(name), TASK, "Suggest K", dataset=name):
            return
        suggestion = stored_suggestion(store(), name)
        st.session_state.pop(keys.DATA_CLUSTERED)
        if suggestion is not None:
            _start(name, suggestion.components)
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")


def _start(name: str, components: int) -> None:
    """Start a run with a model and settings that suit the data, and show it."""
    chosen = clustering(store(), name, components)
    run = jobs().start(chosen.plan, chosen.name)
    store().annotate([run], note=chosen.reason)
    st.session_state[keys.STARTED] = run
    st.switch_page("train.py")


def _explain(name: str, suggestion: Suggestion) -> None:
    with st.expander(f"K = {suggestion.components} is suggested", icon=":material/help:"):
        st.markdown(suggestion.in_words())
        live_plot(
            criterion_figure(suggestion.candidates, suggestion.criteria, suggestion.components),
            key=f"criterion.{name}",
            height=240,
            label="BIC of Gaussian mixtures over their number of components",
        )
