"""Groups over seeds, accuracy courses, differences of configurations, the papers' figures."""

import numpy as np
import pandas as pd
import pytest

from mixviz.evaluation import MAPPINGS
from mixviz.evaluation.comparison import (
    SCORES,
    accuracy_course,
    difference,
    groups,
    published_rows,
)
from mixviz.evaluation.published import PUBLISHED
from mixviz.models import MODELS


def table(*rows):
    base = {
        "name": "n",
        "model": "m",
        "dataset": "d",
        "components": 3.0,
        "samples": 1.0,
        "split": "test",
        "status": "finished",
        "steered": False,
        "variant": "v",
        "seed": np.nan,
        **dict.fromkeys(SCORES, np.nan),
    }
    made = []
    for i, row in enumerate(rows):
        scored = {"effective_components": 3.0} if {"hungarian", "silhouette"} & row.keys() else {}
        made.append({**base, "id": str(i), **scored, **row})
    return pd.DataFrame(made)


def test_groups_have_mean_and_sample_deviation():
    runs = table(
        {"hungarian": 0.5, "seed": 0},
        {"status": "stopped", "seed": 1},
        {"hungarian": 0.75, "seed": 1},
        {"hungarian": 0.75, "seed": 1},
        {"hungarian": 1.0, "seed": 2},
        {"status": "diverged", "seed": 3},
        {"variant": "w", "hungarian": 0.25},
        {"steered": True, "hungarian": 0.0},
    )
    found = groups(runs).set_index("variant")
    assert found.loc["v", ["seeds", "scored", "ended_early"]].tolist() == [4, 3, 1]
    assert found.loc["v", "hungarian"] == 0.75
    assert found.loc["v", "hungarian_sd"] == 0.25
    assert found.loc["w", "hungarian"] == 0.25
    assert np.isnan(found.loc["w", "hungarian_sd"])


def test_a_run_that_ended_early_hides_no_scores_without_labels():
    runs = table(
        {"status": "failed", "seed": 0},
        {"silhouette": 0.5, "seed": 0},
        {"silhouette": 0.7, "seed": 1},
    )
    found = groups(runs).iloc[0]
    assert found[["seeds", "scored", "ended_early"]].tolist() == [2, 2, 0]
    assert found["silhouette"] == pytest.approx(0.6)


def test_no_runs_no_groups():
    assert len(groups(table({}).iloc[:0])) == 0


def test_published_rows_stand_under_their_mapping():
    rows = published_rows(["nvisa", "gmvae-v2"], ["mnist"])
    nvisa = rows[rows["model"] == "nvisa"].iloc[0]
    assert nvisa["hungarian"] == pytest.approx(0.9655)
    assert nvisa["hungarian_sd"] == pytest.approx(0.0264)
    assert np.isnan(nvisa["most_confident"])
    assert set(rows["dataset"]) == {"mnist"}
    assert published_rows(["k-means"], ["arcs"]).empty
    best = published_rows(["dec"], ["mnist"]).iloc[0]
    assert (best["name"].endswith("the best run"), best["hungarian"]) == (True, 0.843)


def test_published_figures_are_of_known_models_and_mappings():
    for figure in PUBLISHED:
        assert figure.model in MODELS
        assert figure.mapping in MAPPINGS
        assert 0 < figure.figure <= (figure.best or 100)
    assert PUBLISHED[1].accuracy == "86.94 ± 6.62 (best 93.67)"


def history(*values, epochs=1.0):
    return [(i, i * epochs, {"hungarian": value}) for i, value in enumerate(values)]


def test_course_averages_where_runs_have_been():
    course = accuracy_course([history(0.0, 1.0), history(0.5, 0.5, 0.5)], "hungarian")
    assert course.runs == 2
    at = dict(zip(course.epochs.round(6), course.mean, strict=True))
    assert at[0.0] == pytest.approx(0.25)
    assert at[0.5] == pytest.approx(0.5)
    assert at[1.0] == pytest.approx(0.75)
    assert at[2.0] == pytest.approx(0.5)  # one run alone
    assert course.deviation[0] == pytest.approx(np.std([0, 0.5], ddof=1))
    assert course.deviation[-1] == 0


def test_course_without_scores_is_none():
    assert accuracy_course([[(0, 0.0, {"dead_components": 1.0})], []], "hungarian") is None


def test_difference_names_what_only_one_has():
    one = {"model": "a", "dataset": "d", "settings": {"k": 1, "x": 2}, "run": {"seed": 0}}
    other = {"model": "b", "dataset": "d", "settings": {"k": 1, "y": 3}, "run": {"seed": 1}}
    assert difference(one, other) == [
        ("", "model", "a", "b"),
        ("settings", "x", 2, None),
        ("settings", "y", None, 3),
        ("run", "seed", 0, 1),
    ]
    assert difference(one, one) == []
    assert difference({**one, "version": "a"}, one) == [("", "version", "a", None)]
