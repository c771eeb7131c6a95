"""Tests of the pages without a browser: every state of a run, every setting, cards before PyTorch."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from pydantic import BaseModel, Field
from streamlit.testing.v1 import AppTest

from mixviz.data.own import add_file
from mixviz.data.own_prepare import Options
from mixviz.models import MODELS
from mixviz.models.config import bounds
from mixviz.models.gmvae_v2 import GMVAEv2Config
from mixviz.runs import Event, Status
from mixviz.training.config import RunConfig, plan
from mixviz.training.requests import create_run
from mixviz.ui import config_form, setup, steering
from mixviz.ui.cards import thumbnail
from mixviz.ui.config_form import as_number, is_logarithmic, logarithmic_steps
from mixviz.ui.moments import stored_snapshot
from mixviz.ui.plots import floor_history, units_of
from mixviz.ui.runs import literal, shown_on
from tests.app.driver import OUTSIDE, ROOT, SHORT, buttons, show, texts, trained, written

PAGES = ("home", "train", "replay")


@pytest.mark.parametrize("page", PAGES)
def test_empty_store(store, page):
    app = show(page)
    said = texts(app)
    expected = {"home": "form or collapse", "train": "Start a run", "replay": "Choose a run"}
    assert expected[page] in said
    assert "Runs to explore" not in said


@pytest.mark.parametrize("page", PAGES)
def test_unknown_run_in_the_link(store, page):
    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60)
    app.query_params["run"] = "20200101-000000-ffffff"
    app.run()
    if page != "home":
        app.switch_page(f"{page}.py").run()
    assert not app.exception
    assert app.sidebar.selectbox[0].value is None
    expected = {"home": "form or collapse", "train": "Start a run", "replay": "Choose a run"}
    assert expected[page] in texts(app)


@pytest.mark.parametrize("page", ["replay", "explore", "clusters", "generate"])
def test_page_of_a_run_offers_the_runs(store, page):
    run = trained(store)
    app = show(page)
    app.button(key=f"card.{run}").click().run()
    assert app.sidebar.selectbox[0].value == run
    said = texts(app)
    assert "Shown" in said
    assert "Choose a run" not in said


def test_runs_of_one_name_and_second_are_told_apart(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("mixviz.runs.store.time.strftime", lambda _: "20260101-000000-")
        chosen = plan(dataset="arcs", model="gmm", values=SHORT)
        runs = [create_run(store, chosen) for _ in range(3)]
    for run in runs:
        app = show("train", run)
        assert app.sidebar.selectbox[0].value == run
    options = app.sidebar.selectbox[0].options
    assert len(set(options)) == 3
    # First what tells them apart: a long name is cut off at its end.
    assert all(option.startswith("01-01 00:00:00 · ") for option in options)
    app = show("compare", chosen=runs)
    assert next(m for m in app.multiselect if m.label == "Chosen runs").value == runs


@pytest.mark.parametrize("page", PAGES)
def test_finished_run(store, page):
    run = trained(store)
    app = show(page, run)
    assert "Shown" in texts(app)
    if page == "train":
        assert not buttons(app) & {"Pause", "Resume", "Stop"}
        assert store.get(run).verdict in texts(app)
    if page == "replay":
        assert {"Play", "Animation as HTML", "Animation as GIF", "Run as a file"} <= buttons(app)


@pytest.mark.parametrize("page", PAGES)
def test_run_whose_process_died(store, page):
    run = trained(store)
    process = subprocess.Popen(["true"])
    process.wait()
    store.update(run, status=Status.PAUSED, owner="gone", pid=process.pid)
    assert store.get(run).status is Status.INTERRUPTED
    app = show(page, run)
    assert "Shown" in texts(app)
    if page == "train":
        assert "Resume" in buttons(app)
        assert not buttons(app) & {"Pause", "Stop"}


@pytest.mark.parametrize("page", PAGES)
def test_k_means_has_no_z_prior(store, page):
    app = show(page, trained(store, "k-means"))
    assert "Shown" in texts(app)
    assert "**z-prior**" not in texts(app)


def test_colours_by_label_are_offered_where_there_are_labels(store, tmp_path):
    np.save(tmp_path / "unlabelled.npy", np.random.default_rng(0).normal(size=(40, 2)))
    plain = trained(store, "k-means", dataset=add_file(tmp_path / "unlabelled.npy", Options()).name)
    labelled = trained(store, "k-means")

    def offered(app):
        assert not app.exception, app.exception
        return app.segmented_control(key="colour").options

    for page in ("train", "replay"):
        app = show(page, labelled)
        app.segmented_control(key="colour").set_value("Label").run()
        assert "Label" in offered(app)
        app.sidebar.selectbox(key="run").select(plain).run()
        assert offered(app) == ["Component", "Confidence"]
        assert app.segmented_control(key="colour").value == "Component"
    app.multiselect(key="with").select(labelled).run()
    assert "Label" in offered(app)


@pytest.mark.parametrize("page", ["train", "replay"])
def test_a_run_without_its_subsample_is_said(store, page):
    run = trained(store, "k-means")
    (store.folder(run) / "subsample.npz").unlink()
    assert "subsample.npz is missing" in texts(show(page, run))


def test_run_that_converged_early_is_whole(store):
    run = trained(store, "k-means")
    store.update(run, total_steps=100)
    (bar,) = show("train", run).get("progress")
    assert bar.proto.value == 100
    assert "of at most 100" in bar.proto.text


@pytest.mark.parametrize("page", PAGES)
def test_queued_run_without_pictures(store, page):
    run = create_run(store, plan(values=SHORT), "Waiting")
    app = show(page, run)
    assert "Waiting" in texts(app)


def test_a_press_takes_what_is_still_in_a_field_with_it(store, monkeypatch):
    started = []

    class Starts:
        def start(self, chosen):
            started.append(chosen.run.epochs)
            return create_run(store, chosen)

    monkeypatch.setattr(setup, "jobs", Starts)
    app = show("train")
    next(box for box in app.number_input if box.label == "Epochs").set_value(3)
    next(button for button in app.button if button.label == "Start training").click().run()
    assert started == [3]
    (run,) = store.runs()
    assert run.id in str(app.query_params["run"])


def test_two_presses_at_once_are_one(monkeypatch):
    monkeypatch.setattr(setup.st, "session_state", {})
    pressed = [setup._pressed_twice(plan(values={"epochs": epochs})) for epochs in (3, 3, 4, 3)]
    assert pressed == [False, True, False, False]
    monkeypatch.setattr(setup, "_DOUBLE", 0.0)
    assert not setup._pressed_twice(plan(values={"epochs": 3}))


def test_a_failed_run_is_seen_where_it_says_why(store):
    run = create_run(store, plan(values=SHORT))
    store.update(run, status=Status.FAILED, message="The disk is full.")
    assert shown_on(store.get(run)) == "train"
    assert "The disk is full." in texts(show("home"))


@pytest.mark.parametrize(
    ("page", "name"), [("replay", "step"), ("clusters", "k"), ("generate", "samples")]
)
def test_links_with_endless_numbers_are_read(store, page, name):
    run = trained(store)
    show(page, run, **{name: "9" * 5000})


def test_queued_run_is_told_to_stop(store):
    run = create_run(store, plan(values=SHORT))
    store.queue(run)
    app = show("train", run)
    next(button for button in app.button if button.label == "Stop").click().run()
    assert [command.name for command in store.open_commands(run)] == ["stop"]
    assert "The run stops as soon as this can be left" in texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_text_from_outside_is_no_markdown(store, page):
    run = trained(store)
    snapshot = store.snapshot(run, store.snapshot_steps(run)[-1])
    store.write_snapshot(run, dataclasses.replace(snapshot, verdict=OUTSIDE))
    store.update(run, name=OUTSIDE, message=OUTSIDE, status=Status.FAILED)
    app = show(page, run)
    said = written(app)
    assert said.count(r"\!\[x\]\(http\:\/\/host\/p\.png\)") >= 2  # name and verdict
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\$|(?<!\\):blue\[|(?<!\\)<b|\n\\#", said)


def test_no_text_is_changed_but_its_spaces():
    assert literal(" a  b\nc ") == "a b c"
    assert literal("3 components, 1 in use") == r"3 components\, 1 in use"
    assert literal("λ → 1") == "λ → 1"


def test_damaged_run_hides_no_other(store):
    broken, whole = trained(store, name="Broken"), trained(store, name="Whole")
    step = store.snapshot_steps(broken)[-1]
    snapshot = store.snapshot(broken, step)
    for damaged in (
        dataclasses.replace(snapshot, assignments=snapshot.assignments[:-5]),
        dataclasses.replace(snapshot, covariances=snapshot.covariances[:1]),
        None,
    ):
        if damaged is None:
            (store.folder(broken) / "snapshots" / f"{step:09d}.npz").write_bytes(b"PK\x03\x04")
        else:
            store.write_snapshot(broken, damaged)
        app = show("home")
        assert {"Broken", "Whole"} <= set(re.findall(r"\*\*(\w+)\*\*", texts(app)))
    assert list((store.folder(whole) / "thumbnails").iterdir())
    assert not list((store.folder(broken) / "thumbnails").glob("*"))


def test_a_snapshot_that_was_written_again_is_shown_anew(store):
    run = store.get(trained(store))
    step = store.snapshot_steps(run.id)[-1]
    before, picture = stored_snapshot(run.id, step), thumbnail(run, dark=False)
    anew = dataclasses.replace(before, points=-before.points, means=-before.means)
    store.write_snapshot(run.id, anew)
    path = store.folder(run.id) / "snapshots" / f"{step:09d}.npz"
    os.utime(path, (0, 0))  # not within the same tick of the clock
    assert (stored_snapshot(run.id, step).points == anew.points).all()
    assert thumbnail(run, dark=False) != picture


def test_a_run_that_cannot_be_exported_is_said(store, monkeypatch):
    app = show("replay", trained(store))
    monkeypatch.setattr("mixviz.runs.bundle.MAX_BYTES", 0)
    next(button for button in app.button if button.label == "Run as a file").click().run()
    assert not app.exception
    assert "is too large for a bundle." in texts(app)


def test_replay_follows_a_run_whose_snapshots_are_thinned(store):
    run = trained(store)
    app = show("replay", run)
    steps = store.snapshot_steps(run)
    assert len(steps) > 2
    slider = app.select_slider(key="step")
    store.delete_snapshots(run, steps[1:-1])
    slider.set_value(steps[1]).run()
    assert not app.exception, app.exception
    assert app.select_slider(key="step").value == steps[0]
    assert len(app.select_slider(key="step").options) == 2


@pytest.mark.parametrize("page", ["train", "replay"])
def test_snapshot_that_is_gone_for_good_is_said(store, page):
    run = trained(store)
    name = f"{store.snapshot_steps(run)[-1]:09d}.npz"
    (store.folder(run) / "snapshots" / name).unlink()
    assert f"{name} is missing" in texts(show(page, run))


def test_changes_still_to_come_are_not_shown(store):
    run = create_run(store, plan(values=SHORT | {"z_prior_floor": 0.35}), "Resumed")
    for step, value in ((0, 0.7), (500, 1.2)):
        store.send(run, "set", "z_prior_floor", value)
        (command,) = store.open_commands(run)
        store.finish_command(command, run, Event(step, "z_prior_floor", value, 0.35))
    assert show("train", run).slider(key=f"live.{run}.z_prior_floor").value == 0.7
    shown = floor_history(store.get(run), store.events(run, 0))
    assert shown == [(0, 0.35), (0, 0.7)]
    assert len(store.events(run)) == 2


def test_terms_have_the_units_of_their_model(store):
    run = create_run(store, plan(model="k-means", values=SHORT))
    assert units_of(store.get(run)) == "squared distance"
    store.update(run, model="of a later version")
    assert units_of(store.get(run)) == "nats"


CARDS = """
import sys
from mixviz.ui import services
services.warm_up = lambda: None
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("pages/main.py", default_timeout=60).run()
assert not app.exception, app.exception
assert "torch" not in sys.modules, "PyTorch was imported for the cards"
replay = [button for button in app.button if button.label == "Replay"]
print(len(replay), len([c for c in app.caption if "components" in c.value]))
"""


def test_home_shows_cards_before_pytorch_is_imported(tmp_path):
    shipped = len(list((ROOT / "checkpoints").glob("*.mixviz")))
    done = subprocess.run(
        [sys.executable, "-c", CARDS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"MIXVIZ_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cards, verdicts = map(int, done.stdout.split()[-2:])
    assert cards == shipped > 0
    assert verdicts >= shipped


def test_train_is_imported_without_what_only_training_needs():
    """These take longer to import than PyTorch, and the process that trains imports them meanwhile."""
    program = (
        "import sys, mixviz.training.jobs, mixviz.ui.setup, mixviz.ui.live;"
        "needless = {'sklearn', 'lightning_fabric', 'torch._dynamo', 'torchvision'};"
        "sys.exit(', '.join(needless & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_has_a_widget(store, model):
    app = show("train")
    app.selectbox(key="model").select(model).run()
    assert not app.exception
    kinds = (app.selectbox, app.checkbox, app.number_input, app.select_slider)
    labels = {element.label for kind in kinds for element in kind}
    for config in (MODELS[model].Config, RunConfig):
        titles = {field.title or name for name, field in config.model_fields.items()}
        assert titles <= labels, titles - labels


class Bounded(BaseModel):
    free: float = 1.0
    closed: int = Field(3, ge=1, le=9)
    opened: float = Field(0.1, gt=0, le=0.5)
    large: float = Field(30.0, gt=0, le=3600)
    middle: float = Field(2.0, gt=0, le=10)
    from_zero: float = Field(0.0, ge=0, le=1)
    only_positive: float = Field(1e-3, gt=0)


FIELDS = Bounded.model_fields


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("free", (None, None)),
        ("closed", (1, 9)),
        ("opened", (0, 0.5)),
        ("large", (0, 3600)),
        ("from_zero", (0, 1)),
        ("only_positive", (0, None)),
    ],
)
def test_bounds(name, expected):
    assert bounds(FIELDS[name]) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("free", False),
        ("closed", False),
        ("opened", True),
        ("large", True),
        ("middle", False),
        ("from_zero", False),
        ("only_positive", True),
    ],
)
def test_positive_shares_and_large_settings_are_logarithmic(name, expected):
    assert is_logarithmic(FIELDS[name]) is expected


@pytest.mark.parametrize("current", [1e-3, 0.1, 0.00037, 1e-9])
def test_logarithmic_steps_hold_the_current_value_and_the_bound(current):
    field = GMVAEv2Config.model_fields["learning_rate"]
    steps = logarithmic_steps(field, current)
    assert current in steps
    assert steps == sorted(set(steps))
    assert steps[-1] == 0.1
    assert {1e-4, 2e-4, 5e-4, 1e-3} <= set(steps)
    assert all(0 < value <= 0.1 for value in steps)


def test_small_settings_are_shown_and_can_be_stepped(store):
    app = show("train")
    app.selectbox(key="model").select("gmm").run()
    (floor,) = [n for n in app.number_input if n.label == "Covariance floor"]
    assert floor.value == floor.step == 1e-6
    assert floor.proto.format == "%.6g"


def test_small_numbers_are_written_briefly():
    assert [as_number(value) for value in (0.001, 5e-6, 0.1)] == ["0.001", "5e-06", "0.1"]


def test_slider_keeps_what_was_sent_until_the_trainer_takes_it(store, monkeypatch):
    run = create_run(store, plan(values=SHORT | {"z_prior_floor": 0.35}), "Steered")
    key = f"live.{run}.z_prior_floor"
    app = show("train", run)
    app.slider(key=key).set_value(1.2).run()
    assert app.run().slider(key=key).value == 1.2
    with monkeypatch.context() as patched:
        patched.setattr(steering.st, "session_state", {key: 1.2})
        assert not steering.outdated(store.get(run))
        (command,) = store.open_commands(run)
        store.finish_command(command, run, Event(0, "z_prior_floor", 1.2, 0.35))
        assert not steering.outdated(store.get(run))

        store.send(run, "set", "z_prior_floor", 0.9)  # another tab
        (command,) = store.open_commands(run)
        assert not steering.outdated(store.get(run))
        store.finish_command(command, run, Event(0, "z_prior_floor", 0.9, 1.2))
        assert steering.outdated(store.get(run))
    assert app.run().slider(key=key).value == 0.9


@pytest.mark.parametrize("rate", [0.00037, 1e-3])
def test_live_sliders_offer_the_current_value(store, rate):
    values = SHORT | {"learning_rate": rate, "z_prior_floor": 0.35}
    run = create_run(store, plan(values=values), "Live")
    app = show("train", run)
    live = {slider.key: slider for slider in (*app.select_slider, *app.slider)}
    learning_rate = live[f"live.{run}.learning_rate"]
    assert learning_rate.value == rate
    assert as_number(rate) in learning_rate.options
    assert live[f"live.{run}.z_prior_floor"].value == 0.35


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("mpcc", "ema_decay", 0.9999),
        ("mpcc", "prior_weight", 0.01),
        ("amm", "penalty_weight", 0.5),
        ("gmvae-v2", "z_prior_floor", 0.333),
    ],
)
def test_live_settings_between_the_steps_of_a_slider_can_be_restored(store, model, name, value):
    values = {"components": 4, "threads": 1, name: value}
    run = create_run(store, plan(model=model, values=values))
    app = show("train", run)
    box = app.number_input(key=f"live.{run}.{name}")
    assert box.value == value
    assert box.proto.format == "%.6g"
    box.set_value(0.5 * value).run()
    app.number_input(key=f"live.{run}.{name}").set_value(value).run()
    assert not app.exception
    assert [command.value for command in store.open_commands(run)] == [0.5 * value, value]


def test_a_slider_shows_what_lies_between_its_steps(store):
    run = create_run(store, plan(values=SHORT))
    store.send(run, "set", "z_prior_floor", 0.333)
    (command,) = store.open_commands(run)
    store.finish_command(command, run, Event(0, "z_prior_floor", 0.333, 0.0))
    (slider,) = show("train", run).slider
    assert (slider.value, slider.proto.format) == (0.333, "%.6g")


def test_what_cannot_be_timed_says_why(monkeypatch):
    def fail(described):
        raise ValueError("Fitting the mixture failed\nTry a floor.")

    monkeypatch.setattr(config_form, "_timed", fail)
    assert config_form.estimate_text(plan()) == "No estimate: Fitting the mixture failed"


@pytest.mark.parametrize(
    ("init", "ends"), [("random", "in all."), ("umap-gmm", "after clusters have been looked for.")]
)
def test_an_estimate_says_what_it_leaves_out(monkeypatch, init, ends):
    monkeypatch.setattr(config_form, "_timed", lambda described: 30.0)
    text = config_form.estimate_text(plan(values={"init": init, "epochs": 10}))
    assert text.startswith("About 30 s an epoch, 5 min in all")
    assert text.endswith(ends)


def test_a_run_stopped_before_its_first_step_can_begin_again(store):
    run = create_run(store, plan())
    store.update(run, status=Status.STOPPED)
    app = show("train", run)
    assert "before its first step" in texts(app)
    assert "Resume" in buttons(app)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((), ""),
        (("stop",), "stops"),
        (("pause", "checkpoint"), "pauses"),
        (("stop", "pause"), "stops"),
    ],
)
def test_what_waits_for_a_long_task_is_said_beside_it(store, asked, said):
    run = create_run(store, plan())
    store.claim(run, "somebody")
    store.update(run, message="UMAP of 7 observations: 5%")
    for name in asked:
        store.send(run, name)
    shown = texts(show("train", run))
    assert "UMAP of 7 observations: 5%" in shown
    assert ("as soon as this can be left" in shown) is bool(said)
    assert f"The run {said}" in shown or not said
