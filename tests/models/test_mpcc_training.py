"""Tests of MPCC's iteration: which step moves what, averaging, shared blocks, state, answers."""

from copy import deepcopy

import pytest
import torch
from torch.testing import assert_close

from mixviz.models.networks.mpcc import ConditionalBatchNorm

NAMES = ["mpcc", "aim"]
CASES = {
    "points": ((2,), {}),
    "digits": ((1, 8, 8), {"width": 1}),
    "digits, shared latent": ((1, 8, 8), {"width": 1, "conditioning": "shared"}),
    "digits, split latent": ((1, 8, 8), {"width": 1, "conditioning": "split"}),
    "digits, dense": ((1, 8, 8), {"width": 2, "network": "dense"}),
    "encoder on its own": ((1, 8, 8), {"width": 1, "share_blocks": False}),
}


@pytest.fixture(params=CASES)
def case(request):
    """Return a shape and settings."""
    return CASES[request.param]


@pytest.fixture
def begin(make):
    """Return a function that builds a model ready to train."""

    def begun(name="mpcc", shape=(2,), seed=0, **settings):
        model = make(name, shape, seed, **{"components": 3, "standing_passes": 3} | settings)
        model.train()
        model.make_optimizers()
        return model

    return begun


def data(seeded, shape=(2,), count=40):
    return torch.rand((count, *shape), generator=seeded(1))


def moments(model):
    """Return how many steps each optimiser has taken."""
    return {
        name: {int(state["step"]) for state in optimizer.state.values()}
        for name, optimizer in model.optimizers().items()
    }


