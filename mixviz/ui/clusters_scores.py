"""How good the clusters are: against labels, without them, and against another seed."""

import math

import numpy as np
import streamlit as st

from mixviz.analysis.members import silhouette_of, stability, twins
from mixviz.data import part
from mixviz.errors import MixvizError
from mixviz.evaluation import accuracies, clustering_scores, degeneracy
from mixviz.evaluation.matrix import purity
from mixviz.figures.curves import METRICS
from mixviz.runs import Run
from mixviz.ui import keys
from mixviz.ui.clusters_view import View
from mixviz.ui.runs import linked, literal, show_in_link, titles
from mixviz.ui.services import store

_MAPPING_HELP = {
    "hungarian": "Every class gets one component of its own, by the best assignment.",
    "majority": "Every component counts as its most frequent class.",
    "most_confident": "Every component counts as the class of the observation that has the highest probability of it.",
}
_CLASSIFIERS = {"head": "the encoder's head", "bayes": "Bayes' rule, p(c|z)"}


def scores_section(view: View) -> None:
    """Draw agreement with labels, then what needs none."""
    clustering = view.clustering
    st.caption(
        f"{literal(view.data.name)}, {literal(part(view.data.split))} · {len(view.data):,} "
        f"observations · {clustering.count} {'group' if clustering.merged else 'component'}"
        f"{'s' * (clustering.count != 1)} · "
        f"step {view.encoding.step:,}"
    )
    if view.matrix is not None:
        _labelled(view)
        if not clustering.merged:
            _classifiers(view.run)
    _unlabelled(view)


def _labelled(view: View) -> None:
    clustering, labels, matrix = view.clustering, view.labels, view.matrix
    assert labels is not None and matrix is not None
    found = accuracies(clustering.log_probabilities, labels)
    agreed = clustering_scores(clustering.assignments, labels)
    with st.container(horizontal=True):
        for name, value in found.items():
            _metric(f"Accuracy, {METRICS[name]}", f"{value:.1%}", _MAPPING_HELP[name])
        _metric("NMI", f"{agreed['nmi']:.3f}", "Normalised mutual information, arithmetic mean.")
        _metric("ARI", f"{agreed['ari']:.3f}", "Adjusted Rand index: 0 by chance, 1 for equal.")
        _metric(
            "Purity",
            f"{purity(matrix.counts):.1%}",
            "Share of observations with the most frequent class of their component; the same "
            "number as accuracy by majority label.",
        )


def _classifiers(run: Run) -> None:
    """Say what each classifier of a model with several reached at the end of its run."""
    found = run.result.get("classifiers")
    if not found:
        return
    shares = ", ".join(
        f"{scores['hungarian']:.1%} by {_CLASSIFIERS.get(name, literal(name))}"
        for name, scores in found.items()
    )
    scored = literal(part(run.result["split"]))
    st.caption(f"At the end of the run, one-to-one on the {scored}: {shares}.")


def _unlabelled(view: View) -> None:
    clustering = view.clustering
    between = clustering.between(view.affinity)
    figures = degeneracy(np.exp(clustering.log_probabilities), clustering.usage, between)
    silhouette = silhouette_of(store(), view.encoding, clustering)
    log_k = math.log(clustering.count)
    with st.container(horizontal=True):
        _metric(
            "Effective components",
            f"{figures['effective_components']:.1f} of {clustering.count}",
            "exp of the entropy of the mean responsibilities.",
        )
        _metric(
            "Information",
            f"{figures['information']:.2f} of {log_k:.2f} nats",
            "Mean divergence of the responsibilities from uniform; near log K every observation "
            "belongs to one component.",
        )
        _metric(
            "Confident",
            f"{figures['confident_share']:.1%}",
            "Share of observations whose component has a probability above 0.9.",
        )
        _metric(
            "Idle components",
            f"{figures['dead_components']:.0f}",
            "Components with less than a tenth of an even share.",
        )
        _metric(
            "Silhouette",
            "none" if silhouette is None else f"{silhouette:.3f}",
            "Mean silhouette in latent space, of at most 3,000 observations: 1 far apart, 0 touching.",
        )


def stability_section(run: Run) -> None:
    """Agreement with a run of the same configuration and another seed."""
    st.subheader("Stability", anchor=False)
    found = {other.id: other for other in twins(store(), run)}
    if not found:
        st.caption(
            "Train the same configuration with another seed to see whether it finds the same clusters."
        )
        return
    linked(keys.TWIN, st.query_params.get(keys.TWIN))
    if st.session_state.get(keys.TWIN) not in found:
        st.session_state[keys.TWIN] = None
    named = titles(found)
    chosen = st.selectbox(
        "Compare with another seed",
        list(found),
        index=None,
        key=keys.TWIN,
        format_func=lambda other: (
            f"seed {found[other].config['run'].get('seed')} · {named[other]}"
            if other in found
            else other
        ),
        placeholder="a run of the same configuration",
    )
    show_in_link(keys.TWIN, chosen)
    if chosen is None:
        return
    try:
        with st.spinner("Encoding with the other run …"):
            value = stability(store(), run.id, chosen)
    except MixvizError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    _metric(
        "Adjusted Rand index between the seeds",
        f"{value:.3f}",
        "1 if both runs put the same observations together, about 0 if they agree by chance.",
    )


def _metric(label: str, value: str, help: str) -> None:
    st.metric(label, value, help=help, width="content")
