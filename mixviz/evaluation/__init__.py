"""Numbers computed from data: accuracy under its three mappings, and how degenerate a mixture is."""

from mixviz.evaluation.clustering import MAPPINGS, accuracies, clustering_scores, contingency
from mixviz.evaluation.degeneracy import (
    bhattacharyya,
    dead_components,
    degeneracy,
    distinct_components,
    effective_components,
    occupied,
    verdict,
)

__all__ = [
    "MAPPINGS",
    "accuracies",
    "bhattacharyya",
    "clustering_scores",
    "contingency",
    "dead_components",
    "degeneracy",
    "distinct_components",
    "effective_components",
    "occupied",
    "verdict",
]
