"""Tests of the members of clusters and of runs that differ by their seed alone."""

import numpy as np
import pytest

from mixviz.analysis.encoded import encode_run
from mixviz.analysis.members import (
    chosen_members,
    mean_members,
    nearest_groups,
    overlap_of,
    silhouette_of,
    stability,
    twins,
)
from mixviz.errors import MixvizError
from mixviz.evaluation.merging import Clustering
from mixviz.runs import RunStore, Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return RunStore(tmp_path_factory.mktemp("home"))


def trained(store, **values):
    settings = {"components": 5, "epochs": 30, "snapshot_points": 100, "threads": 1} | values
    run = create_run(store, plan(dataset="arcs", model="gmm", values=settings))
    assert Trainer(store, run).train() is Status.FINISHED
    return run


@pytest.fixture(scope="module")
def first(store):
    return trained(store)


def test_twins_differ_by_seed_and_by_how_they_are_watched(store, first):
    second = trained(store, seed=1, snapshot_points=200)
    trained(store, components=4, seed=1)
    trained(store, epochs=29, seed=1)
    assert [run.id for run in twins(store, store.get(first))] == [second]
    value = stability(store, first, second)
    assert -1 <= value <= 1
    assert stability(store, first, first) == 1

    config = store.get(second).config  # as an older version left it, which had fewer settings
    older = {name: value for name, value in config["settings"].items() if name != "starts"}
    assert older.keys() < config["settings"].keys()
    store.update(second, config={**config, "settings": older})
    assert [run.id for run in twins(store, store.get(first))] == [second]


def test_other_data_cannot_be_compared(store, first):
    digits = plan(dataset="digits", model="k-means", values={"components": 3, "epochs": 1})
    other = create_run(store, digits)
    Trainer(store, other).train()
    with pytest.raises(MixvizError, match="shape"):
        stability(store, first, other)


def test_figures_are_kept_by_content(store, first):
    encoding = encode_run(store, first)
    apart = Clustering(encoding.log_responsibilities, np.arange(5))
    together = Clustering(encoding.log_responsibilities, np.zeros(5, int))
    value = silhouette_of(store, encoding, apart)
    assert 0 < value < 1
    assert silhouette_of(store, encoding, apart) == value
    assert silhouette_of(store, encoding, together) is None
    overlap = overlap_of(store, first)
    assert overlap.shape == (5, 5)
    assert np.diag(overlap) == pytest.approx(np.ones(5))
    assert np.array_equal(overlap, overlap_of(RunStore(store.home), first))


def test_means_are_those_of_the_members():
    x = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3)
    found = mean_members(x, np.array([0, 2, 0, 2]), 3)
    assert found.shape == (3, 1, 1, 3)
    assert found[0].ravel().tolist() == [3, 4, 5]
    assert found[1].ravel().tolist() == [0, 0, 0]


def test_members_in_every_order():
    logs = np.log([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.1, 0.9]])
    clustering = Clustering(logs, np.arange(2))
    assert chosen_members(clustering, 0, 2, "most confident").tolist() == [0, 2]
    assert chosen_members(clustering, 0, 2, "least confident").tolist() == [1, 2]
    drawn = chosen_members(clustering, 0, 9, "random").tolist()
    assert sorted(drawn) == [0, 1, 2]
    assert chosen_members(clustering, 1, 9, "random").tolist() == [3]


def test_nearest_are_sorted_and_never_oneself():
    affinity = np.array([[1, 0.2, 0.9], [0.2, 1, 0.1], [0.9, 0.1, 1]])
    assert nearest_groups(affinity, 2) == [[2, 1], [0, 2], [0, 1]]
    assert nearest_groups(np.ones((1, 1))) == [[]]
