"""Curves: thinned without losing extremes, with gaps where nothing is known."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixviz.figures.curves import POINTS, metrics_figure, terms_figure, thinned, z_prior_figure
from mixviz.runs import Event


def by_name(spec):
    return {trace["name"]: trace for trace in spec["data"]}


@given(st.integers(1, 50_000), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_thinning_keeps_ends_and_extremes(n, seed):
    values = np.random.default_rng(seed).standard_normal(n)
    kept = thinned(values)
    assert len(kept) == min(n, len(kept)) <= POINTS
    assert (np.diff(kept) > 0).all() and kept[0] == 0 and kept[-1] == n - 1
    assert values[kept].min() == values.min() and values[kept].max() == values.max()


def test_thinning_keeps_a_spike_in_every_bucket():
    values = np.zeros(30_000)
    spikes = np.arange(150, 30_000, 300)
    values[spikes] = np.where(np.arange(len(spikes)) % 2, 1.0, -1.0)
    assert set(spikes) <= set(thinned(values))


def test_thinning_keeps_long_gaps_and_not_only_gaps():
    values = np.arange(20_000.0)
    values[5_000:10_000] = np.nan
    values[::2] = np.nan
    kept = values[thinned(values)]
    assert np.isnan(kept).any()
    assert np.nanmin(kept) == 1 and np.nanmax(kept) == 19_999


def test_z_prior_stands_between_floor_and_ceiling(unpacked):
    rows = [(step, 0.0, {"z_prior": step / 100}) for step in range(0, 100, 10)]
    spec = z_prior_figure(
        rows, components=8, floor_history=[(0, 1.0), (40, 1.5)], events=[], uirevision=0
    )
    traces = by_name(spec)
    np.testing.assert_array_equal(unpacked(traces["z-prior"]["x"]), np.arange(0, 100, 10))
    assert traces["λ"]["line"]["dash"] == "dot" and traces["λ"]["line"]["shape"] == "hv"
    assert (traces["λ"]["x"], traces["λ"]["y"]) == ([0, 40, 90], [1.0, 1.5, 1.5])
    assert traces["log K"]["line"]["dash"] == "dash"
    assert traces["log K"]["x"] == [0, 90]
    assert traces["log K"]["y"] == [math.log(8)] * 2
    assert spec["layout"]["yaxis"]["range"][1] > math.log(8)


def test_without_floor_there_is_no_line():
    spec = z_prior_figure(
        [(0, 0.0, {"z_prior": 1.0})], components=8, floor_history=[], events=[], uirevision=0
    )
    assert list(by_name(spec)) == ["z-prior", "log K"]


def test_terms_leave_out_z_prior_and_gaps(unpacked):
    rows = [(0, 0.0, {"z_prior": 1.0, "w_prior": 1.0}), (1, 0.1, {"w_prior": math.inf})]
    rows.append((2, 0.2, {"w_prior": 3.0, "conditional_prior": 2.0}))
    traces = by_name(terms_figure(rows, events=[], uirevision=0, names={"w_prior": "w<prior"}))
    assert list(traces) == ["w&lt;prior", "conditional prior"]
    assert np.isnan(unpacked(traces["w&lt;prior"]["y"])).tolist() == [False, True, False]
    assert np.isnan(unpacked(traces["conditional prior"]["y"])).tolist() == [True, True, False]


def test_terms_are_in_the_units_of_the_model():
    rows = [(0, 0.0, {"inertia": 1.0})]
    spec = terms_figure(rows, events=[], uirevision=0, units="squared distance")
    assert spec["layout"]["yaxis"]["title"]["text"] == "squared distance"


def test_metrics_are_named_in_words():
    rows = [(0, 0.0, {"hungarian": 0.5, "majority": 0.6, "dead_components": 1.0})]
    spec = metrics_figure(rows, 0, [Event(3, "z_prior_floor", 1.5, 0.0)])
    assert [shape["x0"] for shape in spec["layout"]["shapes"]] == [3]
    assert list(by_name(spec)) == ["one-to-one (Hungarian)", "majority label"]
    assert spec["layout"]["yaxis"]["range"][0] == 0


def test_long_histories_are_thinned(unpacked):
    rows = [(step, 0.0, {"w_prior": math.sin(step)}) for step in range(10_000)]
    (trace,) = terms_figure(rows, events=[], uirevision=0)["data"]
    assert len(unpacked(trace["x"])) == len(unpacked(trace["y"])) <= POINTS


def test_a_spike_at_the_start_does_not_flatten_the_terms_but_one_at_the_end_is_shown():
    calm = [(step, step / 10, {"elbo": -5 + np.sin(step)}) for step in range(100)]
    early = [(0, 0.0, {"elbo": -1e5}), *calm[1:]]
    late = [*calm[:-1], (99, 9.9, {"elbo": -1e5})]
    low, high = terms_figure(early, events=[], uirevision=0)["layout"]["yaxis"]["range"]
    assert -6.5 < low < -5.9 and -4.1 < high < -3.5
    for rows in (calm, late, calm[:3]):
        assert "range" not in terms_figure(rows, events=[], uirevision=0)["layout"]["yaxis"]
