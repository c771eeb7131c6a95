"""Tests of what every model of the registry promises: randomness, distributions, interface."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mixviz.data import SOURCES
from mixviz.errors import MixvizError
from mixviz.models import MODELS, model_class, preset, presets


@pytest.fixture(params=MODELS)
def name(request):
    """Every model."""
    return request.param


@pytest.fixture
def x(arcs):
    """Return points of arcs, (200, 2)."""
    return arcs[:200]


def stepped(make, seeded, x, name, seed=0, steps=3):
    """Return a model after a few steps on x, everything drawn from one seed, and its last terms."""
    model = make(name, seed=seed, components=4)
    model.prepare(x, seeded(seed))
    model.make_optimizers()
    draws = seeded(seed)
    for _ in range(steps):
        terms = model.training_step(x, draws)
    return model, terms


def evaluated(make, seeded, x, name):
    """Return a model after a few steps, as it is when it answers."""
    return stepped(make, seeded, x, name)[0].eval().requires_grad_(False)


def numpy_state():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return kind, keys.tolist(), *rest


def test_global_random_numbers_are_left_alone(make, seeded, x, name):
    torch_before, numpy_before = torch.get_rng_state(), numpy_state()
    model, _ = stepped(make, seeded, x, name)
    model.sample(torch.tensor([0, 3, 3]), seeded(0))
    model.log_density(x[:3], seeded(0))
    model.evaluate_terms(x, seeded(0))
    assert torch.equal(torch_before, torch.get_rng_state())
    assert numpy_before == numpy_state()


def test_same_seed_same_bits(make, seeded, x, name):
    torch.manual_seed(1)
    first, first_terms = stepped(make, seeded, x, name)
    torch.manual_seed(2)
    again, again_terms = stepped(make, seeded, x, name)
    other, _ = stepped(make, seeded, x, name, seed=1)
    one, two, three = (model.state_dict() for model in (first, again, other))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], three[key]) for key in one)
    assert first_terms == again_terms


def test_randomness_of_answers_comes_from_the_generator(make, seeded, x, name):
    model = evaluated(make, seeded, x, name)
    c = torch.tensor([1, 0, 1, 3])
    assert torch.equal(model.sample(c, seeded(1)), model.sample(c, seeded(1)))
    assert not torch.equal(model.sample(c, seeded(1)), model.sample(c, seeded(2)))
    assert model.evaluate_terms(x, seeded(1)) == model.evaluate_terms(x, seeded(1))


def test_terms_are_named_finite_and_detached(make, seeded, x, name):
    _, terms = stepped(make, seeded, x, name)
    # VaDE's pretraining trains no variance of q(z|x), on which this term depends.
    left_out = {"vade": "conditional_prior"}.get(name)
    assert tuple(terms) == tuple(t for t in model_class(name).terms if t != left_out)
    for value in terms.values():
        assert value.shape == ()
        assert value.isfinite()
        assert not value.requires_grad


def test_responsibilities_and_weights_are_distributions(make, seeded, x, name):
    model = evaluated(make, seeded, x, name)
    responsibilities = model.log_responsibilities(x).exp()
    assert responsibilities.shape == (200, 4)
    assert responsibilities.min() >= 0
    assert_close(responsibilities.sum(1), torch.ones(200))
    mixture = model.components()
    assert mixture.weights.sum().item() == pytest.approx(1, abs=1e-6)
    assert (mixture.variances > 0).all()


def test_encode_is_the_posterior_mean_and_the_responsibilities(make, seeded, x, name):
    model = evaluated(make, seeded, x, name)
    mean, log_responsibilities = model.encode(x)
    assert torch.equal(mean, model.posterior(x)[0])
    assert torch.equal(log_responsibilities, model.log_responsibilities(x))


def test_evaluation_changes_nothing(make, seeded, x, name):
    model = evaluated(make, seeded, x, name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.evaluate_terms(x, seeded(1))
    model.log_responsibilities(x)
    model.posterior(x)
    model.log_density(x, seeded(1))
    model.sample(torch.tensor([0, 1]), seeded(1))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@torch.no_grad()
def test_answers_in_evaluation_do_not_depend_on_the_batch(make, seeded, name):
    model = make(name, (1, 8, 8), components=3)
    x = torch.rand((60, 1, 8, 8), generator=seeded(1))
    model.prepare(x, seeded(1))
    model.eval()
    whole = model.log_responsibilities(x)
    parts = torch.cat([model.log_responsibilities(part) for part in x.split(7)])
    assert_close(whole, parts, rtol=1e-4, atol=1e-4)
    means = torch.cat([model.posterior(part)[0] for part in x.split(7)])
    assert_close(model.posterior(x)[0], means, rtol=1e-4, atol=1e-4)


def test_state_carries_the_whole_model(make, seeded, x, name):
    model, _ = stepped(make, seeded, x, name)
    twin = make(name, seed=7, components=4)
    twin.load_state_dict(model.state_dict())
    twin.make_optimizers()
    for key, optimizer in twin.optimizers().items():
        optimizer.load_state_dict(deepcopy(model.optimizers()[key].state_dict()))
    expected = model.training_step(x, seeded(4))
    assert twin.training_step(x, seeded(4)) == expected
    one, two = model.state_dict(), twin.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


LIKELIHOODS = [name for name in MODELS if "likelihood" in model_class(name).Config.model_fields]


@pytest.mark.parametrize("value", [-0.01, 1.01])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_bernoulli_likelihoods_refuse_values_outside_the_unit_interval(make, seeded, name, value):
    model = make(name, likelihood="bernoulli", components=2)
    inside = torch.rand((50, 2), generator=seeded(0))
    model.prepare(inside, seeded(0))
    inside[-1, -1] = value
    with pytest.raises(MixvizError, match="likelihood=gaussian"):
        model.prepare(inside, seeded(0))


def test_unknown_names_are_answered_with_the_choices():
    with pytest.raises(MixvizError, match="gmvae-v3") as caught:
        model_class("gmvae-v3")
    assert all(name in str(caught.value) for name in MODELS)
    with pytest.raises(MixvizError, match="nothing") as caught:
        preset("nothing")
    assert all(name in str(caught.value) for name in presets())


def test_presets_have_their_own_names_and_known_data():
    assert len(presets()) == sum(len(cls.presets) for cls in MODELS.values())
    for name, (model, found) in presets().items():
        assert preset(name) == (model, found)
        assert found.dataset in SOURCES


def test_a_count_on_the_device_is_read_once_until_it_changes(make, seeded, x, monkeypatch):
    """Reading waits for a GPU, and schedules ask in every step."""
    model = make("nvisa", pretrain_epochs=1, components=4).train()
    model.prepare(x, seeded(0))
    model.make_optimizers()
    read = []
    original = torch.Tensor.__int__
    monkeypatch.setattr(torch.Tensor, "__int__", lambda self: read.append(self) or original(self))
    for _ in range(4):
        model.training_step(x, seeded(1))
    assert len(read) == 1 and model.epochs_over == 0
    model.end_epoch(1, x, seeded(2))
    assert model.epochs_over == 1 and not model.pretraining
    copied = deepcopy(model)
    model.load_state_dict(model.state_dict() | {"epochs": torch.tensor(5)})
    assert (model.epochs_over, copied.epochs_over) == (5, 1)
    assert model.to(torch.float64).epochs_over == 5
