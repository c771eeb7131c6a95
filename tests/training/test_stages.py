"""Tests of what the trainer does for models that train in stages or see some labels."""

import pytest
import torch

from mixviz.data import load
from mixviz.models import MODELS
from mixviz.models.gmvae_v2 import GMVAEv2, GMVAEv2Config
from mixviz.training.checkpoints import has_checkpoint
from mixviz.training.trainer import Trainer
from tests.training.conftest import assert_same_training, begin, finish


class StagedConfig(GMVAEv2Config):
    labelled: int = 25
    labelled_choice: str = "shares"


class Staged(GMVAEv2):
    """Adds noise to a buffer between epochs, and names its terms after the stage."""

    Config = StagedConfig
    semi_supervised = True

    def __init__(self, config, shape, generator):
        super().__init__(config, shape, generator)
        self.register_buffer("ended", torch.zeros(10))
        self.seen = []

    def supervise(self, x, labels):
        self.labelled = (x, labels)

    def end_epoch(self, epoch, x, generator):
        assert x.shape == (10_000, 2)
        self.seen.append(epoch)
        self.ended[epoch] += torch.randn((), generator=generator)

    def training_step(self, x, generator):
        terms = super().training_step(x, generator)
        return {"loss": terms["objective"]} if self.ended.count_nonzero() == 1 else terms


@pytest.fixture(autouse=True)
def staged(monkeypatch):
    monkeypatch.setitem(MODELS, "staged", Staged)


def test_end_epoch_comes_after_every_epoch_and_resumes_to_the_same_bits(store, eager):
    undisturbed = begin(store, "staged")
    trainer = Trainer(store, undisturbed)
    assert trainer.train() == "finished"
    assert trainer.model.seen == [1, 2, 3]
    assert trainer.model.ended.count_nonzero() == 3

    run = begin(store, "staged")
    stop = {10: ("stop",), 17: ("stop",)}
    for step in list(stop):
        trainer = Trainer(
            store, run, lambda at, total, terms, due=step: at >= due and store.send(run, "stop")
        )
        assert (trainer.train(), store.get(run).step) == ("stopped", step)
    assert_same_training(store, finish(store, run), undisturbed)


def test_terms_are_those_of_the_stage(store, eager):
    rows = store.terms(finish(store, begin(store, "staged")))
    assert {step for step, _, terms in rows if set(terms) == {"loss"}} == set(range(11, 21))


def test_a_row_over_two_stages_has_the_terms_of_the_later(store, eager, monkeypatch):
    monkeypatch.setattr("mixviz.training.loop.ROWS", 5)
    rows = store.terms(finish(store, begin(store, "staged")))
    assert [(step, "loss" in terms) for step, _, terms in rows] == [
        (6, False), (12, True), (18, True), (24, False), (30, False),
    ]  # fmt: skip


def test_labelled_observations_are_the_only_ones_whose_labels_are_shown(store):
    run = begin(store, "staged")
    trainer = Trainer(store, run)
    trainer.train()
    x, labels = trainer.model.labelled
    assert len(labels) == 25 and set(labels.tolist()) == set(range(5))
    arcs = load("arcs")
    rows = {tuple(point): label for point, label in zip(arcs.x, arcs.labels, strict=True)}
    assert [rows[tuple(point)] for point in x.numpy()] == labels.tolist()


def test_trained_and_scored_on_all(store):
    run = finish(store, begin(store, split="all"))
    assert store.get(run).result["split"] == "all"


def test_what_takes_long_between_steps_is_shown_until_it_is_over(store, monkeypatch):
    said, update = [], store.update

    def told(run, **values):
        if "message" in values:
            said.append(values["message"])
        update(run, **values)

    def mapped(self, x, generator):
        self.report("UMAP of 7 observations", 0.25)
        self.report("UMAP of 7 observations", 0.5)  # too soon to be written again

    monkeypatch.setattr(store, "update", told)
    monkeypatch.setattr(Staged, "prepare", mapped)
    Trainer(store, begin(store, "staged")).train()
    assert said == ["UMAP of 7 observations: 25%", ""]


def test_a_task_that_is_done_is_not_thrown_away_by_a_stop(store, eager, monkeypatch):
    def long(self, x, generator):
        store.send(run, "stop")
        self.report("UMAP of 7 observations", 1.0)

    run = begin(store, "staged")
    monkeypatch.setattr(Staged, "prepare", long)
    assert Trainer(store, run).train() == "stopped"
    assert has_checkpoint(store.checkpoint_folder(run))


def test_a_task_of_a_run_that_another_process_took_is_left(store, monkeypatch):
    def long(self, x, generator):
        store.update(run, owner="another")
        self.report("UMAP of 7 observations", 0.5)
        raise AssertionError("it went on")

    run = begin(store, "staged")
    monkeypatch.setattr(Staged, "prepare", long)
    assert Trainer(store, run).train() == "running"
    assert not store.get(run).message


@pytest.mark.parametrize("task", ["prepare", "end_epoch"])
def test_a_stop_is_obeyed_in_what_takes_long_between_steps(store, eager, monkeypatch, task):
    undisturbed = finish(store, begin(store, "staged"))
    run, whole = begin(store, "staged"), getattr(Staged, task)

    def long(self, *arguments):
        whole(self, *arguments)
        store.send(run, "set", "learning_rate", 1e-3)
        store.send(run, "stop")
        self.report("UMAP of 7 observations", 0.5)
        raise AssertionError("it went on")

    with monkeypatch.context() as patched:
        patched.setattr(Staged, task, long)
        assert Trainer(store, run).train() == "stopped"
    assert store.get(run).message == ""
    assert [command.name for command in store.open_commands(run)] == ["set"]
    assert_same_training(store, finish(store, run), undisturbed)
