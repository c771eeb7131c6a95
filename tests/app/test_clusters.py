"""Tests of Clusters and Generate without a browser: every model, every section, links, names."""

import numpy as np
import pytest

from mixviz.analysis.encoded import encode_run
from mixviz.runs import RunStore, Status
from mixviz.runs.names import name_component
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from mixviz.ui.clusters_matrix import _valid
from mixviz.ui.pad import _place
from tests.app.driver import served, show, texts, written

SHORT = {"epochs": 1, "batch_size": 500, "components": 4, "snapshot_points": 100, "threads": 1}
SECTIONS = ("Samples", "Reconstructions", "Interpolation", "Pad", "Style", "Density", "Scores")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def store(home, monkeypatch):
    """The store of the module's runs, which the pages use."""
    with served(home, monkeypatch) as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(home):
    """One short run of several models and data, by both names."""
    store, made = RunStore(home), {}
    for model, dataset in (
        ("gmvae-v2", "arcs"),
        ("gmvae-v2", "digits"),
        ("k-means", "digits"),
        ("gmm", "arcs"),
    ):
        run = create_run(store, plan(dataset=dataset, model=model, values=SHORT))
        assert Trainer(store, run).train() is Status.FINISHED
        made[model, dataset] = run
    return made


@pytest.mark.parametrize("page", ["clusters", "generate"])
def test_without_a_run_there_is_a_hint(store, page):
    assert "Choose a run" in texts(show(page))


@pytest.mark.parametrize("page", ["clusters", "generate"])
def test_run_without_a_checkpoint_is_explained(store, page):
    run = create_run(store, plan(dataset="arcs", model="gmm", values=SHORT))
    assert "no checkpoint" in texts(show(page, run))


def test_clusters_says_what_the_numbers_are(store, runs):
    run = runs["gmm", "arcs"]
    app = show("clusters", run)
    labels = [metric.label for metric in app.metric]
    assert labels[:3] == [
        "Accuracy, one-to-one (Hungarian)",
        "Accuracy, majority label",
        "Accuracy, most confident point",
    ]
    assert {"NMI", "ARI", "Purity", "Silhouette"} <= set(labels)
    assert "arcs, test split" in texts(app)


def test_merging_changes_every_number(store, runs):
    run = runs["gmm", "arcs"]
    apart, merged = show("clusters", run), show("clusters", run, k="2")
    values = [{m.label: m.value for m in app.metric} for app in (apart, merged)]
    assert values[0]["Effective components"].endswith("of 4")
    assert values[1]["Effective components"].endswith("of 2")
    majority = "Accuracy, majority label"
    assert float(values[0][majority][:-1]) >= float(values[1][majority][:-1])
    assert merged.slider(key=f"k.{run}").value == 2


def test_what_was_chosen_for_one_run_is_not_for_the_next(store, runs):
    run, other = runs["gmm", "arcs"], runs["gmvae-v2", "arcs"]
    app = show("clusters", run, k="2", cell="1-")
    assert app.slider(key=f"k.{run}").value == 2
    assert {"k", "cell"} <= set(app.query_params)
    app.sidebar.selectbox(key="run").select(other).run()
    assert not app.exception
    assert app.slider(key=f"k.{other}").value == 4
    assert not {"k", "cell"} & set(app.query_params)
    app.slider(key=f"k.{other}").set_value(3).run()
    assert "k" in app.query_params


def test_the_place_on_the_pad_is_of_one_run(store, runs):
    app = show("generate", runs["gmm", "arcs"], view="Pad", at="0.1,0.1")
    assert "at" in app.query_params
    app.sidebar.selectbox(key="run").select(runs["gmvae-v2", "arcs"]).run()
    assert not app.exception
    assert "at" not in app.query_params


@pytest.mark.parametrize("asked", ["0", "99", "x"])
def test_wrong_number_of_groups_in_the_link(store, runs, asked):
    app = show("clusters", runs["gmm", "arcs"], k=asked)
    assert 1 <= app.slider(key=f"k.{runs['gmm', 'arcs']}").value <= 4


def test_cell_in_the_link_is_shown(store, runs):
    run = runs["gmvae-v2", "digits"]
    encoding = encode_run(store, run)
    cluster = int(encoding.assignments[0])
    label = int(encoding.data.labels[0])
    both = (encoding.assignments == cluster) & (encoding.data.labels == label)
    app = show("clusters", run, cell=f"{cluster}-{label}")
    assert f"{both.sum():,} observations" in texts(app)


def test_names_are_used_and_are_no_markup(store, runs):
    run = runs["k-means", "digits"]
    name_component(store, run, 2, "*so* [called](http://x)")
    app = show("clusters", run, cell="2-")
    assert "[called](" not in written(app)
    assert "called" in written(app)
    name_component(store, run, 2, "")


@pytest.mark.parametrize("cell", ["", "-", "9-1", "1-9", "1", "a-b", "1-²", None, "1-1-1", "--"])
def test_wrong_cells_are_none(cell):
    assert _valid(cell, (5, 4)) == ""


@pytest.mark.parametrize("cell", ["1-2", "1-", "-2", "4-3"])
def test_cells_rows_and_columns_can_be_chosen(cell):
    assert _valid(cell, (5, 4)) == cell


@pytest.mark.parametrize(
    "which", [("gmvae-v2", "arcs"), ("gmvae-v2", "digits"), ("k-means", "digits")], ids="-".join
)
def test_every_section_of_every_kind_of_run(store, runs, which):
    app = show("generate", runs[which])
    for section in SECTIONS:
        app.session_state["view"] = section
        app.run()
        assert not app.exception, app.exception
        assert not app.error
        labels = {button.label for button in app.get("download_button")}
        if section in ("Samples", "Reconstructions", "Interpolation"):
            assert "NPZ" in labels
            assert ("PNG" in labels) == (which[1] == "digits")


@pytest.mark.parametrize("model", ["k-means", "gmvae-v2"])
def test_exact_reconstructions_are_explained(store, runs, model):
    app = show("generate", runs[model, "digits"], view="Reconstructions")
    assert ("every reconstruction is exact" in texts(app)) == (model == "k-means")


def test_scores_wait_to_be_asked_for(store, runs):
    app = show("generate", runs["k-means", "digits"], view="Scores")
    assert any(button.label.startswith("Score ") for button in app.button)
    assert not app.metric
    network = next(one for one in app.selectbox if one.label == "Feature network")
    assert network.value == runs["gmvae-v2", "digits"]  # k-means has learned no features


def test_number_of_scored_samples_is_in_the_link(store, runs):
    run = runs["gmm", "arcs"]
    app = show("generate", run, view="Scores", samples="5000")
    slider = app.select_slider(key="samples")
    assert slider.value == 5000
    slider.set_value(1000).run()
    assert app.query_params["samples"] == "1000"
    assert "Score 1,000 samples" in {button.label for button in app.button}
    assert (
        show("generate", run, view="Scores", samples="7").select_slider(key="samples").value == 2000
    )


class AnyView:
    extent = (-1.0, 1.0, -2.0, 2.0)
    start = np.array([5.0, 0.5])


@pytest.mark.parametrize(
    "asked", [None, [], "x", [1, 2], [float("nan"), 0, 1, 0, "a"], ["x", 0, 0, 0, ""], {"a": 1}]
)
def test_pad_starts_inside_the_plane_whatever_it_is_told(store, monkeypatch, asked):
    place, reply, _, known = _place(asked, AnyView())
    assert place.tolist() == [1.0, 0.5]
    assert (reply, known) == (0, "")
