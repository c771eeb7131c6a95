"""What the sections of Clusters share: the encoded data, the groups of components, their names."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import streamlit as st

from mixviz.analysis.encoded import Encoding
from mixviz.analysis.members import nearest_groups, overlap_of
from mixviz.data import Dataset
from mixviz.evaluation.matrix import ClusterMatrix, cluster_matrix
from mixviz.evaluation.merging import AFFINITIES, Clustering, confusion, groups_at, merge_tree
from mixviz.figures.matrix import tree_figure
from mixviz.runs import Run
from mixviz.runs.names import component_names
from mixviz.ui import keys
from mixviz.ui.live_plot import live_plot
from mixviz.ui.runs import linked, number_in, show_in_link
from mixviz.ui.services import store

_TREE = 260  # pixels
_AFFINITY_HELP = (
    "Overlap: Bhattacharyya coefficient of the two Gaussians in latent space. Confusion: how often "
    "the same observations are given to both (cosine of their responsibilities)."
)


@dataclass(frozen=True, eq=False)
class View:
    """A run's clusters as Clusters shows them; a group is a component, or several merged ones."""

    run: Run
    encoding: Encoding
    clustering: Clustering
    affinity: np.ndarray  # (K, K)
    names: list[str]  # (G,), as typed by whoever named them
    component_names: list[str]  # (K,)

    @property
    def data(self) -> Dataset:
        """The observations."""
        return self.encoding.data

    @property
    def labels(self) -> np.ndarray | None:
        """True classes (N,), if there are any."""
        return self.data.labels

    @property
    def label_names(self) -> list[str]:
        """Names of the classes; numbers where they have none."""
        if self.labels is None:
            return []
        count = max(int(self.labels.max()) + 1, len(self.data.label_names))
        given = self.data.label_names
        return [given[i] if i < len(given) else str(i) for i in range(count)]

    @cached_property
    def matrix(self) -> ClusterMatrix | None:
        """Counts by group and class; None without labels."""
        if self.labels is None:
            return None
        return cluster_matrix(
            self.clustering.assignments, self.labels, self.clustering.count, len(self.label_names)
        )

    @property
    def colours(self) -> list[int]:
        """Component whose colour each group has: its first."""
        return [parts[0] for parts in self.clustering.members]

    @property
    def short_names(self) -> list[str]:
        """A few characters for each group."""
        members = self.clustering.members
        return [f"{parts[0]}+" if len(parts) > 1 else str(parts[0]) for parts in members]

    @cached_property
    def nearest(self) -> list[list[int]]:
        """The groups nearest to each."""
        return nearest_groups(self.clustering.between(self.affinity))

    @cached_property
    def order(self) -> np.ndarray:
        """Groups in the order of the matrix: by matched class, else by usage."""
        if self.matrix is not None:
            return self.matrix.rows
        return np.argsort(-self.clustering.usage, kind="stable")


def merging(run: Run, encoding: Encoding) -> View:
    """Draw how many groups the components are merged into, and return what all sections show."""
    components = encoding.log_responsibilities.shape[1]
    names = component_names(store(), run.id, components)
    count, affinity = components, np.eye(components)
    if components > 1:
        count, affinity, tree = _choose(run, encoding, components)
        with st.expander("Merge tree", icon=":material/account_tree:", expanded=count < components):
            figure = tree_figure(tree, names, count, "1 - affinity", f"{run.id}.tree")
            live_plot(
                figure,
                key="clusters.tree",
                height=_TREE,
                label=f"Merge tree of {components} components, cut into {count} groups",
            )
        groups = groups_at(tree, count)
    else:
        groups = np.zeros(1, int)
    clustering = Clustering(encoding.log_responsibilities, groups)
    return View(run, encoding, clustering, affinity, clustering.names(names), names)


def _choose(run: Run, encoding: Encoding, components: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of groups, affinity (K, K) and merge tree."""
    key = f"{keys.GROUPS}.{run.id}"
    asked = number_in(st.query_params.get(keys.GROUPS))
    linked(key, components if asked is None else min(max(asked, 1), components))
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        count = st.slider(
            "Merge components down to",
            1,
            components,
            key=key,
            help="Everything on this page is counted again as if the mixture had only so many "
            "components: the most alike are merged first, their probabilities added up.",
        )
    with right:
        by = st.segmented_control(
            "Alike by",
            [name.capitalize() for name in AFFINITIES],
            default=AFFINITIES[0].capitalize(),
            required=True,
            key=keys.AFFINITY,
            bind="query-params",
            help=_AFFINITY_HELP,
        ).lower()
    show_in_link(keys.GROUPS, str(count) if count < components else None)
    if by == "confusion":
        affinity = confusion_of(encoding.key, encoding)
    else:
        affinity = overlap_of(store(), run.id).astype(float)
    return int(count), affinity, merge_tree(affinity)


@st.cache_data(max_entries=20, show_spinner=False)
def confusion_of(key: str, _encoding: Encoding) -> np.ndarray:
    """Confusion (K, K) of an encoding's components."""
    return confusion(_encoding.responsibilities)
