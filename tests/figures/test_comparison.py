"""Curves of several runs and accuracy courses as figures."""

import base64
import math

import numpy as np

from mixviz.figures.comparison import Band, Curve, course_figure, curves_figure
from mixviz.figures.suggestion import criterion_figure


def unpacked(spec):
    return np.frombuffer(base64.b64decode(spec["bdata"]), np.dtype(spec["dtype"]))


ROWS = [(step, step / 10, {"elbo": -1.0 / (step + 1)}) for step in range(50)]
BROKEN = [*ROWS[:20], (20, 2.0, {"elbo": math.nan}), (21, 2.1, {"elbo": None})]


def test_divergence_is_marked_at_the_last_finite_point():
    curves = [
        Curve(0, 0, "<b>one</b>", ROWS, "elbo", False),
        Curve(1, 0, "two", BROKEN, "elbo", True),
    ]
    figure = curves_figure(curves, over="epoch", units="nats", uirevision="x")
    first, second, mark = figure["data"]
    assert first["name"] == "&lt;b&gt;one&lt;/b&gt;"
    assert first["line"]["color"] != second["line"]["color"]
    assert np.allclose(unpacked(first["x"]), np.arange(50) / 10)
    assert np.isnan(unpacked(second["y"])[-2:]).all()
    assert mark["text"] == ["diverged"]
    assert (mark["x"], mark["y"]) == ([1.9], [-0.05])


def test_terms_of_a_run_share_its_colour():
    curves = [Curve(0, term, f"{term}", ROWS, "elbo", False) for term in range(2)]
    one, other = curves_figure(curves, over="step", units="", uirevision="x")["data"]
    assert one["line"]["color"] == other["line"]["color"]
    assert one["line"]["dash"] != other["line"]["dash"]
    assert unpacked(one["x"]).tolist() == list(range(50))


def test_band_is_drawn_where_there_are_several_runs():
    epochs, mean = np.array([0.0, 1, 2]), np.array([0.1, 0.5, 0.98])
    bands = [
        Band("K=5 (3 runs)", epochs, mean, np.full(3, 0.1)),
        Band("K=9 (1 run)", epochs, mean, np.zeros(3)),
    ]
    figure = course_figure(bands, title="accuracy", uirevision="x")
    assert [trace.get("fill") for trace in figure["data"]] == ["toself", None, None]
    # Names are whole where the pointer is.
    assert {trace["hoverlabel"]["namelength"] for trace in figure["data"][1:]} == {-1}
    edge = unpacked(figure["data"][0]["y"])
    assert edge.max() <= 1
    assert np.isclose(edge.min(), 0)


def test_suggested_k_is_marked():
    figure = criterion_figure(np.array([1, 2, 3]), np.array([9.0, 4, 6]), 2)
    assert figure["layout"]["shapes"][0]["x0"] == 2
