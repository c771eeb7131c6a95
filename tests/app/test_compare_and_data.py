"""Tests of Compare and Data without a browser: filters, choices, annotations, undo, text from outside."""

import io
import time

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from mixviz.analysis.suggest import suggest_components
from mixviz.data import SOURCES
from mixviz.data.own import add_file, deleted_sets, own_sets
from mixviz.data.own_prepare import Options
from mixviz.errors import MixvizError
from mixviz.runs import Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.ui import compare_views, data_sets, keys, runs
from mixviz.ui.compare import narrowed, shown, table_csv
from tests.app.driver import OUTSIDE, buttons, show, texts, trained, written

RESULT = {
    "accuracy": {"hungarian": 0.5, "majority": 0.75, "most_confident": 0.25},
    "nmi": 0.5,
    "ari": 0.5,
    "split": "test",
}


def add(store, name="Run", seed=0, **changes):
    values = {"seed": seed, "components": changes.pop("components", 4)}
    run = create_run(store, plan(dataset="arcs", values=values), name)
    store.update(run, status=Status.FINISHED, result=RESULT, **changes)
    return run


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception


def multiselect(app, label):
    return next(one for one in app.multiselect if one.label == label)


# ---- Compare ---------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["Runs", "Seeds", "Curves", "K and S", "Difference"])
def test_every_view_of_an_empty_store(store, view):
    show("compare", show=view)


@pytest.mark.parametrize("view", ["Runs", "Seeds", "Curves", "K and S", "Difference"])
def test_text_from_outside_is_no_markdown(store, view):
    runs = [add(store, OUTSIDE, seed) for seed in range(2)]
    store.annotate(runs, note=OUTSIDE)
    store.tag(runs, "*a* [b](c)")
    store.finish_command(_command(store, runs[0]), runs[0], _event())
    app = show("compare", show=view, chosen=runs)
    said = written(app)
    assert "![x](" not in said
    assert not [button for button in app.button if "*a*" in button.label.replace("\\*", "")]


def test_models_that_draw_no_samples_have_accuracies_by_k(store):
    trained(store, "k-means")
    app = show("compare", show="K and S")
    assert "No run of this K and S" not in texts(app)
    assert "Mean over the seeds" in texts(app)


def _command(store, run):
    store.send(run, "set", "learning_rate", 0.5)
    return store.open_commands(run)[0]


def _event():
    from mixviz.runs import Event

    return Event(3, "![x](y)", 0.5, 0.25)


def test_filters_narrow_the_table(store):
    one, other = add(store, "Alpha"), add(store, "Beta", seed=1)
    store.tag([other], "good")
    store.annotate([other], note="see paper")
    table = store.table()

    def ids(text="", models=(), datasets=(), statuses=(), tags=()):
        return narrowed(table, text, models, datasets, statuses, tags)["id"].tolist()

    assert ids() == [other, one]
    assert ids("ALPHA") == [one]
    assert ids("paper see") == [other]
    assert ids("beta alpha") == []
    assert ids(tags=["good"]) == [other]
    assert ids(statuses=["diverged"]) == []
    assert ids(models=["gmvae-v2"], datasets=["arcs"]) == [other, one]
    assert shown(table)["Tags"].tolist() == [["good"], []]
    text = table_csv(table).decode()
    assert pd.read_csv(io.StringIO(text))["tags"].tolist()[0] == "good"


def test_link_restores_filters_and_choice(store):
    one, other = add(store, "Alpha"), add(store, "Beta")
    app = show("compare", chosen=[one, "20200101-000000-ffffff"], models=["gmvae-v2", "nonsense"])
    assert multiselect(app, "Chosen runs").value == [one]
    assert multiselect(app, "Model").value == ["gmvae-v2"]
    multiselect(app, "Chosen runs").set_value([one, other]).run()
    assert app.query_params["chosen"] == [one, other]


@pytest.mark.parametrize("link", [{"find": "arcs", "shelf": "Archived"}, {"statuses": ["running"]}])
def test_what_no_run_has_gives_no_runs(store, link):
    add(store, "Alpha")
    app = show("compare", **link)
    assert "Alpha" not in str([frame.value for frame in app.dataframe])


