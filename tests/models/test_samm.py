"""Tests of the SAMM: its labelled game, the class frequencies, and the labels it never sees."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mixviz.data import Dataset, labelled_subset, load
from mixviz.errors import MixvizError
from mixviz.runs import RunStore, Status
from mixviz.training import config, loop, requests, trainer
from mixviz.training.config import plan
from mixviz.training.device import stream_seed

IMAGE = (1, 8, 8)
LABELS = torch.tensor([0, 0, 0, 1, 2])


@pytest.fixture(params=["z_given_c", "c_given_z"])
def factorisation(request):
    """Both factorisations of the inference distribution."""
    return request.param


@pytest.fixture
def x(seeded):
    """Return grey images, (40, 1, 8, 8)."""
    return torch.rand((40, *IMAGE), generator=seeded(5))


@pytest.fixture
def bare(make, factorisation):
    """Return a SAMM without labelled observations."""
    settings = {"weight_deviation": 0.1, "factorisation": factorisation}
    return make("samm", IMAGE, components=3, **settings).train()


@pytest.fixture
def model(bare, seeded):
    """Return a SAMM with five labelled images."""
    bare.supervise(torch.rand((5, *IMAGE), generator=seeded(6)), LABELS)
    return bare


@pytest.fixture
def own(make, seeded, factorisation):
    """Return a SAMM whose labelled game has a discriminator of its own."""
    settings = {"weight_deviation": 0.1, "factorisation": factorisation}
    made = make("samm", IMAGE, components=3, own_discriminator=True, **settings).train()
    made.supervise(torch.rand((5, *IMAGE), generator=seeded(6)), LABELS)
    return made


def test_class_frequencies_are_those_of_the_labelled(model, seeded):
    assert model.class_frequencies.tolist() == pytest.approx([3 / 5, 1 / 5, 1 / 5])
    assert torch.equal(model.components().weights, model.class_frequencies)
    share = model.synthesis(20_000, seeded(1)).c.mean(0)
    assert_close(share, model.class_frequencies, atol=0.015, rtol=0)


def test_only_class_frequencies_of_the_labelled_are_stored(model, bare):
    assert not {"labelled_x", "labels"} & set(model.state_dict())
    assert "class_frequencies" in model.state_dict()


def test_more_classes_than_components_are_refused(bare):
    with pytest.raises(MixvizError, match="set components=5 or more") as caught:
        bare.supervise(torch.rand(2, *IMAGE), torch.tensor([0, 4]))
    assert "\n" not in str(caught.value)


def test_the_labelled_game_has_the_labelled_and_their_classes(model, seeded, x):
    unlabelled, labelled = model.games(x, seeded(1))
    assert torch.equal(unlabelled.q.x, x)
    assert [len(joint.x) for joint in (*unlabelled[:2], *labelled[:2])] == [40] * 4
    for image, c in zip(labelled.q.x, labelled.q.c, strict=True):
        (at,) = (model.labelled_x == image).all((1, 2, 3)).nonzero()
        assert c.tolist() == torch.eye(3)[LABELS[at[0]]].tolist()
    assert len(labelled.q.x.unique(dim=0)) == 5, "all labelled observations are drawn"


def test_losses_are_those_of_algorithm_2(model, seeded, x):
    model.eval()
    _, _, terms = model.play(x, seeded(7))
    expected = {"discriminator_loss": 0.0, "generator_loss": 0.0, "encoder_loss": 0.0}
    for q, p, discriminator in model.games(x, seeded(7)):
        rho_q, rho_p = (discriminator(*joint, None).sigmoid() for joint in (q, p))
        expected["discriminator_loss"] -= rho_q.log().sum() / 80
        expected["discriminator_loss"] -= (1 - rho_p).log().sum() / 80
        expected["generator_loss"] -= rho_p.log().sum() / 80
        expected["encoder_loss"] -= (1 - rho_q).log().sum() / 80
    for name, value in expected.items():
        assert_close(terms[name], value.detach())


def test_each_game_has_the_discriminator_asked_for(model, own, seeded, x):
    shared = [game.discriminator for game in model.games(x, seeded(1))]
    assert shared == [model.discriminator] * 2
    first, second = (game.discriminator for game in own.games(x, seeded(1)))
    assert (first, second) == (own.discriminator, own.labelled_discriminator)
    assert not torch.equal(first.output.map.weight, second.output.map.weight)


def test_a_discriminator_learns_from_its_own_game_alone(own, seeded, x):
    unlabelled, labelled = own.games(x, seeded(1))
    for game, other in ((unlabelled, labelled), (labelled, unlabelled)):
        own.zero_grad()
        own._values(game, seeded(2))[0].backward()
        assert all(p.grad.abs().sum() > 0 for p in game.discriminator.parameters())
        assert all(p.grad is None for p in other.discriminator.parameters())
    before = {name: value.clone() for name, value in own.named_parameters()}
    own.make_optimizers()
    own.training_step(x, seeded(3))
    moved = {name for name, value in own.named_parameters() if not torch.equal(value, before[name])}
    for player in ("discriminator.", "labelled_discriminator."):
        assert any(name.startswith(player) for name in moved)


def test_labelled_z_depends_on_the_class(model, seeded, x):
    model.eval()
    zeros = torch.zeros(40, dtype=torch.int64)
    one, same, other = (
        model.labelled_inference(x, labels, seeded(1)).z for labels in (zeros, zeros, zeros + 1)
    )
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_labelled_game_does_not_move_the_column_of_c(model, seeded, x):
    labels = torch.randint(3, (40,), generator=seeded(2))
    model.labelled_inference(x, labels, seeded(1)).z.sum().backward()
    columns = model.encoder.columns
    mine = ("follow", "lead") if model.z_given_c else ("lead", "follow")
    for name, parameter in columns.named_parameters():
        assert (parameter.grad is not None) == name.startswith(mine[0]), name
    assert model.encoder.c_head.weight.grad is None
    assert model.encoder.z_head.weight.grad is not None
    assert model.encoder.embedding.weight.grad.abs().sum() > 0


def test_without_labelled_observations_the_game_is_the_amms(bare, make, seeded, x, factorisation):
    settings = {"weight_deviation": 0.1, "factorisation": "z_given_c"}
    if factorisation != "z_given_c":
        settings["factorisation"] = factorisation
    amm = make("amm", IMAGE, components=3, **settings).train()
    weights = bare.state_dict()
    amm.load_state_dict({name: weights[name] for name in amm.state_dict()})
    for model in (amm, bare):
        model.make_optimizers()
    assert bare.training_step(x, seeded(1)) == amm.training_step(x, seeded(1))
    weights = bare.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in amm.state_dict().items())


# ---- labels that it must not see -----------------------------------------------------------


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Return a function that trains a SAMM on digits with such labels, and gives its weights."""
    data = load("digits", "train")

    def train(name: str, poison, shift: int = 0, **settings) -> dict[str, bytes]:
        def read(*_) -> Dataset:
            return data.__class__(**{**vars(data), "labels": poison})

        def subset(given: Dataset, count: int, seed: int, choice: str) -> Dataset:
            # By shares the choice itself depends on the labels: it is that of the true ones.
            chosen = labelled_subset(given if choice == "random" else data, count, seed, choice)
            labels = (chosen.labels + shift) % 10
            return chosen.__class__(**{**vars(chosen), "labels": labels})

        monkeypatch.setattr(config, "load", read)
        monkeypatch.setattr(loop, "labelled_subset", subset)
        store = RunStore(tmp_path / name)
        values = {"components": 10, "labelled": 40, "epochs": 1, "batch_size": 300} | settings
        run = requests.create_run(store, plan(dataset="digits", model="samm", values=values))
        assert trainer.Trainer(store, run).train() is Status.FINISHED
        folder = store.checkpoint_folder(run)
        files = ("model.safetensors", "optimizer.safetensors")
        return {file: (folder / file).read_bytes() for file in files}

    return train


def test_no_label_outside_the_subset_is_seen(trained):
    truth = load("digits", "train").labels
    poisoned = (truth * 7 + 3) % 10
    clean = trained("clean", truth)
    assert trained("poisoned", poisoned) == clean
    assert trained("shifted", truth, shift=1) != clean, "labels of the subset must matter"


def test_nor_does_a_random_choice_see_one(trained):
    """Not even the choice of the subset: all labels but those of the chosen are poisoned."""
    data = load("digits", "train")
    seed = stream_seed(0, "labels")
    chosen = {tuple(x.ravel()) for x in labelled_subset(data, 40, seed, "random").x}
    outside = [tuple(x.ravel()) not in chosen for x in data.x]
    assert sum(outside) == len(data) - 40
    poisoned = np.where(outside, 3, data.labels)
    clean = trained("clean", data.labels, labelled_choice="random")
    assert trained("poisoned", poisoned, labelled_choice="random") == clean
    assert trained("shares", data.labels) != clean
