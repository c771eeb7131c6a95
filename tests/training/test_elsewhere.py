"""Tests of runs that were begun on a machine with other devices than this one."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixviz.errors import MixvizError
from mixviz.models import MODELS
from mixviz.training import device
from mixviz.training.checkpoints import load_state
from mixviz.training.config import RunConfig
from mixviz.training.device import devices_here
from mixviz.training.requests import check, stored_plan
from mixviz.training.saved import evaluate_run, load_run
from tests.training.conftest import Killed, at_call, begin, finish, kill, raising, short_plan

MISSING = "cuda" if torch.backends.mps.is_available() else "mps"  # no machine has both


def from_elsewhere(store, run, devices=1):
    """Make a stored run look as if it had been trained on devices that are not here."""
    config = dict(store.get(run).config)
    config["run"] = config["run"] | {"device": MISSING, "devices": devices}
    store.update(run, config=config)
    file = store.checkpoint_folder(run) / "optimizer.safetensors"
    moments = load_file(file)
    save_file(moments | {"stream": torch.zeros(16, dtype=torch.uint8)}, file)  # as a GPU's is
    return run


@pytest.mark.parametrize("devices", [1, 2])
def test_finished_run_is_scored_without_its_devices(store, devices):
    run = finish(store, begin(store))
    before = evaluate_run(store, run)
    assert evaluate_run(store, from_elsewhere(store, run, devices)) == before


def test_run_goes_on_without_its_devices(store, eager, monkeypatch):
    with monkeypatch.context() as patch:
        at_call(patch, "gmvae-v2", 15, raising(Killed))
        run = begin(store, checkpoint_seconds=1e-6)
        kill(store, run)
    from_elsewhere(store, run)
    at = load_state(store.checkpoint_folder(run))["step"]
    assert 0 < at < 15
    streams = []

    original = MODELS["gmvae-v2"].training_step

    def seen(self, x, generator):
        streams.append(generator.initial_seed())
        return original(self, x, generator)

    monkeypatch.setattr(MODELS["gmvae-v2"], "training_step", seen)
    finish(store, run)
    assert store.get(run).step == 30
    assert store.get(run).config["run"]["device"] == MISSING  # where it was begun it has them again
    # Not the noise of its first steps once more.
    assert len(streams) == 30 - at
    assert set(streams) == {device.stream_seed(0, "noise", at)}


def test_resumed_run_is_checked_with_what_is_here_and_a_new_one_is_refused(store):
    run = from_elsewhere(store, finish(store, begin(store)))
    assert stored_plan(store, run).run.device == "auto"
    check(stored_plan(store, run))
    fresh = begin(store, device=MISSING)
    with pytest.raises(MixvizError, match=f"There is no {MISSING} device"):
        check(stored_plan(store, fresh))
    with pytest.raises(MixvizError, match=f"There is no {MISSING} device"):
        check(short_plan(device=MISSING))


def test_chosen_processor_stays_chosen(store):
    run = finish(store, begin(store, device="cpu"))
    assert load_run(store, run).plan.run.device == stored_plan(store, run).run.device == "cpu"


def test_one_device_does_what_too_few_cannot(monkeypatch):
    def make_fabric(config, on_host=False):
        if config.devices > 1:
            raise MixvizError("There are not so many.")

    monkeypatch.setattr(device, "make_fabric", make_fabric)
    found = devices_here(RunConfig(device="cuda", devices=2, batch_size=50))
    assert found == RunConfig(device="auto", devices=1, batch_size=50)
