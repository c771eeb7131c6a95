"""The suggested number of components: separated clusters are counted, and none are not invented."""

import numpy as np
import pytest

from mixviz.analysis import suggest as module
from mixviz.analysis.suggest import stored_suggestion, suggest, suggest_components
from mixviz.data.own import save
from mixviz.data.own_prepare import Prepared
from mixviz.runs import RunStore


def blobs(clusters, each=60, dimensions=6):
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 8, (clusters, dimensions))
    points = centres[:, None] + rng.normal(size=(clusters, each, dimensions))
    return points.reshape(-1, dimensions).astype(np.float32)


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_separated_clusters_are_counted(clusters):
    found = suggest(blobs(clusters))
    assert found.components == clusters
    assert f"the one with {clusters} has the least BIC" in found.in_words()
    assert len(found.candidates) == len(found.criteria) <= clusters + module.PATIENCE + 1


def test_one_cluster_is_said_to_be_one():
    found = suggest(blobs(1, each=200))
    assert found.components == 2
    assert "No clusters stand out" in found.in_words()


def test_images_and_few_observations():
    rng = np.random.default_rng(0)
    found = suggest(rng.random((12, 1, 8, 8)).astype(np.float32))
    assert found.points == 12
    assert found.candidates[-1] <= 2


def test_suggestion_is_kept_for_the_content_of_a_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path))
    store, told = RunStore(tmp_path), []
    save(Prepared("vector", blobs(3), "none"), "Mine", "mine.csv")
    assert stored_suggestion(store, "mine") is None
    suggest_components(store, lambda share, text: told.append(share), "mine")
    assert stored_suggestion(store, "mine").components == 3
    assert told == sorted(told)
    key = module.key("mine")
    (tmp_path / "datasets" / "mine").rename(tmp_path / "gone")
    save(Prepared("vector", blobs(4), "none"), "Mine", "mine.csv")
    assert module.key("mine") != key
    assert stored_suggestion(store, "mine") is None
