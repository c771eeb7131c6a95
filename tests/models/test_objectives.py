"""Tests of the closed-form terms against torch.distributions and plain Monte Carlo."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence
from torch.testing import assert_close

from mixviz.models.objectives import (
    bernoulli_log_prob,
    categorical_entropy,
    categorical_uniform_kl,
    gaussian_kl,
    gaussian_log_prob,
    log_prob_and_kl,
    minimum_information,
    reparameterise,
    standard_normal_kl,
)

MANY = 200_000


def normal(mean, log_variance):
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


@pytest.fixture
def two_gaussians(seeded):
    """Return means and log-variances of two batches of Gaussians, each (4, 3)."""
    return torch.randn((4, 4, 3), generator=seeded(0), dtype=torch.float64).unbind()


def within_standard_error(draws, exact, errors=5):
    """Whether the mean of draws (N, ...) is `exact` (...) up to a few standard errors."""
    error = draws.std(0) / math.sqrt(len(draws))
    return bool(((draws.mean(0) - exact).abs() < errors * error).all())


def test_gaussian_log_prob_is_that_of_torch(two_gaussians):
    mean, log_variance, value, _ = two_gaussians
    expected = normal(mean, log_variance).log_prob(value)
    assert_close(gaussian_log_prob(value, mean, log_variance), expected)


def test_gaussian_kl_is_that_of_torch(two_gaussians):
    mean, log_variance, mean2, log_variance2 = two_gaussians
    expected = kl_divergence(normal(mean, log_variance), normal(mean2, log_variance2))
    assert_close(gaussian_kl(mean, log_variance, mean2, log_variance2), expected)


def test_gaussian_kl_is_an_expected_log_ratio(two_gaussians, seeded):
    mean, log_variance, mean2, log_variance2 = two_gaussians
    value = reparameterise(mean, log_variance, MANY, seeded(1))
    ratio = gaussian_log_prob(value, mean, log_variance) - gaussian_log_prob(
        value, mean2, log_variance2
    )
    assert within_standard_error(ratio, gaussian_kl(mean, log_variance, mean2, log_variance2))


def test_gaussian_kl_broadcasts_over_components(two_gaussians):
    mean, log_variance, means, log_variances = two_gaussians
    pairs = gaussian_kl(mean[:, None], log_variance[:, None], means, log_variances)
    for b in range(4):
        for c in range(4):
            one = kl_divergence(
                normal(mean[b], log_variance[b]), normal(means[c], log_variances[c])
            )
            assert_close(pairs[b, c], one)


def test_log_prob_and_kl_are_those_of_torch_for_all_components(two_gaussians, seeded):
    mean, log_variance, means, log_variances = two_gaussians  # four of each
    z = reparameterise(mean, log_variance, 3, seeded(1))
    shifts = torch.arange(3.0, dtype=torch.float64)[:, None, None, None]
    of_draws = means + shifts + mean[:, None]  # (3, 4, 4, D), other components for every draw
    log_probs, kl = log_prob_and_kl(
        z, mean, log_variance, of_draws, log_variances.expand_as(of_draws)
    )
    assert log_probs.shape == kl.shape == (3, 4, 4)
    for c in range(4):
        component = normal(of_draws[:, :, c], log_variances[c])
        assert_close(log_probs[..., c], component.log_prob(z))
        assert_close(kl[..., c], kl_divergence(normal(mean, log_variance), component))


def test_standard_normal_kl_is_that_of_torch(two_gaussians):
    mean, log_variance, *_ = two_gaussians
    zero = torch.zeros_like(mean)
    expected = kl_divergence(normal(mean, log_variance), normal(zero, zero))
    assert_close(standard_normal_kl(mean, log_variance), expected)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_divergences_are_zero_only_between_equals(seed):
    mean, log_variance = torch.randn(
        (2, 5, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).unbind()
    itself = gaussian_kl(mean, log_variance, mean, log_variance)
    assert_close(itself, torch.zeros_like(itself), atol=1e-12, rtol=0)
    assert (gaussian_kl(mean, log_variance, mean + 0.1, log_variance) > 1e-6).all()
    assert (gaussian_kl(mean, log_variance, mean, log_variance - 0.1) > 1e-6).all()
    assert (standard_normal_kl(mean, log_variance) > 0).all()


def test_bernoulli_log_prob_is_that_of_torch(seeded):
    logits = 3 * torch.randn((6, 4), generator=seeded(0), dtype=torch.float64)
    value = torch.randint(2, (6, 4), generator=seeded(1)).double()
    expected = Bernoulli(logits=logits).log_prob(value).sum(-1)
    assert_close(bernoulli_log_prob(value, logits), expected)


def test_bernoulli_log_prob_of_grey_values_is_linear_in_them(seeded):
    logits = 3 * torch.randn((6, 4), generator=seeded(0), dtype=torch.float64)
    grey = torch.rand((6, 4), generator=seeded(1), dtype=torch.float64)
    p = logits.sigmoid()
    expected = (grey * p.log() + (1 - grey) * (1 - p).log()).sum(-1)
    assert_close(bernoulli_log_prob(grey, logits), expected)


def test_bernoulli_log_prob_survives_extreme_logits():
    logits = torch.tensor([[200.0, -200.0]])
    assert_close(bernoulli_log_prob(torch.tensor([[1.0, 0.0]]), logits), torch.tensor([0.0]))
    assert_close(bernoulli_log_prob(torch.tensor([[0.0, 1.0]]), logits), torch.tensor([-400.0]))


def test_categorical_entropy_is_that_of_torch(seeded):
    log_p = torch.randn((5, 7), generator=seeded(0), dtype=torch.float64).log_softmax(-1)
    assert_close(categorical_entropy(log_p), Categorical(logits=log_p).entropy())


def test_categorical_entropy_with_zero_probabilities():
    log_p = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]]).log()
    expected = torch.tensor([0.0, math.log(2), math.log(3)])
    assert_close(categorical_entropy(log_p), expected)
    assert_close(categorical_uniform_kl(log_p), math.log(3) - expected)


def test_categorical_entropy_has_a_gradient_where_probabilities_underflow():
    logits = torch.tensor([0.0, 0.5, -500.0], requires_grad=True)
    categorical_entropy(logits.log_softmax(-1)).backward()
    p = torch.tensor([0.0, 0.5]).softmax(-1)
    entropy = -(p * p.log()).sum()
    expected = torch.cat([-p * (p.log() + entropy), torch.zeros(1)])
    assert_close(logits.grad, expected)


@given(st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=20))
@settings(deadline=None)
def test_categorical_uniform_kl_lies_between_zero_and_log_k(logits):
    k = len(logits)
    kl = float(categorical_uniform_kl(torch.tensor(logits).log_softmax(-1)))
    assert -1e-5 <= kl <= math.log(k) + 1e-5


def test_categorical_uniform_kl_is_a_divergence(seeded):
    log_p = torch.randn((5, 7), generator=seeded(0), dtype=torch.float64).log_softmax(-1)
    uniform = Categorical(probs=torch.full((5, 7), 1 / 7, dtype=torch.float64))
    assert_close(categorical_uniform_kl(log_p), kl_divergence(Categorical(logits=log_p), uniform))


@pytest.mark.parametrize(("kl", "value", "slope"), [(0.2, 0.5, 0.0), (0.8, 0.8, 1.0)])
def test_minimum_information_is_flat_below_the_floor(kl, value, slope):
    kl = torch.tensor(kl, requires_grad=True)
    term = minimum_information(kl, 0.5)
    term.backward()
    assert term.item() == pytest.approx(value)
    assert float(kl.grad) == slope


def test_reparameterise_has_the_moments_of_the_gaussian(two_gaussians, seeded):
    mean, log_variance, *_ = two_gaussians
    value = reparameterise(mean, log_variance, MANY, seeded(1))
    assert within_standard_error(value, mean)
    assert within_standard_error((value - mean).square(), log_variance.exp())
    standard = (value - mean) * (-0.5 * log_variance).exp()
    assert within_standard_error(standard.pow(4), torch.tensor(3.0))
    assert within_standard_error(standard[:, 0] * standard[:, 1], torch.tensor(0.0))


def test_reparameterise_carries_the_gradient(two_gaussians, seeded):
    mean, log_variance = (t.clone().requires_grad_() for t in two_gaussians[:2])
    value = reparameterise(mean, log_variance, 1, seeded(1))
    value.sum().backward()
    assert_close(mean.grad, torch.ones_like(mean))
    assert_close(log_variance.grad, 0.5 * (value[0] - mean).detach())


def test_reparameterise_draws_from_the_generator_alone(two_gaussians, seeded):
    mean, log_variance, *_ = two_gaussians
    before = torch.get_rng_state()
    one, two, other = (reparameterise(mean, log_variance, 2, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())
