"""Tests of the page Explore without a browser: links, conditions, exports, hostile values."""

import io
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mixviz.analysis.encoded import KIND, encode_run, encoding_key
from mixviz.analysis.maps import KIND as MAPS
from mixviz.analysis.maps import (
    PLACED,
    MapChoice,
    linear_map,
    make_map,
    mixture_key,
    mixture_of,
    place_points,
    placed_key,
    principal_plane,
    read_map,
)
from mixviz.analysis.neighbours import within
from mixviz.embedding import Plane
from mixviz.errors import MixvizError
from mixviz.ui import explore_view
from mixviz.ui.explore_selection import export_table, parse_outline, parse_rows, values_table
from mixviz.ui.explore_view import _is_outline, _is_view
from tests.app.driver import buttons, show, texts, trained


@pytest.fixture
def run(store):
    return trained(store)


def selected(app):
    found = re.search(r"([\d,]+) of ([\d,]+) selected", texts(app))
    return found and int(found[1].replace(",", ""))


def test_page_shows_a_run_and_narrows_what_is_selected(store, run):
    app = show("explore", run)
    assert "All 10,000" in texts(app)
    assert "exact on this map" in texts(app)
    encoding = encode_run(store, run)

    app.multiselect(key="components").select("1").run()
    assert selected(app) == (encoding.assignments == 1).sum()
    app.multiselect(key="components").set_value([]).run()
    app.text_input(key="rows").set_value("3, 10-19").run()
    assert selected(app) == 11
    app.toggle(key="errors").set_value(True).run()
    assert selected(app) <= 11
    assert not app.exception


def test_link_restores_an_outline_and_a_point(store, run):
    encoding = encode_run(store, run)
    points = Plane.fit(encoding.latents).project(encoding.latents)
    low, high = np.quantile(points, (0.2, 0.6), axis=0)
    corners = [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]]
    link = ";".join(f"{x:.6g},{y:.6g}" for x, y in corners)
    app = show("home")
    app.query_params.update({"run": run, "outline": link, "point": "7"})
    app.session_state["run"] = run
    app.switch_page("explore.py").run()
    assert not app.exception
    assert selected(app) == within(points.astype(np.float32), np.array(parse_outline(link))).sum()
    assert "#7 · component" in texts(app)


def test_other_data_are_encoded_where_that_takes_no_asking(store, run):
    show("explore", run, on="pinwheel")
    assert store.artifacts.has(KIND, encoding_key(store, run, "pinwheel", "test")[0])


def test_each_run_is_shown_on_its_own_data(store, run):
    other = trained(store, dataset="pinwheel")
    app = show("explore", run, on="pinwheel", part="all", placed="arcs train")
    for name, asked in (("on", "pinwheel"), ("part", "all"), ("placed", "arcs train")):
        assert app.selectbox(key=name).value == asked
    app.switch_page("train.py").run()
    app.switch_page("explore.py").run()
    assert app.selectbox(key="on").value == "pinwheel"
    for shown, dataset in ((other, "pinwheel"), (run, "arcs")):
        app.sidebar.selectbox(key="run").select(shown).run()
        assert not app.exception
        assert app.selectbox(key="on").value == dataset
        assert app.selectbox(key="part").value == "test"
        assert app.selectbox(key="placed").value == "none"
        assert not {"on", "part", "placed"} & set(app.query_params)


@pytest.mark.parametrize(
    "link", ["", "1,2;3", "nan,1;2,3;4,5", "1,2;3,4", "a,b;c,d;e,f", "1,2,3;4,5,6;7,8,9"]
)
def test_what_is_not_an_outline_in_a_link_is_ignored(link):
    assert parse_outline(link) is None


def test_values_from_a_browser_are_checked():
    assert _is_outline([[0, 1], [2, 3.5], [4, 5]])
    for value in (None, [], [[0, 1]] * 2, [[0, "1"]] * 3, [[0, float("nan")]] * 3, [[0, 1]] * 501):
        assert not _is_outline(value)
    assert _is_view([0, 1, 0, 1, 10, 10])
    for value in (None, [0, 1], [1, 0, 0, 1, 10, 10], [0, 1, 0, 1, 0, 10], ["0"] * 6):
        assert not _is_view(value)


