"""Tests of the GMVAE as a density: a linear model solved by hand, bounds, grids and samples."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.testing import assert_close

GMVAES = ["gmvae-v1", "gmvae-v2"]


@pytest.fixture
def linear(make, seeded):
    """Return a function that builds a GMVAE whose p(x) is a Gaussian mixture known exactly.

    Components do not depend on w, and the decoder is linear with a constant variance.
    """

    def made(name, k=3, seed=0, **settings):
        model = make(name, components=k, **settings)
        draws = seeded(seed)
        model.mixture = nn.Linear(2, 4 * k)
        model.decoder = nn.Linear(2, 4)
        with torch.no_grad():
            model.mixture.weight.zero_()
            model.mixture.bias.copy_(torch.randn(4 * k, generator=draws))
            model.decoder.weight.copy_(0.7 * torch.randn((4, 2), generator=draws))
            model.decoder.weight[2:].zero_()
            model.decoder.bias.copy_(torch.tensor([0.3, -0.2, -1.0, -0.5]))
        return model

    return made


def exact_marginals(model):
    """Return p(x | c) of a model from `linear`, a batch of K Gaussians."""
    mixture = model.components()
    slope, offset = model.decoder.weight[:2], model.decoder.bias
    covariances = slope @ torch.diag_embed(mixture.variances) @ slope.T
    return MultivariateNormal(
        mixture.means @ slope.T + offset[:2], covariances + torch.diag(offset[2:].exp())
    )


def exact_log_density(model, x):
    log_joint = exact_marginals(model).log_prob(x[:, None]) - math.log(model.config.components)
    return log_joint.logsumexp(-1)


def naive_density(model, x, draws, generator):
    """Average p(x|z) over ancestral samples, one Gaussian at a time: (mean, standard error)."""
    w = torch.randn((draws, model.style_size), generator=generator)
    c = torch.randint(model.config.components, (draws,), generator=generator)
    means, log_variances = model.mixture_at(w)
    every = torch.arange(draws)
    mean, log_variance = means[every, c], log_variances[every, c]
    z = Normal(mean, (0.5 * log_variance).exp())
    z = z.mean + z.stddev * torch.randn(mean.shape, generator=generator)
    x_mean, x_log_variance = model.decoder(z).split(2, dim=-1)
    p_x = Independent(Normal(x_mean, (0.5 * x_log_variance).exp()), 1)
    density = torch.stack([p_x.log_prob(point).exp() for point in x])  # (N, draws)
    return density.mean(1), density.std(1) / math.sqrt(draws)


def integral(model, low, high, side, generator):
    """Sum the density over the cells of a square grid."""
    edges = torch.linspace(low, high, side + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    grid = torch.cartesian_prod(centres, centres)
    cell = ((high - low) / side) ** 2
    return model.log_density(grid, generator).exp().sum().item() * cell


@torch.no_grad()
@pytest.mark.parametrize("name", GMVAES)
def test_log_density_of_a_linear_model_is_the_exact_mixture(linear, seeded, name):
    model = linear(name)
    x = torch.cat([exact_marginals(model).mean, torch.tensor([[0.0, 0.0], [1.5, -1.0]])])
    # Components share their draws of w, so that each has as many as the naive average.
    found = model.log_density(x, seeded(1), draws=3 * 100_000)
    _, error = naive_density(model, x, 100_000, seeded(2))
    expected = exact_log_density(model, x)
    assert ((found.exp() - expected.exp()).abs() < 5 * error).all()
    # The errors are small enough for the comparison to say something.
    assert (error < 0.02 * expected.exp()).all()


@torch.no_grad()
@pytest.mark.parametrize("name", GMVAES)
def test_log_density_agrees_with_naive_monte_carlo(trained, arcs_test, seeded, name):
    model, x, draws = trained[name], arcs_test[:12], 20_000
    # Components share their draws of w, so that each has as many as the naive average.
    found = model.log_density(x, seeded(1), draws=5 * draws).exp()
    expected, error = naive_density(model, x, draws, seeded(2))
    # They are independent, and the error of the first is not above that of the second.
    assert ((found - expected).abs() < 5 * math.sqrt(2) * error).all()
    assert (error < 0.1 * expected).all()


@torch.no_grad()
@pytest.mark.parametrize("name", GMVAES)
def test_log_density_after_training_integrates_to_one(trained, seeded, name):
    assert integral(trained[name], -3, 3, 100, seeded(1)) == pytest.approx(1, abs=0.02)


@torch.no_grad()
@pytest.mark.parametrize("name", GMVAES)
def test_the_program_knows_where_it_has_no_density(make, seeded, name):
    bernoulli = make(name, (2,), likelihood="bernoulli", components=2)
    assert bernoulli.log_density(torch.rand(3, 2), seeded(0)) is None
    vectors = make(name, (5,), components=2).eval()
    assert vectors.log_density(torch.rand(3, 5), seeded(0)) is None


@torch.no_grad()
@pytest.mark.parametrize("seed", range(5))
def test_plain_version_1_bounds_the_log_density(linear, seeded, seed):
    """With eta = 1 and alpha = 0 the objective is an evidence lower bound, whatever q is."""
    model = linear("gmvae-v1", seed=seed, eta=1, alpha=0, samples=100)
    x = exact_marginals(model).sample((100,)).flatten(0, 1)
    bound = model.evaluate_terms(x, seeded(3))["objective"]
    assert bound < exact_log_density(model, x).mean() - 0.01


@torch.no_grad()
def test_trained_version_1_stays_under_its_log_density(trained, arcs_test, seeded):
    model, x = trained["gmvae-v1"], arcs_test[:1000]
    bound = model.evaluate_terms(x.repeat(50, 1), seeded(3))["objective"].item()
    log_density = model.log_density(x, seeded(4), draws=20_000).mean().item()
    # Both are averages; their common error is well under 0.01.
    assert log_density - 1 < bound < log_density + 0.01


@torch.no_grad()
@pytest.mark.parametrize("name", GMVAES)
def test_the_bound_is_tight_at_the_exact_posterior(linear, seeded, name):
    """One component, a diagonal linear decoder: q(z|x) and q(w|x) can be the exact posteriors."""
    model = linear(name, k=1, samples=100)
    slope = torch.tensor([0.8, -1.3])
    model.decoder.weight[:2] = torch.diag(slope)
    offset, noise = model.decoder.bias[:2], model.decoder.bias[2:].exp()
    mixture = model.components()
    mean, variance = mixture.means[0], mixture.variances[0]
    posterior = 1 / (1 / variance + slope.square() / noise)

    model.trunk = nn.Identity()
    model.streams = nn.Linear(2, model.streams.out_features)
    model.streams.weight.zero_()
    model.streams.bias.zero_()  # q(w|x) = N(0, I), and the head of one component
    model.streams.weight[:2] = torch.diag(posterior * slope / noise)
    model.streams.bias[:2] = posterior * (mean / variance - slope * offset / noise)
    model.streams.bias[2:4] = posterior.log()

    x = torch.tensor([[0.4, -0.9], [2.0, 1.0], [-1.0, 0.5]])
    expected = exact_log_density(model, x)
    for point, value in zip(x, expected, strict=True):
        terms = model.evaluate_terms(point.expand(2000, 2), seeded(1))
        # 200,000 samples of a term whose standard deviation is near 1.
        assert terms["objective"].item() == pytest.approx(value.item(), abs=0.02)
        assert terms["z_prior"].item() == 0
        assert terms["w_prior"].item() == 0


@torch.no_grad()
@pytest.mark.parametrize("name", GMVAES)
def test_samples_have_the_moments_of_their_component(linear, seeded, name):
    model, n = linear(name), 100_000
    mixture, slope = model.components(), model.decoder.weight[:2]
    for c in range(3):
        points = model.sample(torch.full((n,), c), seeded(c))
        mean = slope @ mixture.means[c] + model.decoder.bias[:2]
        covariance = slope @ mixture.variances[c].diag() @ slope.T
        # Samples are means of p(x|z): the decoder's own noise is not in them.
        error = (covariance.diag() / n).sqrt()
        assert ((points.mean(0) - mean).abs() < 5 * error).all()
        assert_close(points.T.cov(), covariance, rtol=0.03, atol=0.005)
