"""A store, and a run in it that has a bit of everything."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from mixviz.runs import Event, RunStore, Snapshot, Status, Subsample


def make_snapshot(step=0, points=6, components=3, **changes):
    rng = np.random.default_rng(step)
    values = {
        "step": step,
        "epoch": step / 10,
        "seconds": step / 4,
        "terms": {"elbo": -1.5 - step, "z_prior": 0.25},
        "metrics": {"effective_components": 2.5, "dead_components": 0.0},
        "verdict": f"verdict at {step}",
        "plane": "pca",
        "points": rng.normal(size=(points, 2)).astype(np.float32),
        "assignments": rng.integers(components, size=points).astype(np.int16),
        "confidences": rng.random(points, dtype=np.float32),
        "means": rng.normal(size=(components, 2)),
        "covariances": rng.normal(size=(components, 2, 2)),
        "weights": np.full(components, 1 / components),
        "usage": rng.random(components, dtype=np.float32),
        "overlap": rng.random((components, components), dtype=np.float32),
        "samples": rng.integers(256, size=(components, 2, 1, 8, 8)).astype(np.uint8),
        "reconstructions": rng.integers(256, size=(2, 1, 8, 8)).astype(np.uint8),
        "density": rng.random((4, 4), dtype=np.float32),
        "density_extent": np.array([-1, 1, -2, 2], np.float32),
    }
    return Snapshot(**(values | changes))


def make_config(**settings):
    settings = {"components": 3, "eta": 0.5} | settings
    return {"dataset": "digits", "model": "gmvae-v1", "settings": settings, "run": {"epochs": 4}}


def make_subsample(points=6):
    rng = np.random.default_rng(1)
    return Subsample(
        indices=np.arange(points),
        labels=rng.integers(3, size=points),
        inputs=rng.integers(256, size=(2, 1, 8, 8)).astype(np.uint8),
        points=rng.normal(size=(points, 2)).astype(np.float32),
        label_names=("nought", "one", "zwölf"),
        split="test",
    )


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "home")


@pytest.fixture
def run(store):
    """Id of a finished run with three snapshots, two changes of a live field and a checkpoint."""
    run = store.create(
        model="gmvae-v1",
        dataset="digits",
        config=make_config(),
        name="A run",
        total_steps=40,
        steps_per_epoch=10,
    )
    store.claim(run, "trainer")
    rows = [(step, step / 10, {"elbo": -3.25 * step}) for step in range(1, 21)]
    store.beat(run, "trainer", step=20, seconds=5.5, samples_per_second=100.25, rows=rows)
    store.write_subsample(run, make_subsample())
    for step in (0, 10, 20):
        store.write_snapshot(run, make_snapshot(step))
    for value in (0.25, 0.125):
        store.send(run, "set", "eta", value)
        (command,) = [c for c in store.open_commands(run) if c.value == value]
        store.finish_command(command, run, Event(int(value * 40), "eta", value, 0.5))
    folder = store.checkpoint_folder(run)
    folder.mkdir()
    weights = {"encoder.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    save_file(weights, folder / "model.safetensors")
    save_file({"adam.0.step": np.float32([20])}, folder / "optimizer.safetensors")
    (folder / "state.json").write_text('{"step": 20, "seconds": 5.5, "live": {"eta": 0.125}}')
    store.update(
        run,
        status=Status.FINISHED,
        owner="",
        result={"accuracy": {"hungarian": 0.875}, "split": "test"},
    )
    return run
