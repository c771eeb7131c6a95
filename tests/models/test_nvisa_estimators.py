"""Tests of NVIL and VIMCO against the exact gradients of a model small enough to be enumerated."""

import itertools
import math

import pytest
import torch

from mixviz.models.nvisa_estimators import leave_one_out_bound, monte_carlo_bound, nvil, vimco

STATES = 4
DRAWS = 100_000


@pytest.fixture
def p(seeded):
    """Return log p(x, h) of one x for every state h: (STATES,)."""
    return 2 * torch.randn(STATES, generator=seeded(1), dtype=torch.float64)


@pytest.fixture
def logits(seeded):
    """Return the logits of q(h|x): (STATES,)."""
    return torch.randn(STATES, generator=seeded(2), dtype=torch.float64)


def exact_bound(logits, p, samples):
    """E_q[log 1/S sum_s p(x, h_s) / q(h_s|x)] over all tuples of S states; S = 1 is the ELBO."""
    log_q = logits.log_softmax(-1)
    total = 0.0
    for states in itertools.product(range(STATES), repeat=samples):
        chosen = list(states)
        weights = (p[chosen] - log_q[chosen]).exp()
        total = total + log_q[chosen].sum().exp() * weights.mean().log()
    return total


def exact_gradients(logits, p, samples):
    """Gradients of the bound in q's logits and in log p, side by side: (2 STATES,)."""
    logits, p = logits.clone().requires_grad_(), p.clone().requires_grad_()
    return torch.cat(torch.autograd.grad(exact_bound(logits, p, samples), [logits, p]))


def estimates(estimator, logits, p, samples, generator):
    """DRAWS independent estimates of the same gradients: (DRAWS, 2 STATES)."""
    logits = logits.expand(DRAWS, -1).clone().requires_grad_()
    p = p.expand(DRAWS, -1).clone().requires_grad_()
    log_q = logits.log_softmax(-1)
    states = torch.multinomial(log_q.detach().exp(), samples, True, generator=generator)
    log_q = log_q.gather(1, states).T  # (S, DRAWS)
    f = p.gather(1, states).T - log_q
    return torch.cat(torch.autograd.grad(estimator(f, log_q).sum(), [logits, p]), dim=1)


def assert_mean(found, expected):
    """The mean of estimates (N, P) is the expected (P,), within five of its standard errors."""
    errors = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - expected).abs() < 5 * errors + 1e-12).all()
    assert (errors < 0.1 * expected.abs().max()).all(), "the test must be able to tell"


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_vimco_is_unbiased(logits, p, seeded, samples):
    found = estimates(vimco, logits, p, samples, seeded(3))
    assert_mean(found, exact_gradients(logits, p, samples))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("level", [0.0, 1.5])
def test_nvil_is_unbiased_whatever_its_baseline(logits, p, seeded, samples, level):
    def estimator(f, log_q):
        return nvil(f, log_q, torch.full((DRAWS,), level, dtype=torch.float64))

    found = estimates(estimator, logits, p, samples, seeded(3))
    assert_mean(found, exact_gradients(logits, p, 1))


@pytest.mark.parametrize("samples", [2, 5, 15])
def test_vimco_varies_less_than_nvil_at_its_best_baseline(logits, p, seeded, samples):
    best = exact_bound(logits, p, 1).expand(DRAWS)  # E_q[f], where the squared signal is least

    def best_nvil(f, log_q):
        return nvil(f, log_q, best)

    def spread(estimator, samples):
        found = estimates(estimator, logits, p, samples, seeded(3))[:, :STATES]
        return float(found.var(0).sum())

    assert spread(vimco, samples) < 0.9 * spread(best_nvil, samples) < 0.9 * spread(best_nvil, 1)


def test_leave_one_out_is_the_bound_with_one_weight_replaced(seeded):
    f = 3 * torch.randn((4, 6), generator=seeded(1), dtype=torch.float64)
    found = leave_one_out_bound(f)
    assert found.shape == (4, 6)
    for s in range(4):
        for b in range(6):
            others = [float(f[i, b]) for i in range(4) if i != s]
            weights = [math.exp(value) for value in [*others, sum(others) / 3]]
            assert found[s, b].item() == pytest.approx(math.log(sum(weights) / 4), rel=1e-12)


def test_bounds_neither_overflow_nor_vanish():
    f = torch.tensor([[900.0], [-900.0]], dtype=torch.float64, requires_grad=True)
    assert monte_carlo_bound(f).item() == pytest.approx(900 - math.log(2))
    assert leave_one_out_bound(f.detach())[:, 0].tolist() == pytest.approx([-900, 900])
    vimco(f, 0 * f).sum().backward()
    assert f.grad[:, 0].tolist() == pytest.approx([1, 0])


def test_baseline_of_nvil_learns_the_mean_of_f(seeded):
    f = torch.randn((1, 50), generator=seeded(1))
    level = torch.zeros((), requires_grad=True)
    value = nvil(f, torch.zeros_like(f), level.expand(50)).mean()
    (gradient,) = torch.autograd.grad(value, [level])
    assert gradient.item() == pytest.approx(2 * f.mean().item(), rel=1e-5)