@pytest.mark.parametrize(
    ("text", "rows"), [("3", [3]), ("5, 1-3; 2", [1, 2, 3, 5]), (" ", []), ("99", [99])]
)
def test_indices_are_read(text, rows):
    found, problem = parse_rows(text, 100)
    assert found.tolist() == rows
    assert not problem


@pytest.mark.parametrize("text", ["100", "a", "5-3", "-1", "1-1000000000000", "1.5"])
def test_what_is_not_an_index_is_said(text):
    found, problem = parse_rows(text, 100)
    assert not len(found)
    assert problem.endswith(".")


def test_principal_axes_are_turned_as_train_shows_them(store, run):
    latents = np.random.default_rng(0).normal(size=(200, 5)) * [5, 3, 1, 1, 1]
    plain = Plane.fit(latents)
    shown = store.snapshot(run, store.snapshot_steps(run)[-1])
    mirrored = replace(shown, plane="pca", centre=plain.centre, axes=plain.axes * [-1, 1])
    store.write_snapshot(run, mirrored)
    found = principal_plane(store, run, latents)
    assert found.axes == pytest.approx(mirrored.axes)
    assert principal_plane(store, run, latents, 3).axes.shape == (5, 3)
    (store.folder(run) / "snapshots" / f"{shown.step:09d}.npz").write_bytes(b"damaged")
    assert principal_plane(store, run, latents).axes == pytest.approx(plain.axes)


def test_export_holds_ids_coordinates_and_assignments(store, run):
    encoding, mixture = encode_run(store, run), mixture_of(store, run)
    found = linear_map(encoding, mixture, Plane.fit(encoding.latents), 10)
    rows = np.array([4, 9, 2000])
    table = export_table(encoding, found, [str(k) for k in range(4)], rows)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    for read in (
        pd.read_csv(io.StringIO(table.to_csv(index=False))),
        pd.read_parquet(io.BytesIO(buffer.getvalue())),
    ):
        assert read["index"].tolist() == rows.tolist()
        assert read["x"].to_numpy() == pytest.approx(found.points[rows, 0], abs=1e-5)
        assert read["component"].tolist() == encoding.assignments[rows].tolist()
        assert read["label"].tolist() == encoding.data.labels[rows].tolist()


def test_values_are_those_of_the_file_where_its_columns_were_kept(store, run):
    encoding, rows = encode_run(store, run), np.array([4, 9])
    assert values_table(encoding, rows).columns.tolist() == ["x1", "x2"]
    columns = {"bill length": np.arange(10_000.0), "island": np.array(["A"] * 10_000, object)}
    own = replace(encoding, data=replace(encoding.data, columns=columns))
    table = values_table(own, rows)
    assert table.columns.tolist() == ["bill length", "island"]
    assert table.index.tolist() == table["bill length"].tolist() == [4, 9]


def test_samples_of_the_mixture_have_its_means_and_covariances(store, run):
    mixture = mixture_of(store, run)
    samples, components = mixture.sample(20_000)
    for k, mean in enumerate(mixture.means):
        own = samples[components == k]
        error = 6 * np.sqrt(mixture.covariances[k] / max(len(own), 1))
        assert (np.abs(own.mean(0) - mean) < error).all()
    assert (mixture.sample(20_000)[0] == samples).all()


def test_a_map_is_kept_under_what_it_came_from(store, run):
    settings = {"iterations": 50, "perplexity": 5.0, "prior_samples": 20, "together": True}
    choice = MapChoice(run, "pinwheel", "test", "tsne", 2, settings)
    encoding = encode_run(store, run, "pinwheel", "test")
    keys = {
        choice.key(encoding.key),
        choice.key("other"),
        MapChoice(run, "pinwheel", "test", "tsne", 3, settings).key(encoding.key),
        MapChoice(run, "pinwheel", "test", "tsne", 2, settings | {"seed": 1}).key(encoding.key),
        MapChoice(run, "pinwheel", "test", "umap", 2, {}).key(encoding.key),
    }
    assert len(keys) == 5
    assert read_map(store, choice, encoding) is None
    with pytest.raises(MixvizError, match="perplexity"):
        MapChoice(run, "arcs", "test", "tsne", 2, {"perplexity": 0.5}).key("x")


