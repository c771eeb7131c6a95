"""Tests that a run which was stopped or killed ends in the bits of one that was not."""

import random
import shutil
import time

import numpy as np
import pytest
from safetensors.torch import load_file

from mixviz.models import MODELS, clusters
from mixviz.runs import Event, RunStore, Status
from mixviz.runs.bundle import export_run, import_run
from mixviz.training import loop, snapshots, trainer
from mixviz.training.trainer import Trainer
from tests.training.conftest import (
    Killed,
    assert_same_training,
    at_call,
    begin,
    bits,
    finish,
    kill,
    raising,
)

CASES = {
    **{name: {"model": name, "epochs": 2} for name in MODELS},
    "samm": {"model": "samm", "epochs": 2, "components": 5},  # arcs have five classes
    "two discriminators": {
        **{"model": "samm", "epochs": 2, "components": 5},
        **{"own_discriminator": True, "halve_every": 1},
    },
    "two samples": {"model": "gmvae-v2", "samples": 2},
    "batch normalisation": {"model": "gmvae-v2", "dataset": "digits", "batch_size": 300},
    "head and batch normalisation": {"model": "gmvae-v1", "dataset": "digits", "batch_size": 400},
    "convolutions": {"model": "mpcc", "dataset": "digits", "batch_size": 400},
    "free nats": {"model": "gmvae-v2", "z_prior_floor": 1.0, "component_spread": 1.0},
    "taught": {"model": "nvisa", "init": "umap-gmm", "teacher_epochs": 2},
    "taught from codes": {
        **{"model": "gmvae-v2", "dataset": "digits", "batch_size": 400, "network": "small"},
        **{"init": "ae-umap-gmm", "pretrain_epochs": 1, "teacher_epochs": 2},
    },
    "taught game": {"model": "amm", "init": "umap-gmm", "teacher_epochs": 2},
    "game taught codes": {
        **{"model": "amm", "dataset": "digits", "batch_size": 500, "epochs": 2},
        **{"init": "ae-gmm", "pretrain_epochs": 1, "teacher_epochs": 2},
    },
    "taught generator": {"model": "mpcc", "epochs": 2, "init": "umap-gmm", "teacher_epochs": 2},
    "taught images": {
        **{"model": "vade", "dataset": "digits", "batch_size": 400, "teacher_augment": True},
        **{"init": "ae-umap-gmm", "pretrain_epochs": 1, "teacher_epochs": 2},
    },
}


@pytest.fixture(autouse=True)
def unmapped(monkeypatch):
    """Clusters of a start are looked for among the points themselves, which takes no time."""
    monkeypatch.setattr(
        clusters,
        "fit_map",
        lambda method, points, settings, count, progress: (points[:, :count], None),
    )


def commands_at(store, run, commands):
    """Return a progress function that sends `commands`, by step, when their step is reached."""
    waiting = dict(commands)

    def progress(step, total, terms):
        for due in [s for s in waiting if s <= step]:
            store.send(run, *waiting.pop(due))

    return progress


@pytest.mark.parametrize("case", CASES)
def test_stopped_twice_and_resumed_gives_the_same_bits(store, eager, case):
    full_batch = MODELS[CASES[case]["model"]].full_batch
    values = CASES[case] | ({"epochs": 8} if full_batch else {})
    undisturbed = finish(store, begin(store, **values))
    steps = store.get(undisturbed).step
    assert steps > 2
    seed = random.randrange(10**6)
    stops = sorted(random.Random(seed).sample(range(1, steps), 2))
    print(f"random seed {seed}: stopped at {stops}")

    run = begin(store, **values)
    for step in stops:
        stopped = Trainer(store, run, commands_at(store, run, {step: ("stop",)})).train()
        assert (stopped, store.get(run).step) == (Status.STOPPED, step)
        assert bits(store, run) != bits(store, undisturbed)
    finish(store, run)
    assert_same_training(store, run, undisturbed)
    assert [step for step, _, _ in store.terms(run)] == list(range(1, steps + 1))
    for score in ("terms", "accuracy", "nmi", "effective_components"):
        assert store.get(run).result[score] == store.get(undisturbed).result[score]


def test_more_epochs_go_on_where_the_run_ended(store):
    whole = finish(store, begin(store, epochs=3))
    run = finish(store, begin(store, epochs=2))
    config = store.get(run).config
    config["run"]["epochs"] = 3
    store.update(run, config=config)
    assert_same_training(store, finish(store, run), whole)


