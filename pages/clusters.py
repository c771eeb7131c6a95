"""Clusters: the cluster matrix of a run, its components, and what merging them would do."""

from mixviz.ui.cards import choose
from mixviz.ui.clusters import clusters
from mixviz.ui.runs import chosen_run

run = chosen_run()
if run is None:
    choose("clusters")
else:
    clusters(run)