def test_runs_without_components_and_alike_ones_are_shown_by_k_and_s(store):
    alike = [trained(store, name="Run"), trained(store, name="Run")]
    for run, value in zip(alike, (0.0, 1.0), strict=True):
        config = dict(store.get(run).config)
        config["settings"] = {**config["settings"], "z_prior_floor": value}
        store.update(run, config=config)
    strange = store.create(model="other", dataset="arcs", config={"settings": {}, "run": {}})
    store.update(strange, status=Status.FINISHED, result=RESULT)
    names = compare_views._variant_names(store.table())
    assert sorted(names.values()) == [
        "gmvae-v2, arcs, K=4, S=1, z_prior_floor=0.0",
        "gmvae-v2, arcs, K=4, S=1, z_prior_floor=1.0",
        "other, arcs",
    ]
    show("compare", show="K and S")


def test_delete_and_undo(store):
    one, other = add(store, "Alpha"), add(store, "Beta")
    app = show("compare", chosen=[one])
    press(app, "Delete")
    assert [run.id for run in store.runs()] == [other]
    assert "Deleted 1 run" in texts(app).replace("**", "")
    press(app, "Undo")
    assert len(store.runs()) == 2
    assert multiselect(app, "Chosen runs").value == [one]


def test_running_runs_are_not_deleted(store):
    run = add(store)
    store.update(run, status=Status.RUNNING)
    app = show("compare", chosen=[run])
    press(app, "Delete")
    assert "stop it" in texts(app)
    assert len(store.runs()) == 1


def test_archive_rename_and_tag(store):
    run = add(store, "Alpha")
    app = show("compare", chosen=[run])
    # Without a rerun between: a click takes what is still in the field with it.
    store.annotate([run], note="Of another tab")
    next(t for t in app.text_input if t.label == "Name").set_value("Better")
    press(app, "Keep")
    next(t for t in app.text_input if t.label == "Name").set_value("Best")
    press(app, "Keep")
    assert store.get(run).note == "Of another tab"
    next(t for t in app.text_input if t.label == "Name").set_value("Better")
    press(app, "Keep")
    next(t for t in app.text_input if t.label == "Tag").set_value("good")
    press(app, "Add tag")
    assert (store.get(run).name, store.get(run).tags) == ("Better", ("good",))
    press(app, "Archive")
    assert store.get(run).archived
    assert not store.runs()


@pytest.mark.parametrize(
    ("status", "label", "page"),
    [("finished", "Replay", "replay.py"), ("queued", "Watch", "train.py")],
)
def test_a_chosen_run_is_opened(store, monkeypatch, status, label, page):
    left_for = []
    monkeypatch.setattr(st, "switch_page", left_for.append)
    run, other = add(store), add(store)
    store.update(run, status=status, heartbeat=time.time())
    app = show("compare", chosen=[run])
    press(app, label)
    assert app.session_state[keys.RUN] == run
    assert left_for == [page]
    app = show("compare", chosen=[run, other])
    assert not {"Replay", "Watch"} & {button.label for button in app.button}


def test_an_archived_run_is_opened_and_a_deleted_one_not(store):
    run, gone = add(store), add(store)
    store.archive([run])
    store.delete([gone])
    for chosen, offered in ((run, True), (gone, False)):
        labels = {button.label for button in show("compare", chosen=[chosen]).button}
        assert ("Replay" in labels) is offered


def test_shipped_runs_stay_in_the_list(store, monkeypatch):
    monkeypatch.setattr(runs, "SHOWN", 1)
    shipped, hidden, newest = add(store), add(store), add(store)
    store.update(shipped, shipped=True)
    assert set(runs.known_runs()) == {shipped, newest}
    assert set(runs.known_runs(hidden)) == {shipped, hidden, newest}


