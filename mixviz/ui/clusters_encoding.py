"""The data of a run as its model sees them, computed on first sight or on demand."""

import streamlit as st

from mixviz.analysis.encoded import KIND, Encoding, encode_run, encoding_key
from mixviz.errors import MixvizError
from mixviz.runs import Run
from mixviz.ui.runs import literal
from mixviz.ui.services import store
from mixviz.ui.tasks import artifact_or_task

AT_ONCE = 20_000  # observations that are encoded without being asked, in seconds


def encoding_of(run: Run, dataset: str | None = None, part: str | None = None) -> Encoding | None:
    """Return a data set as a run's model sees it, or say what is missing and return None.

    By default it is the part of the run's own data on which the run is scored.
    """
    try:
        key, data = encoding_key(store(), run.id, dataset, part)
        if store().artifacts.has(KIND, key):
            return _kept(key, run.id, dataset, part)
        if len(data) <= AT_ONCE:
            return _with_progress(run, dataset, part, len(data))
        ready = artifact_or_task(
            KIND,
            key,
            "mixviz.analysis.members:encode_task",
            f"Encode {len(data):,} observations",
            run=run.id,
            dataset=dataset,
            part=part,
        )
        return _kept(key, run.id, dataset, part) if ready else None
    except MixvizError as error:
        st.info(literal(str(error)), icon=":material/info:")
        return None


@st.cache_resource(max_entries=4, show_spinner=False)
def _kept(key: str, run: str, dataset: str | None, part: str | None) -> Encoding:
    return encode_run(store(), run, dataset, part)


def _with_progress(run: Run, dataset: str | None, part: str | None, count: int) -> Encoding:
    bar = st.progress(0.0, f"Encoding {count:,} observations")

    def show(share: float, text: str) -> None:
        bar.progress(min(share, 1.0), literal(text))

    encoding = encode_run(store(), run.id, dataset, part, show)
    bar.empty()
    return encoding
