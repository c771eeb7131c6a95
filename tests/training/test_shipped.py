"""Tests that what is shipped says of its models what is found of them now."""

from pathlib import Path

import pytest

from mixviz.runs.bundle import import_run, peek, shipped_bundles
from mixviz.training.saved import evaluate_run

BUNDLES = [
    bundle
    for bundle in shipped_bundles(Path(__file__).parents[2] / "checkpoints")
    if peek(bundle).dataset in ("arcs", "digits")  # which need no download
]


@pytest.mark.parametrize("bundle", BUNDLES, ids=[bundle.stem for bundle in BUNDLES])
def test_scores_of_a_shipped_run_are_those_of_its_model(store, bundle):
    run = store.get(import_run(store, bundle))
    found = evaluate_run(store, run.id)
    assert found.keys() <= run.result.keys()
    for name in ("nmi", "ari", "silhouette", "effective_components"):
        assert run.result[name] == pytest.approx(found[name], abs=0.01), name
    for mapping in ("hungarian", "majority"):
        expected = pytest.approx(found["accuracy"][mapping], abs=0.01)
        assert run.result["accuracy"][mapping] == expected, mapping