def test_a_map_is_made_with_prior_samples_and_read_again(store):
    run = trained(store, dataset="digits")
    settings = {"iterations": 50, "perplexity": 5.0, "prior_samples": 30}
    choice = MapChoice(run, "digits", "test", "tsne", 2, settings)
    encoding = encode_run(store, run, "digits", "test")
    said = []
    make_map(store, lambda share, text: said.append((share, text)), **choice.parameters())
    found = read_map(store, choice, encoding)
    assert found.points.shape == (len(encoding.data), 2)
    assert found.prior.shape == (30, 2)
    assert max(share for share, _ in said) <= 1
    assert any("Placing" in text for _, text in said)

    place_points(store, lambda share, text: None, "digits", "train", **choice.parameters())
    other = encode_run(store, run, "digits", "train")
    placed = store.artifacts.read(PLACED, placed_key(found.key, other.key))["points"]
    assert placed.shape == (len(other.data), 2)
    low, high = found.points.min(0), found.points.max(0)
    assert ((placed > 2 * low - high) & (placed < 2 * high - low)).all()


def test_a_map_of_what_is_kept_begins_without_pytorch(store):
    run = trained(store, dataset="digits")
    encoding = encode_run(store, run, "digits", "test")
    mixture_of(store, run)
    choice = MapChoice(run, "digits", "test", "tsne", 2, {"iterations": 50, "prior_samples": 0})
    kept = (encoding.key, mixture_key(store, run))
    program = (
        "import sys; from pathlib import Path; from mixviz.runs import RunStore;"
        "from mixviz.analysis.maps import make_map;"
        f"make_map(RunStore(Path({str(store.home)!r})), print, kept={kept}, **{choice.parameters()});"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert read_map(store, choice, encoding).points.shape == (len(encoding.data), 2)

    gone = choice.parameters() | {"settings": choice.settings | {"seed": 1}}
    make_map(store, lambda share, text: None, kept=("gone", "gone"), **gone)
    assert read_map(store, MapChoice(**gone), encoding) is not None


def test_a_map_that_cannot_be_read_is_said_and_computed_anew(store):
    run = trained(store, dataset="digits")
    encoding = encode_run(store, run, "digits", "test")
    key = MapChoice(run, "digits", "test", "umap").key(encoding.key)
    path = store.artifacts.path(MAPS, key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    app = show("explore", run, map="umap")
    assert "could not be read" in texts(app)
    app.run()
    assert any(label.startswith("Compute UMAP of") for label in buttons(app))
    count = len(encoding.data)
    none = np.empty((0, 2), np.float32)
    whole = {
        "points": np.zeros((count, 2), np.float32),
        "prior": none,
        "prior_components": none[:, 0],
    }
    store.artifacts.write(MAPS, key, whole)
    assert f"All {count:,}" in texts(app.run())
    assert not app.exception


def test_an_empty_choice_of_overlays_is_in_the_link(store, run):
    app = show("explore", run)
    assert app.multiselect(key="shown").value == ["contours"]
    assert "shown" not in app.query_params
    app.multiselect(key="shown").set_value([]).run()
    assert app.query_params["shown"] == "none"
    assert show("explore", run, shown="none").multiselect(key="shown").value == []


def test_another_set_of_the_same_size_is_drawn(store, run, monkeypatch):
    versions = []
    monkeypatch.setattr(
        explore_view, "pickable_plot", lambda figure, version, **_: versions.append(version)
    )
    app = show("explore", run, placed="pinwheel test")
    assert not app.selectbox(key="placed").set_value("pinwheel train").run().exception
    app.run()
    assert len(versions) == 3
    assert versions[0] != versions[1] == versions[2]


def test_another_set_is_placed_and_maps_are_offered_not_computed(store, run):
    app = show("home")
    app.query_params.update({"run": run, "placed": "pinwheel test", "map": "latent"})
    app.session_state["run"] = run
    app.switch_page("explore.py").run()
    assert not app.exception
    assert app.selectbox(key="placed").value == "pinwheel test"

    app.query_params.update({"settings": "perplexity:50.0"})
    app.segmented_control(key="map").set_value("tsne").run()
    assert not app.exception
    assert any(label.startswith("Compute t-SNE of 10,000") for label in buttons(app))
    assert app.number_input(key="explore.setting.tsne.perplexity").value == 50
    assert not list(store.artifacts.folder.glob("map/*"))
