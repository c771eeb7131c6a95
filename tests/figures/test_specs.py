"""Packed arrays mean what they held; every spec is valid JSON and a valid Plotly figure."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mixviz.figures.curves import metrics_figure, terms_figure, z_prior_figure
from mixviz.figures.latent import COLOURINGS, latent_figure
from mixviz.figures.mixture import density_figure, overlap_figure, usage_figure
from mixviz.figures.specs import marks, packed
from mixviz.runs.records import Event

EVENTS = [Event(20, "eta", 0.5, 1.0), Event(30, "learning_rate", 1e-4, 1e-3)]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([1.5, -2.25]), "f4"),
        (np.arange(6, dtype=np.float32).reshape(2, 3), "f4"),
        (np.arange(6, dtype=np.float32).reshape(3, 2)[:, 1], "f4"),
        (np.array([3, 50], np.uint8), "u1"),
        (np.array([-3, 50], np.int16), "i2"),
        (np.array([1, 2**31 - 1]), "i4"),
        (np.array([1, 2**40]), "f8"),
        (np.array([True, False]), "u1"),
        (np.array([5, 6], ">i2"), "i2"),
        (np.empty(0, np.float32), "f4"),
    ],
)
def test_packed_arrays_decode_to_their_values(array, dtype, unpacked):
    spec = packed(array)
    assert spec["dtype"] == dtype
    np.testing.assert_array_equal(unpacked(spec), array)


@given(array=hnp.arrays(np.float64, hnp.array_shapes(max_dims=2), elements=st.floats()))
def test_packing_makes_everything_not_finite_a_gap(array, unpacked):
    values = unpacked(packed(array))
    assert not np.isinf(values).any()
    fits = np.abs(array) < 1e38
    np.testing.assert_allclose(values[fits], array[fits], rtol=1e-6, atol=1e-40)


def specs(snapshot, subsample):
    rows = [(i, i / 10, {**snapshot.terms, "w_prior": float("inf")}) for i in range(40)]
    scores = [(i, i / 10, {**snapshot.metrics, "majority": float("nan")}) for i in range(3)]
    for colour_by in COLOURINGS:
        yield latent_figure(snapshot, subsample, colour_by=colour_by, uirevision="run")
    floors = [(0, 1.0), (20, float("nan"))]
    for history in ([], floors):
        yield z_prior_figure(rows, components=4, floor_history=history, events=EVENTS, uirevision=1)
    yield z_prior_figure([], components=1, floor_history=[], events=[], uirevision=1)
    yield terms_figure(rows, events=EVENTS, uirevision="run", names={"w_prior": "w"})
    yield terms_figure([], events=[], uirevision="run")
    yield metrics_figure(scores, "run")
    yield metrics_figure([], "run")
    yield usage_figure(snapshot, "run")
    yield overlap_figure(snapshot, "run")
    yield density_figure(snapshot, subsample, "run")


@pytest.mark.parametrize("state", ["snapshot", "diverged"])
def test_every_spec_is_json_and_a_plotly_figure(state, subsample, request):
    snapshot = request.getfixturevalue(state)
    for spec in specs(snapshot, subsample):
        assert set(spec) == {"data", "layout"}
        read = json.loads(json.dumps(spec, allow_nan=False))
        go.Figure(read)
        assert "font" not in spec["layout"] and "template" not in spec["layout"]
        assert spec["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"
        assert "uirevision" in spec["layout"]


def test_changes_of_live_fields_are_marked_and_named():
    eta, rate = marks(EVENTS)
    assert (eta["x0"], eta["x1"], eta["label"]["text"]) == (20, 20, "η 1 → 0.5")
    assert rate["label"]["text"] == "learning rate 0.001 → 0.0001"


def test_only_the_latest_of_many_changes_are_labelled():
    many = marks([Event(2**i, "eta", i + 1.0, float(i)) for i in range(30)])
    assert len(many) == 30
    assert ["label" in mark for mark in many] == [False] * 22 + [True] * 8


def test_a_dragged_slider_leaves_one_mark():
    dragged = [Event(1000 + i, "eta", i + 1.0, float(i)) for i in range(20)]
    later = Event(5000, "eta", 0.5, 20.0)
    first, second = marks([*dragged, later])
    assert (first["x0"], second["x0"]) == (1019, 5000)
    assert first["label"]["text"].endswith("0 → 20")
