"""Fréchet distance and Inception score of what a model draws, with the network that saw it."""

from collections.abc import Iterable, Mapping

import streamlit as st

from mixviz.analysis.scores import (
    KIND,
    STANDARD,
    WEIGHTS,
    kept_scores,
    preferred_network,
    scores_key,
    standard_weights,
)
from mixviz.data import SOURCES, part
from mixviz.runs import Run
from mixviz.training.checkpoints import has_checkpoint
from mixviz.training.saved import Saved
from mixviz.ui import keys
from mixviz.ui.generate_samples import scored_data, seed_choice
from mixviz.ui.runs import known_runs, linked, literal, number_in, show_in_link, titles
from mixviz.ui.services import store
from mixviz.ui.tasks import artifact_or_task

_COUNTS = (1_000, 2_000, 5_000, 10_000, 50_000)


def scores_section(run: Run, saved: Saved) -> None:
    """Choose the network and the number of samples; nothing is computed until asked."""
    data = scored_data(saved)
    listed = known_runs(run.id)
    networks = _networks(listed, saved, len(data.shape) == 3)
    linked(keys.FEATURES, st.query_params.get(keys.FEATURES))
    if st.session_state.get(keys.FEATURES) not in networks:
        st.session_state[keys.FEATURES] = _default(run, networks, listed)
    left, middle, right = st.columns([3, 2, 1])
    network = left.selectbox(
        "Feature network",
        list(networks),
        key=keys.FEATURES,
        format_func=lambda name: networks.get(name, name),
        help="What looks at the data. Numbers of different networks cannot be compared. Chosen at "
        "first: Inception v3 where it is at hand, else the earliest finished run of this kind on "
        "these data, so that further runs do not change it.",
    )
    show_in_link(keys.FEATURES, network)
    # As many samples as observations: at most all of these.
    fitting = [count for count in _COUNTS if count < len(data)]
    fitting = [*fitting, len(data)] if len(fitting) < len(_COUNTS) else fitting
    linked(keys.SAMPLES, number_in(st.query_params.get(keys.SAMPLES)))
    if st.session_state.get(keys.SAMPLES) not in fitting:
        st.session_state[keys.SAMPLES] = fitting[min(1, len(fitting) - 1)]
    count = middle.select_slider(
        "Samples", fitting, key=keys.SAMPLES, format_func=lambda n: f"{n:,}"
    )
    show_in_link(keys.SAMPLES, str(count))
    seed = seed_choice(right)
    if STANDARD not in networks and data.kind == "image":
        st.caption(
            f"The standard network, Inception v3, is offered once the package torch-fidelity is "
            f"installed and its weights, {WEIGHTS}, are in the checkpoints folder of torch.hub."
        )
    key = scores_key(store(), run.id, network, int(count), seed)
    ready = artifact_or_task(
        KIND,
        key,
        "mixviz.analysis.scores:score_task",
        f"Score {count:,} samples",
        run=run.id,
        network=network,
        count=int(count),
        seed=seed,
    )
    found = kept_scores(store(), key) if ready else None
    if found is None:
        return
    name = "Inception v3" if network == STANDARD else networks[network]
    own = network != STANDARD
    first, second = ("Fréchet distance", "Score of classes") if own else ("FID", "Inception score")
    with st.container(horizontal=True):
        st.metric(
            f"{first}, {literal(name)}",
            f"{found.frechet:.2f}",
            help="Between the network's features of samples and of observations; lower is better.",
            width="content",
        )
        st.metric(
            f"{second}, {literal(name)}",
            f"{found.inception:.2f} ± {found.inception_deviation:.2f}",
            help="Higher is better: each sample is of one class, all together are of many.",
            width="content",
        )
    st.caption(
        f"{found.count:,} samples of p(c) p(z|c) p(x|z) against as many observations of "
        f"{literal(data.name)}, {literal(part(data.split))}, seed {seed}."
    )


def _default(run: Run, networks: Iterable[str], listed: Mapping[str, Run]) -> str:
    if STANDARD in networks:
        return STANDARD
    return preferred_network(run, [listed[other] for other in networks])


def _networks(listed: Mapping[str, Run], saved: Saved, images: bool) -> dict[str, str]:
    """Networks that can be asked, by id: the standard one first, then runs on data of this shape."""
    found = {STANDARD: "Inception v3 (standard)"} if images and standard_weights() else {}
    named = titles(listed)
    for other in listed.values():
        source = SOURCES.get(other.dataset)
        if (
            source is not None
            and source.shape == saved.model.shape
            and has_checkpoint(store().checkpoint_folder(other.id))
        ):
            found[other.id] = f"encoder of {named[other.id]}"
    return found
