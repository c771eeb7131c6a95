"""The page Clusters: what the components of a run hold, and how well that fits."""

import streamlit as st

from mixviz.errors import MixvizError
from mixviz.runs import Run
from mixviz.ui import keys
from mixviz.ui.clusters_components import components_section
from mixviz.ui.clusters_encoding import encoding_of
from mixviz.ui.clusters_matrix import matrix_section
from mixviz.ui.clusters_scores import scores_section, stability_section
from mixviz.ui.clusters_view import merging
from mixviz.ui.runs import badge, forget_other_run, literal


def clusters(run: Run) -> None:
    """Draw all sections of a run."""
    forget_other_run("clusters", run, keys.GROUPS, keys.CELL)
    st.subheader(f"{literal(run.name)} {'' if run.shipped else badge(run)}", anchor=False)
    encoding = encoding_of(run)
    if encoding is None:
        return
    try:
        view = merging(run, encoding)
        scores_section(view)
        st.fragment(matrix_section)(view)  # a cell is shown without drawing the page anew
        components_section(view)
        stability_section(run)
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")
