"""Tests of the GMVAE gradients: gate, head, finite differences, Adam, and that training helps."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.testing import assert_close

from mixviz.data import load

GMVAES = ["gmvae-v1", "gmvae-v2"]


@pytest.fixture
def x(seeded):
    """Return a batch (8, 2)."""
    return torch.randn((8, 2), generator=seeded(5), dtype=torch.float64)


def gradients(model, scalar):
    """Return the gradient of a scalar with respect to every parameter."""
    found = torch.autograd.grad(scalar, list(model.parameters()), allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(model.parameters(), found, strict=True)
    ]


def same(one, two):
    """Whether two lists of gradients are equal to the last bit."""
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def objective_gradients(model, x, generator):
    return gradients(model, model.objective(x, generator)[0])


def by_name(model, found):
    return dict(zip(dict(model.named_parameters()), found, strict=True))


def without_z_prior(model, x, generator):
    """Return version 2's objective put together without its z-prior."""
    draws = model.draw(x, model.recognise(x), generator)
    conditional_prior = (draws.log_posterior.exp() * draws.z_kl).sum(-1).mean()
    return draws.reconstruction - conditional_prior - draws.w_prior


def z_prior_of_each(model, x, generator):
    """Return KL( p(c|z,w) || 1/K ) of every sample and observation, (S, B)."""
    log_p = model.draw(x, model.recognise(x), generator).log_posterior
    return (log_p.exp() * (log_p + math.log(model.config.components))).sum(-1)


@pytest.mark.parametrize("samples", [1, 3])
def test_below_the_floor_the_z_prior_gives_no_gradient(smooth, seeded, x, samples):
    model = smooth("gmvae-v2", samples=samples, z_prior_floor=math.log(3) + 1)
    gated = objective_gradients(model, x, seeded(9))
    assert same(gated, gradients(model, without_z_prior(model, x, seeded(9))))
    assert any(g.abs().max() > 0 for g in gated)


@pytest.mark.parametrize("samples", [1, 3])
def test_above_the_floor_the_z_prior_gives_its_full_gradient(smooth, seeded, x, samples):
    model = smooth("gmvae-v2", samples=samples, z_prior_floor=0.05)
    full = without_z_prior(model, x, seeded(9)) - z_prior_of_each(model, x, seeded(9)).mean()
    for found, expected in zip(
        objective_gradients(model, x, seeded(9)), gradients(model, full), strict=True
    ):
        assert_close(found, expected)


def test_the_gate_opens_on_the_batch_mean(smooth, seeded, x):
    model = smooth("gmvae-v2", samples=3)
    each = z_prior_of_each(model, x, seeded(9)).detach()
    mean = float(each.mean())
    assert each.min() < mean - 0.05, "the batch must straddle its mean"
    assert each.max() > mean + 0.05

    open_gate = objective_gradients(model, x, seeded(9))
    model.set_live("z_prior_floor", mean - 1e-6)
    assert same(objective_gradients(model, x, seeded(9)), open_gate)

    model.set_live("z_prior_floor", mean + 1e-6)
    closed = gradients(model, without_z_prior(model, x, seeded(9)))
    assert same(objective_gradients(model, x, seeded(9)), closed)
    assert not same(open_gate, closed)


def test_consistency_violation_does_not_reach_the_head(smooth, seeded, x):
    model = smooth("gmvae-v1", eta=1, alpha=0, samples=3)
    without = by_name(model, objective_gradients(model, x, seeded(9)))
    model.set_live("alpha", 2)
    with_it = by_name(model, objective_gradients(model, x, seeded(9)))
    for name in ("streams.weight", "streams.bias"):
        assert torch.equal(with_it[name][-3:], without[name][-3:])
        assert (with_it[name][:-3] != without[name][:-3]).all()
        assert with_it[name][-3:].abs().min() > 0, "the head must learn from the other terms"


def test_consistency_violation_alone_leaves_the_head_without_gradient(smooth, seeded, x):
    model = smooth("gmvae-v1", samples=3)
    q = model.recognise(x)
    violation = model.bound(x, q, model.draw(x, q, seeded(9)))[3]
    gradient = by_name(model, gradients(model, violation))
    assert (gradient["streams.weight"][-3:] == 0).all()
    assert (gradient["streams.weight"][:-3] != 0).any()


def test_eta_moves_the_head_alone_among_the_streams(smooth, seeded, x):
    model = smooth("gmvae-v1", eta=0, alpha=1, samples=3)
    without = by_name(model, objective_gradients(model, x, seeded(9)))
    model.set_live("eta", 3)
    with_it = by_name(model, objective_gradients(model, x, seeded(9)))
    assert torch.equal(with_it["streams.weight"][:-3], without["streams.weight"][:-3])
    assert (with_it["streams.weight"][-3:] != without["streams.weight"][-3:]).all()
    for name in without:
        if name.startswith(("mixture", "decoder")):
            assert torch.equal(with_it[name], without[name])


