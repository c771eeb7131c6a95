"""The page Generate: what a trained model draws."""

from collections.abc import Callable

import streamlit as st

from mixviz.analysis.encoded import saved_model
from mixviz.analysis.generation import has_style
from mixviz.errors import MixvizError
from mixviz.runs import Run
from mixviz.training.saved import Saved
from mixviz.ui import keys
from mixviz.ui.generate_density import density_section
from mixviz.ui.generate_paths import interpolation_section, style_section
from mixviz.ui.generate_samples import reconstruction_section, samples_section
from mixviz.ui.generate_scores import scores_section
from mixviz.ui.pad import pad_section
from mixviz.ui.runs import badge, forget_other_run, literal
from mixviz.ui.services import store

_SECTIONS: dict[str, Callable[[Run, Saved], None]] = {
    "Samples": samples_section,
    "Reconstructions": reconstruction_section,
    "Interpolation": interpolation_section,
    "Pad": pad_section,
    "Style": style_section,
    "Density": density_section,
    "Scores": scores_section,
}


def generate(run: Run) -> None:
    """Draw the section of a run that is chosen."""
    forget_other_run("generate", run, keys.PLACE)
    st.subheader(f"{literal(run.name)} {'' if run.shipped else badge(run)}", anchor=False)
    try:
        saved = saved_model(store(), run.id)
    except MixvizError as error:
        st.info(literal(str(error)), icon=":material/info:")
        return
    offered = [name for name in _SECTIONS if _fits(name, saved)]
    if st.session_state.get(keys.VIEW) not in offered:
        st.session_state.pop(keys.VIEW, None)
    chosen = st.segmented_control(
        "What is drawn",
        offered,
        default=offered[0],
        required=True,
        key=keys.VIEW,
        bind="query-params",
        label_visibility="collapsed",
    )
    try:
        _SECTIONS[chosen](run, saved)
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")


def _fits(section: str, saved: Saved) -> bool:
    """Whether a section makes sense for a model and its data."""
    if section == "Style":
        return has_style(saved.model)
    if section == "Density":
        return saved.model.shape == (2,)
    return True
