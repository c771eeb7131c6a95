"""Choices that are part of the link."""

from collections.abc import Callable, Sequence

import streamlit as st

from mixviz.ui.runs import linked, show_in_link

_NOTHING = "none"  # in the link; it is no option, and so is read as an empty choice


def choice(
    label: str,
    options: Sequence[str],
    key: str,
    called: Callable[[str], str],
    *,
    pills: bool = False,
    help: str | None = None,
) -> str:
    """Draw a choice of one; the first option is the default, which the link leaves out."""
    linked(key, st.query_params.get(key))
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
    if pills:
        chosen = st.segmented_control(
            label, options, key=key, format_func=called, required=True, help=help
        )
    else:
        chosen = st.selectbox(label, options, key=key, format_func=called, help=help)
    show_in_link(key, chosen if chosen != options[0] else None)
    return chosen or options[0]


def choices(
    label: str,
    options: Sequence[str],
    key: str,
    called: Callable[[str], str],
    *,
    default: Sequence[str] = (),
    placeholder: str = "any",
) -> list[str]:
    """Draw a choice of several; the link leaves out the default."""
    linked(key, st.query_params.get_all(key))
    if key not in st.session_state:
        st.session_state[key] = list(default)
    st.session_state[key] = [each for each in st.session_state[key] if each in options]
    chosen = st.multiselect(label, options, key=key, format_func=called, placeholder=placeholder)
    show_in_link(key, (chosen or _NOTHING) if chosen != list(default) else None)
    return chosen