@pytest.mark.parametrize(
    ("weight", "term"), [("eta", "z_prior"), ("alpha", "consistency_violation")]
)
def test_a_heavy_weight_makes_its_term_small(make, seeded, arcs, weight, term):
    """From one start, 150 steps with the weight at 10 leave less of the term than with it at 0."""
    left = []
    for value in (0, 10):
        other = {"eta": "alpha", "alpha": "eta"}[weight]
        weights = {weight: value, other: 0}
        model = make("gmvae-v1", components=4, learning_rate=3e-3, **weights)
        model.make_optimizers()
        draws = seeded(1)
        for start in range(0, 15_000, 100):
            start %= len(arcs)
            model.training_step(arcs[start : start + 100], draws)
        with torch.no_grad():
            left.append(float(model.evaluate_terms(arcs[:2000], seeded(2))[term]))
    assert left[1] < 0.5 * left[0]


CASES = [
    ("gmvae-v1", {"eta": 0.6, "alpha": 1.7}),
    ("gmvae-v2", {"z_prior_floor": 0.0}),
    ("gmvae-v2", {"z_prior_floor": 3.0}),
]


class Objective(nn.Module):
    """The objective as a function of the parameters, with the same noise at every call."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.objective(x, torch.Generator().manual_seed(9))[0]


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize(("name", "weights"), CASES)
def test_autograd_agrees_with_finite_differences(smooth, seeded, name, weights, likelihood):
    x = torch.rand((3, 2), generator=seeded(5), dtype=torch.float64)
    module = Objective(smooth(name, likelihood=likelihood, samples=2, units=2, **weights))
    names = [n for n, _ in module.named_parameters()]

    def of_parameters(*values):
        return functional_call(module, dict(zip(names, values, strict=True)), (x,))

    start = tuple(p.detach().clone().requires_grad_() for p in module.parameters())
    assert torch.autograd.gradcheck(of_parameters, start, eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", GMVAES)
def test_training_steps_are_adam_up_the_objective(make, seeded, x, name):
    model, twin = (make(name, components=3, learning_rate=0.01).double() for _ in range(2))
    model.make_optimizers()
    draws, twin_draws = seeded(3), seeded(3)
    first = [torch.zeros_like(p) for p in twin.parameters()]
    second = [torch.zeros_like(p) for p in twin.parameters()]
    for step in (1, 2, 3):
        model.training_step(x, draws)
        ascent = objective_gradients(twin, x, twin_draws)
        with torch.no_grad():
            for p, g, m, v in zip(twin.parameters(), ascent, first, second, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
                p.add_(0.01 * m_hat / (v_hat.sqrt() + 1e-8))
        for (label, found), expected in zip(
            model.named_parameters(), twin.parameters(), strict=True
        ):
            assert_close(found, expected, msg=lambda m, at=(step, label): f"{at}: {m}")


@pytest.mark.parametrize("name", GMVAES)
def test_a_live_learning_rate_reaches_the_next_step(make, seeded, x, name):
    model = make(name, components=3).double()
    model.make_optimizers()
    model.set_live("learning_rate", 1e-4)
    before = [p.detach().clone() for p in model.parameters()]
    model.training_step(x, seeded(3))
    pairs = zip(model.parameters(), before, strict=True)
    moved = max((p - b).abs().max().item() for p, b in pairs)
    # Adam's first step is the learning rate wherever the gradient is not tiny.
    assert moved == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("name", GMVAES)
def test_the_returned_terms_are_those_before_the_step(make, seeded, x, name):
    model = make(name, components=3).double()
    model.make_optimizers()
    expected = model.evaluate_terms(x, seeded(3))
    found = model.training_step(x, seeded(3))
    assert found == expected
    assert not any(value.requires_grad for value in found.values())
    after = model.evaluate_terms(x, seeded(3))
    assert after["objective"] != expected["objective"]


@pytest.mark.parametrize("name", GMVAES)
def test_a_short_training_improves_the_objective_on_arcs(make, seeded, arcs_test, trained, name):
    settings = trained[name].config.model_dump()
    start = make(name, **settings).eval()
    with torch.no_grad():
        before = float(start.evaluate_terms(arcs_test, seeded(2))["objective"])
        after = float(trained[name].evaluate_terms(arcs_test, seeded(2))["objective"])
    assert after > before + 0.5


@pytest.mark.parametrize("name", GMVAES)
def test_training_improves_the_objective_on_small_images(make, seeded, name):
    x = torch.from_numpy(load("digits").x[:400])
    model = make(name, (1, 8, 8), components=5, learning_rate=3e-3)
    model.make_optimizers()
    draws = seeded(1)
    with torch.no_grad():
        before = float(model.eval().evaluate_terms(x, seeded(2))["objective"])
    model.train()
    for _ in range(20):
        for batch in x.split(100):
            model.training_step(batch, draws)
    with torch.no_grad():
        after = float(model.eval().evaluate_terms(x, seeded(2))["objective"])
    # Guessing one half for every pixel gives -64 log 2.
    assert after > max(before, -64 * math.log(2)) + 10