@pytest.mark.parametrize(
    ("terms", "title"),
    [
        (["effective_components"], "effective components"),
        (["hungarian"], "one-to-one (Hungarian)"),
        (["information"], "information (nats)"),
        (["objective"], "objective (nats)"),  # k-means has none
        (["inertia", "objective"], "inertia, objective (nats, squared distance)"),
        (["z_prior", "dead_components"], "z-prior, dead components (nats)"),
    ],
)
def test_curves_have_units_of_their_own(store, monkeypatch, terms, title):
    figures = []
    monkeypatch.setattr(compare_views, "live_plot", lambda figure, **_: figures.append(figure))
    chosen = [trained(store), trained(store, "k-means")]
    app = show("compare", show="Curves", chosen=chosen, terms=terms)
    assert multiselect(app, "Curves").value == terms
    assert figures[-1]["layout"]["yaxis"]["title"]["text"] == title


def test_difference_of_two(store):
    one, other = add(store, "Alpha", components=3), add(store, "Beta", seed=2, components=4)
    app = show("compare", show="Difference", chosen=[one, other])
    frame = app.dataframe[0].value.set_index("Setting")
    assert frame.loc["components (model)"].tolist() == ["3", "4"]
    assert frame.loc["seed (run)"].tolist() == ["0", "2"]
    config = store.get(other).config  # as a version without this setting left it
    older = {name: value for name, value in config["settings"].items() if name != "map_blur"}
    assert older.keys() < config["settings"].keys()
    store.update(other, config={**config, "settings": older})
    again = show("compare", show="Difference", chosen=[one, other]).dataframe[0].value
    assert set(again["Setting"]) == set(frame.index)


def test_seeds_stand_beside_published_figures(store):
    for seed in range(2):
        run = create_run(store, plan(dataset="mnist", values={"seed": seed, "components": 16}))
        store.update(run, status=Status.FINISHED, result=RESULT)
    frame = show("compare", show="Seeds").dataframe[0].value
    assert frame.iloc[0]["Seeds"] == 2
    assert frame.iloc[0]["majority label"] == "0.750 ± 0.000"
    published = frame[frame["Config"] == "published: GMVAE v2, table 1"]
    assert "0.878 ± 0.053" in published["most confident point"].tolist()
    assert published["majority label"].isna().all()


# ---- Data ------------------------------------------------------------------------------------


@pytest.fixture
def own(store, tmp_path):
    path = tmp_path / "![x](y) *a*.csv"
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(40, 3)), columns=["*a*", "b", "c"]).to_csv(path, index=False)
    return add_file(path, Options(), "![x](http://host) *a*").name


def test_own_set_is_shown_renamed_deleted_and_brought_back(own):
    app = show("data")
    assert "40 observations of 3 numbers" in texts(app)
    assert "![x]" not in written(app)
    next(t for t in app.text_input if t.label == "Name").set_value("Plain").run()
    press(app, "Rename")
    assert own_sets()[own].title == "Plain"
    press(app, "Delete")
    assert own not in SOURCES
    press(app, "Undo")
    assert own in SOURCES
    assert not deleted_sets()


def test_clustering_by_a_typed_k_forgets_the_suggestion_waited_for(store, own, monkeypatch):
    started = []
    monkeypatch.setattr(data_sets, "_start", lambda *asked: started.append(asked))
    app = show("data")
    app.session_state[keys.DATA_CLUSTERED] = own  # while K is being suggested
    app.run()
    app.number_input(key=f"data.option.k.{own}.False").set_value(5)
    press(app, "Cluster this")
    suggest_components(store, lambda share, text: None, own)
    app.run()
    assert started == [(own, 5)]


def test_a_set_that_cannot_be_clustered_as_suggested_is_said(store, own, monkeypatch):
    def refuse(*_):
        raise MixvizError("The disk is full.")

    monkeypatch.setattr(data_sets, "clustering", refuse)
    suggest_components(store, lambda share, text: None, own)
    app = show("data")
    app.session_state[keys.DATA_CLUSTERED] = own
    assert not app.run().exception
    assert "The disk is full." in texts(app)


def looked_into(path):
    """Show the page Data with the path of a file on this machine."""
    app = show("data")
    app.session_state[keys.DATA_FROM] = "Path on this machine"
    app.run()
    next(t for t in app.text_input if "Path" in t.label).set_value(str(path)).run()
    assert not app.exception, app.exception
    return app