def values(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(("d_steps", "e_steps"), [(4, 4), (2, 3), (1, 1)])
def test_an_iteration_takes_the_steps_of_algorithm_1(begin, seeded, d_steps, e_steps):
    model = begin(d_steps=d_steps, e_steps=e_steps)
    for iteration in (1, 2):
        model.training_step(data(seeded), seeded(iteration))
        assert moments(model) == {
            "discriminator": {d_steps * iteration},
            "generator": {iteration},
            "encoder": {e_steps * iteration},
            "prior": {iteration},
        }
    assert int(model.iterations) == 2


def test_one_standard_normal_takes_no_step(begin, seeded):
    model = begin("aim")
    before = model.prior.means.clone()
    terms = model.training_step(data(seeded), seeded(1))
    assert moments(model) == {"discriminator": {4}, "generator": {1}, "encoder": {4}}
    assert torch.equal(model.prior.means, before)
    assert set(terms) == {"discriminator_loss", "generator_loss", "latent_reconstruction"}


def test_every_discriminator_step_sees_its_own_part_of_the_batch(begin, seeded):
    model = begin(d_steps=4)
    seen = []
    loss = model.discriminator_loss
    model.discriminator_loss = lambda x, generator: (seen.append(x), loss(x, generator))[1]
    x = data(seeded)
    model.training_step(x, seeded(2))
    assert [len(part) for part in seen] == [10] * 4
    assert torch.equal(torch.cat(seen), x)


def test_a_batch_smaller_than_the_steps_is_used_again(begin, seeded):
    terms = begin(d_steps=4).training_step(data(seeded, count=3), seeded(2))
    assert all(value.isfinite() for value in terms.values())


def owners(model):
    return {
        name: {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, optimizer in model.optimizers().items()
    }


def test_encoder_and_discriminator_train_the_same_blocks(begin, seeded):
    model = begin(shape=(1, 8, 8), width=1)
    shared = {id(p) for p in model.shared.parameters()}
    owned = owners(model)
    assert shared
    assert owned["discriminator"] & owned["encoder"] == shared
    assert owned["generator"] & owned["prior"] == {id(p) for p in model.prior.parameters()}
    assert set().union(*owned.values()) == {id(p) for p in model.parameters()}
    for names in (("discriminator",), ("encoder",)):
        before = [p.clone() for p in model.shared.parameters()]
        z, c = model.draw(5, seeded(1))
        x = data(seeded, (1, 8, 8), 5)
        loss = (
            model.discriminator_loss(x, seeded(1))
            if "discriminator" in names
            else model.latent_loss(z.detach(), c)
        )
        model._descend(loss, *names)
        after = list(model.shared.parameters())
        assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_encoder_on_its_own_shares_nothing(begin, seeded):
    model = begin(shape=(1, 8, 8), width=1, share_blocks=False)
    owned = owners(model)
    assert not owned["discriminator"] & owned["encoder"]
    assert len(list(model.own.parameters())) == len(list(model.shared.parameters()))


def test_no_two_tensors_share_their_storage(begin, case):
    shape, settings = case
    state = begin(shape=shape, **settings).state_dict()
    assert len({value.untyped_storage().data_ptr() for value in state.values()}) == len(state)


def test_the_averaged_generator_is_the_average_by_hand(begin, seeded):
    model = begin(ema_start=2, ema_decay=0.9)
    expected = None
    for iteration in (1, 2, 3, 4):
        model.training_step(data(seeded), seeded(iteration))
        weights = {name: p.detach().clone() for name, p in model.generator.named_parameters()}
        if iteration < 2:
            expected = weights
        else:
            expected = {n: 0.9 * expected[n] + 0.1 * weights[n] for n in weights}
        found = model.average.state_dict()
        for name in weights:
            assert_close(found[name], expected[name])
            assert torch.equal(found[name], weights[name]) == (iteration < 2)
        for name, value in model.generator.named_buffers():
            assert torch.equal(found[name], value)


def test_the_averaged_generator_is_no_parameter_and_is_the_one_that_answers(begin, seeded):
    model = begin(ema_start=0, ema_decay=0.5)
    model.training_step(data(seeded), seeded(1))
    assert not list(model.average.parameters())
    model.eval()
    z, c = torch.randn((4, 2), generator=seeded(2)), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        before = model.decode(z, c)
        for parameter in model.generator.parameters():
            parameter.add_(1)
        assert torch.equal(model.decode(z, c), before)
        model.average.entry.weight.add_(torch.rand(model.average.entry.weight.shape))
        model.eval()
        assert not torch.equal(model.decode(z, c), before)


@torch.no_grad()
def test_standing_statistics_are_means_over_the_passes(begin, seeded):
    model = begin(shape=(1, 8, 8), width=1).eval()
    c = torch.tensor([2, 0, 1])
    model.decode(model.standing_noise[0, :3], c)
    norms = [m for m in model.average.modules() if isinstance(m, ConditionalBatchNorm)]
    assert all(norm.standing is not None for norm in norms)
    means, variances = [], []
    for index in range(3):
        turn = (torch.arange(50) + 50 * index) % 3
        z = model.prior.means[turn] + model.prior.deviations()[turn] * model.standing_noise[index]
        h = model.average.entry(z).unflatten(1, (-1, 4, 4))
        means.append(h.mean((0, 2, 3)))
        variances.append(h.var((0, 2, 3), correction=0))
    mean, variance = norms[0].standing
    assert_close(mean, torch.stack(means).mean(0))
    assert_close(variance, torch.stack(variances).mean(0))
    model.train()
    assert all(norm.standing is None for norm in norms)


@torch.no_grad()
def test_what_is_decoded_does_not_depend_on_its_batch(begin, seeded, case):
    shape, settings = case
    model = begin(shape=shape, **settings).eval()
    z = torch.randn((6, model.latent_size), generator=seeded(1))
    c = torch.tensor([0, 1, 2, 0, 1, 2])
    parts = torch.cat([model.decode(z[:2], c[:2]), model.decode(z[2:], c[2:])])
    assert_close(model.decode(z, c), parts, rtol=1e-4, atol=1e-5)
    most_probable = model.prior.log_posterior(z).argmax(1)
    assert torch.equal(model.decode(z), model.decode(z, most_probable))


def answer(model, x, seeded):
    """Ask for everything a snapshot shows."""
    with torch.no_grad():
        model.eval()
        z, log_responsibilities = model.encode(x)
        model.decode(z, log_responsibilities.argmax(1))
        model.sample(torch.tensor([0, 1, 2]), seeded(1))
        model.evaluate_terms(x, seeded(2))
        model.evaluate_terms(x[:1], seeded(2))
        model.components()
        model.train()


@pytest.mark.parametrize("name", NAMES)
def test_snapshots_change_no_state_and_no_later_step(begin, seeded, case, name):
    shape, settings = case
    watched, alone = (begin(name, shape, **settings) for _ in range(2))
    x = data(seeded, shape)
    for iteration in range(3):
        before = values(watched)
        answer(watched, x, seeded)
        assert all(torch.equal(before[k], v) for k, v in watched.state_dict().items())
        first = watched.training_step(x, seeded(iteration))
        assert alone.training_step(x, seeded(iteration)) == first
    last = values(alone)
    assert all(torch.equal(last[k], v) for k, v in watched.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_state_restores_the_next_step_to_the_same_bits(begin, seeded, case, name):
    shape, settings = case
    model = begin(name, shape, ema_start=2, **settings)
    x = data(seeded, shape)
    for iteration in range(3):
        model.training_step(x, seeded(iteration))
    twin = begin(name, shape, seed=5, ema_start=2, **settings)
    twin.load_state_dict(values(model))
    for key, optimizer in twin.optimizers().items():
        optimizer.load_state_dict(deepcopy(model.optimizers()[key].state_dict()))
    assert twin.training_step(x, seeded(9)) == model.training_step(x, seeded(9))
    one, two = model.state_dict(), twin.state_dict()
    assert any(key.endswith(".left") for key in one)
    assert all(torch.equal(one[key], two[key]) for key in one)
    z = torch.randn((4, model.latent_size), generator=seeded(3))
    with torch.no_grad():
        assert torch.equal(model.eval().decode(z), twin.eval().decode(z))


@torch.no_grad()
def test_loaded_weights_have_their_own_standing_statistics(begin, seeded):
    one, other = (begin(seed=seed).eval() for seed in (0, 1))
    z = torch.randn((4, 2), generator=seeded(3))
    assert not torch.equal(one.decode(z), other.decode(z))
    one.load_state_dict(other.state_dict())
    assert torch.equal(one.decode(z), other.decode(z))


def test_live_settings_reach_their_optimisers(begin):
    model = begin()
    model.set_live("prior_learning_rate", 0.03)
    model.set_live("learning_rate", 0.02)
    model.set_live("prior_weight", 0.5)
    rates = {n: o.param_groups[0]["lr"] for n, o in model.optimizers().items()}
    assert rates == {"discriminator": 0.02, "generator": 0.02, "encoder": 0.02, "prior": 0.03}
    assert model.config.prior_weight == 0.5


def test_learning_rates_are_halved_by_epochs_and_again_after_a_restart(begin, seeded):
    model = begin(halve_every=2, learning_rate=0.08, prior_learning_rate=0.04)

    def rates(model):
        return {o.param_groups[0]["lr"] for o in model.optimizers().values()}

    found = []
    for epoch in (1, 2, 3, 4):
        model.end_epoch(epoch, data(seeded), seeded(0))
        found.append(rates(model))
    assert found == [{0.08, 0.04}, {0.04, 0.02}, {0.04, 0.02}, {0.02, 0.01}]
    twin = begin(halve_every=2, learning_rate=0.08, prior_learning_rate=0.04)
    twin.load_state_dict(values(model))
    assert rates(twin) == {0.02, 0.01}
    twin.set_live("learning_rate", 0.1)
    assert rates(twin) == {0.025, 0.01}


def test_components_separate_while_a_fast_prior_trains(begin, seeded, arcs):
    """The cross-entropy of c given z falls, as it must before the generator has learned."""
    model = begin(components=5, prior_learning_rate=0.05, width=2)
    model.prepare(arcs, seeded(0))
    draws = seeded(1)
    losses = [float(model.training_step(arcs[:80], draws)["cross_entropy"]) for _ in range(60)]
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])