def test_carrying_on_what_has_ended_keeps_all_it_needs_to_be_trained_for_longer(store):
    """Neither the moments of the optimiser nor the noise stream begin anew."""
    whole = finish(store, begin(store, epochs=3))
    run = finish(store, begin(store, epochs=2))
    before = bits(store, run)
    finish(store, run)
    assert bits(store, run) == before
    config = store.get(run).config
    config["run"]["epochs"] = 3
    store.update(run, config=config)
    assert_same_training(store, finish(store, run), whole)


def test_rows_are_means_of_their_steps_and_survive_a_stop(store, eager, monkeypatch):
    every = store.terms(finish(store, begin(store)))
    monkeypatch.setattr(loop, "ROWS", 5)
    run = begin(store)
    assert Trainer(store, run, commands_at(store, run, {12: ("stop",)})).train() == "stopped"
    rows = store.terms(finish(store, run))
    assert [step for step, _, _ in rows] == [6, 12, 18, 24, 30]
    for step, _, terms in rows:
        for name, value in terms.items():
            mean = sum(row[name] for s, _, row in every if step - 6 < s <= step) / 6
            assert value == pytest.approx(mean, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("commands", [{}, {11: ("checkpoint",)}])
def test_killed_run_goes_back_to_its_checkpoint(store, eager, monkeypatch, commands):
    undisturbed = finish(store, begin(store))
    run = begin(store)
    with monkeypatch.context() as patch:
        at_call(patch, "gmvae-v2", 18, raising(Killed()))
        kill(store, run, commands_at(store, run, commands))
    assert store.get(run).step == 17
    assert_same_training(store, finish(store, run), undisturbed)


def test_no_row_is_lost_between_a_checkpoint_and_the_next_heartbeat(store, monkeypatch):
    undisturbed = finish(store, begin(store))
    monkeypatch.setattr(trainer, "POLL", 1e9)
    run = begin(store, checkpoint_seconds=1e-6)
    with monkeypatch.context() as patch:
        at_call(patch, "gmvae-v2", 18, raising(Killed()))
        kill(store, run)
    finish(store, run)
    assert store.terms(run) == store.terms(undisturbed)


def test_live_change_after_the_last_checkpoint_is_made_again(store, eager, monkeypatch):
    changes = {
        6: ("set", "z_prior_floor", 0.5),
        9: ("checkpoint",),
        13: ("set", "z_prior_floor", 1.5),
        15: ("set", "learning_rate", 0.01),
    }
    plain = finish(store, begin(store))
    undisturbed = begin(store)
    finish(store, undisturbed, commands_at(store, undisturbed, changes))
    assert bits(store, undisturbed) != bits(store, plain)

    run = begin(store)
    with monkeypatch.context() as patch:
        at_call(patch, "gmvae-v2", 21, raising(Killed()))
        kill(store, run, commands_at(store, run, changes))
    finish(store, run)
    assert_same_training(store, run, undisturbed)
    assert store.events(run) == [
        Event(6, "z_prior_floor", 0.5, 0.0),
        Event(13, "z_prior_floor", 1.5, 0.5),
        Event(15, "learning_rate", 0.01, 0.001),
    ]


def test_live_change_before_the_last_checkpoint_holds_after_a_kill(store, eager, monkeypatch):
    changes = {5: ("set", "learning_rate", 0.01), 9: ("checkpoint",)}
    undisturbed = begin(store)
    finish(store, undisturbed, commands_at(store, undisturbed, changes))
    run = begin(store)
    with monkeypatch.context() as patch:
        at_call(patch, "gmvae-v2", 14, raising(Killed()))
        kill(store, run, commands_at(store, run, changes))
    assert_same_training(store, finish(store, run), undisturbed)


def test_change_out_of_bounds_is_refused_and_changes_nothing(store, eager):
    plain = finish(store, begin(store))
    run = begin(store)
    finish(store, run, commands_at(store, run, {5: ("set", "z_prior_floor", 9.0)}))
    assert_same_training(store, run, plain)
    assert store.events(run) == []
    assert store.open_commands(run) == []


def test_steps_until_convergence_are_all_in_the_curve(store):
    every = finish(store, begin(store, "k-means", epochs=500))
    few = finish(store, begin(store, "k-means", epochs=10_000))
    steps = store.get(every).step
    assert 3 < steps < 500
    assert [step for step, _, _ in store.terms(every)] == list(range(1, steps + 1))
    assert store.get(few).step == steps
    assert store.terms(few)[-1][0] == steps


@pytest.mark.parametrize("processors", [1, 2])
@pytest.mark.parametrize("case", ["gmvae-v2", "batch normalisation"])
def test_snapshots_do_not_change_training(store, monkeypatch, case, processors):
    monkeypatch.setattr(snapshots, "PROCESSORS", processors)
    runs = []
    for due in (True, False):
        monkeypatch.setattr(snapshots.SnapshotClock, "due", lambda *_, due=due: due)
        runs.append(finish(store, begin(store, **CASES[case])))
    watched, unwatched = (len(store.snapshot_steps(run)) for run in runs)
    assert unwatched == 2
    if processors == 1:
        assert watched == store.get(runs[0]).step + 1
    else:  # beside the training, as many as there is time for
        assert watched > unwatched
    assert_same_training(store, *runs)


def test_a_snapshot_beside_the_training_shows_the_step_at_which_it_was_due(
    store, monkeypatch, eager
):
    """The weights move on while it is taken; a live setting has moved before."""
    taken = snapshots.Observer.snapshot

    def late(*arguments):
        time.sleep(0.2)
        return taken(*arguments)

    monkeypatch.setattr(snapshots.Observer, "snapshot", late)
    monkeypatch.setattr(snapshots.SnapshotClock, "due", lambda self, step, *_: step == 7)
    runs = []
    for processors in (1, 2):
        monkeypatch.setattr(snapshots, "PROCESSORS", processors)
        run = begin(store, "gmvae-v2")
        runs.append(finish(store, run, commands_at(store, run, {5: ("set", "z_prior_floor", 2.0)})))
        assert [event.step for event in store.events(run)] == [5]
    between, beside = (store.snapshot(run, 7) for run in runs)
    assert between.terms["z_prior"] < 2
    for name, value in vars(between).items():
        if name != "seconds":
            np.testing.assert_array_equal(value, getattr(beside, name), err_msg=name)


def test_a_snapshot_beside_the_training_that_fails_ends_the_run(store, monkeypatch):
    monkeypatch.setattr(snapshots, "PROCESSORS", 2)
    monkeypatch.setattr(snapshots.SnapshotClock, "due", lambda self, step, *_: step == 7)
    taken = snapshots.Observer.snapshot

    def broken(self, model, step, *arguments):
        if step == 7:
            raise snapshots.Diverged("a latent was not finite")
        return taken(self, model, step, *arguments)

    monkeypatch.setattr(snapshots.Observer, "snapshot", broken)
    run = begin(store, "gmvae-v2")
    assert Trainer(store, run).train() is Status.DIVERGED
    assert store.get(run).message == "a latent was not finite"
    assert store.snapshot_steps(run) == [0]


@pytest.mark.parametrize("model", ["gmvae-v2", "dec", "k-means"])
def test_finished_run_from_a_file_is_scored_again_without_its_moments(store, tmp_path, model):
    run = finish(store, begin(store, model))
    export_run(store, run, tmp_path / "run.mixviz")
    other = RunStore(tmp_path / "other")
    import_run(other, tmp_path / "run.mixviz")
    assert not (other.checkpoint_folder(run) / "optimizer.safetensors").exists()
    finish(other, run)
    assert other.get(run).result["accuracy"] == store.get(run).result["accuracy"]
    weights = [load_file(s.checkpoint_folder(run) / "model.safetensors") for s in (store, other)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def killed(*_):
    """Die in place of what this is put for."""
    raise Killed


def test_shared_run_killed_while_it_is_scored_again_loses_nothing(store, tmp_path, monkeypatch):
    run = finish(store, begin(store))
    export_run(store, run, tmp_path / "run.mixviz")
    other, third = RunStore(tmp_path / "other"), RunStore(tmp_path / "third")
    import_run(other, tmp_path / "run.mixviz")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "evaluate", killed)
        kill(other, run)
    assert other.get(run).result == store.get(run).result
    export_run(other, run, tmp_path / "again.mixviz")
    import_run(third, tmp_path / "again.mixviz")
    finish(third, run)
    assert third.get(run).result["accuracy"] == store.get(run).result["accuracy"]


def test_scores_are_of_the_step_that_was_scored(store, eager):
    run = finish(store, begin(store, epochs=2))
    config = store.get(run).config
    config["run"]["epochs"] = 3
    store.update(run, config=config)
    assert Trainer(store, run, lambda *_: store.send(run, "stop")).train() is Status.STOPPED
    assert store.get(run).step > 20
    assert store.get(run).result == {}


def test_run_begun_anew_has_no_scores_of_before(store, monkeypatch):
    run = finish(store, begin(store))
    shutil.rmtree(store.checkpoint_folder(run))
    monkeypatch.setattr(MODELS["gmvae-v2"], "prepare", killed)
    kill(store, run)
    assert store.get(run).result == {}