def test_path_on_disk_is_previewed_and_kept(store, tmp_path):
    path = tmp_path / "points.csv"
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    frame.assign(label=["x", "y"] * 20).to_csv(path, index=False)
    app = looked_into(path)
    assert "40 observations of 2 numbers, 2 classes" in texts(app).replace("**", "")
    press(app, "Save as a data set")
    assert own_sets()["points"].label_names == ("x", "y")
    assert "40 observations of 2 numbers" in texts(app)
    next(t for t in app.text_input if "Path" in t.label).set_value(str(path)).run()
    press(app, "Save as a data set")
    assert app.toast[0].value == "points holds just this already\\."
    assert list(own_sets()) == ["points"]


@pytest.mark.parametrize("width", [3, 70])
def test_columns_left_out_by_rule_return_only_when_chosen(store, tmp_path, width):
    path = tmp_path / "points.csv"
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, width))).add_prefix("x")
    frame = frame.assign(id=range(40), sparse=[1.0, 2.5, *[None] * 38], constant=7)
    frame.to_csv(path, index=False)
    app = looked_into(path)
    unfit = ["id", "sparse", "constant"]
    assert "column id: the number of the row" in texts(app)
    few = width == 3
    columns = multiselect(app, "Columns to cluster by" if few else "Columns to leave out")
    assert columns.value == (["x0", "x1", "x2"] if few else unfit)
    columns.set_value(["x0", "x2"] if few else ["x1", *unfit]).run()
    assert f"40 observations of {width - 1} numbers" in texts(app).replace("**", "")
    columns = multiselect(app, columns.label)
    columns.set_value(["x0", "x2", "id"] if few else ["x1", "sparse", "constant"]).run()
    press(app, "Save as a data set")
    assert own_sets()["points"].shape == (width,)


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_a_file_that_changed_is_read_again(store, tmp_path, kind):
    def write(rows):
        values = np.random.default_rng(0).normal(size=(rows, 2))
        if kind == "npy":
            np.save(path, values)
        else:
            pd.DataFrame(values, columns=["a", "b"]).to_csv(path, index=False)

    path = tmp_path / f"points.{kind}"
    write(40)
    app = looked_into(path)
    assert "40 rows" in texts(app)
    write(50)
    app.run()
    assert "50 rows" in texts(app)
    path.unlink()
    app.run()
    assert "cannot be opened" in texts(app)


def test_first_line_is_a_row_where_it_is_said_to_be(store, tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("1,2\n" + "3,4\n5,7\n" * 10)
    app = looked_into(path)
    (box,) = (one for one in app.checkbox if one.label == "The first line names the columns")
    assert box.value
    assert "20 rows, 2 columns" in texts(app)
    box.uncheck().run()
    assert "21 rows, 2 columns" in texts(app)
    assert multiselect(app, "Columns to cluster by").value == ["column 1", "column 2"]
    press(app, "Save as a data set")
    assert own_sets()["points"].size == 21


@pytest.mark.parametrize("path", ["no", "~nobody-of-this-name/points.csv"])
def test_bad_path_is_one_sentence(store, tmp_path, path):
    app = looked_into(path if path.startswith("~") else tmp_path / path)
    assert "cannot be opened" in texts(app)
    assert not own_sets()


def test_train_offers_settings_that_suit_an_own_set(own):
    app = show("train")
    next(s for s in app.selectbox if s.label == "Data set").select(own).run()
    assert not app.exception
    values = {number.label: number.value for number in app.number_input}
    assert values["Batch size"] == 20
    assert values["Epochs"] == 400
    assert buttons(app) >= {"Start training"}


def test_runs_began_in_the_time_that_their_ids_have(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        run = create_run(store, plan())
        (begun,) = shown(store.table())["Begun"]
    time.tzset()
    assert begun.strftime("%Y%m%d-%H%M%S") == run[:15]


def test_what_a_run_without_verdict_says_is_listed_in_its_place(store):
    run = create_run(store, plan())
    store.update(run, status=Status.FAILED, message="The disk is full.")
    assert shown(store.table())["Verdict"].tolist() == ["The disk is full."]
