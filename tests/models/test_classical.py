"""Tests of k-means and the Gaussian mixture against scikit-learn run to convergence, and scipy."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch.testing import assert_close

from mixviz.data import load

STEPS = 300


@pytest.fixture(scope="module")
def points(arcs):
    """Return 1,500 points of arcs, (1500, 2)."""
    return arcs[:1500]


def converge(model, x, generator):
    """Step until the model says that it has converged; return the terms of every step."""
    history = []
    while not model.converged():
        assert len(history) < STEPS, "it must converge"
        history.append({name: float(v) for name, v in model.training_step(x, generator).items()})
    return history


def scikit_learn_gmm(model, x, **settings):
    """Return scikit-learn's mixture fitted to x from the model's present parameters."""
    covariances = model.covariances.numpy()
    full = model.config.covariance_type == "full"
    mixture = GaussianMixture(
        model.config.components,
        covariance_type=model.config.covariance_type,
        weights_init=model.weights.numpy().copy(),
        means_init=model.means.numpy().copy(),
        precisions_init=np.linalg.inv(covariances) if full else 1 / covariances,
        reg_covar=model.config.regularisation,
        **settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(x.double().numpy())


def joint_densities(model, x):
    """Return pi_c N(x; mu_c, S_c) by scipy, (B, K), from what `components` tells."""
    mixture = model.components()
    covariances = mixture.covariances
    if covariances is None:
        covariances = torch.diag_embed(mixture.variances)
    return np.stack(
        [
            weight.item() * multivariate_normal(mean.numpy(), covariance.numpy()).pdf(x.numpy())
            for mean, covariance, weight in zip(
                mixture.means, covariances, mixture.weights, strict=True
            )
        ],
        axis=1,
    )


@pytest.fixture(params=["full", "diag"])
def gmm(request, make, seeded, points):
    """Return a mixture of five Gaussians at its start on the points."""
    model = make("gmm", components=5, covariance_type=request.param)
    model.prepare(points, seeded(1))
    return model


def test_gmm_steps_are_those_of_scikit_learn(gmm, points, seeded):
    expected = scikit_learn_gmm(gmm, points, max_iter=7, tol=0)
    for _ in range(7):
        gmm.training_step(points, seeded(0))
    for name in ("means", "weights", "covariances"):
        found = getattr(gmm, name).numpy()
        assert found == pytest.approx(getattr(expected, f"{name}_"), rel=1e-6, abs=1e-9)


def test_gmm_reaches_the_fixed_point_of_scikit_learn(gmm, points, seeded):
    expected = scikit_learn_gmm(gmm, points, max_iter=2000, tol=1e-10)
    assert expected.converged_
    converge(gmm, points, seeded(0))
    found = gmm.evaluate_terms(points, seeded(0))["log_likelihood"].item()
    assert found == pytest.approx(expected.score(points.double().numpy()), abs=1e-3)
    assert gmm.means.numpy() == pytest.approx(expected.means_, abs=0.02)
    assert gmm.weights.numpy() == pytest.approx(expected.weights_, abs=0.01)


def test_gmm_likelihood_never_falls(gmm, points, seeded):
    gmm.means.add_(0.3)  # away from its good start
    likelihoods = [step["log_likelihood"] for step in converge(gmm, points, seeded(0))]
    assert likelihoods[-1] > likelihoods[0] + 0.01
    assert min(np.diff(likelihoods)) > -1e-6


def test_gmm_responsibilities_are_bayes_rule(gmm, points, seeded):
    for _ in range(5):
        gmm.training_step(points, seeded(0))
    joint = joint_densities(gmm, points)
    found = gmm.log_responsibilities(points).exp().numpy()
    assert found == pytest.approx(joint / joint.sum(1, keepdims=True), abs=1e-4)
    sklearn = scikit_learn_gmm(gmm, points, max_iter=1, tol=0)
    gmm.training_step(points, seeded(0))
    expected = sklearn.predict_proba(points.double().numpy())
    assert gmm.log_responsibilities(points).exp().numpy() == pytest.approx(expected, abs=1e-6)


def test_gmm_log_density_is_exact_and_integrates_to_one(gmm, points, seeded):
    converge(gmm, points, seeded(0))
    found = gmm.log_density(points, seeded(0))
    assert found.numpy() == pytest.approx(np.log(joint_densities(gmm, points).sum(1)), abs=1e-4)
    terms = gmm.evaluate_terms(points, seeded(0))
    assert found.mean().item() == pytest.approx(terms["log_likelihood"].item(), abs=1e-5)
    side = torch.linspace(-3, 3, 301)
    cell = (side[1] - side[0]).item() ** 2
    grid = torch.cartesian_prod(side, side)
    assert gmm.log_density(grid, seeded(0)).exp().sum().item() * cell == pytest.approx(1, abs=1e-4)


def test_gmm_log_responsibilities_tell_apart_what_rounds_to_one(gmm, points, seeded):
    converge(gmm, points, seeded(0))
    mean = gmm.means[0]
    ray = mean + torch.linspace(1, 50, 20)[:, None] * torch.ones_like(mean)
    found = gmm.log_responsibilities(ray.float())
    assert torch.isfinite(found).all()
    expected = torch.distributions.MultivariateNormal(
        gmm.means,
        gmm.covariances if gmm.config.covariance_type == "full" else gmm.covariances.diag_embed(),
    )
    log_joint = expected.log_prob(ray.float().double()[:, None]) + gmm.weights.log()
    assert_close(found, log_joint.log_softmax(-1).float(), rtol=1e-4, atol=1e-4)


def test_gmm_samples_have_the_moments_of_their_component(gmm, points, seeded):
    converge(gmm, points, seeded(0))
    mixture, n = gmm.components(), 100_000
    for c in range(5):
        covariance = mixture.variances[c].diag()
        if mixture.covariances is not None:
            covariance = mixture.covariances[c].float()
        sample = gmm.sample(torch.full((n,), c), seeded(c))
        error = (covariance.diag() / n).sqrt()
        assert ((sample.mean(0) - mixture.means[c]).abs() < 5 * error).all()
        assert_close(sample.T.cov(), covariance, rtol=0.03, atol=0.03 * covariance.max().item())


def test_gmm_components_are_consistent(gmm, points, seeded):
    gmm.training_step(points, seeded(0))
    mixture = gmm.components()
    assert mixture.weights.sum().item() == pytest.approx(1, abs=1e-6)
    if gmm.config.covariance_type == "full":
        assert torch.equal(mixture.covariances.diagonal(dim1=1, dim2=2).float(), mixture.variances)
        assert mixture.covariances[:, 0, 1].abs().max() > 1e-3
    else:
        assert mixture.covariances is None


def test_gmm_survives_images_with_constant_pixels(make, seeded):
    x = torch.from_numpy(load("digits").x[:500])
    assert (x.flatten(1).std(0) == 0).any()
    model = make("gmm", (1, 8, 8), components=4, regularisation=1e-3)
    model.prepare(x, seeded(1))
    first = model.training_step(x, seeded(0))["log_likelihood"]
    last = model.training_step(x, seeded(0))["log_likelihood"]
    # The floor is added after every step, so it may cost a little.
    assert math.isfinite(first)
    assert last > first - 0.01
    assert model.sample(torch.tensor([0, 3, 3]), seeded(0)).isfinite().all()


@pytest.fixture
def k_means(make, seeded, points):
    """Return k-means with five centres at its start on the points."""
    model = make("k-means", components=5)
    model.prepare(points, seeded(1))
    return model


def test_gmm_takes_the_start_that_ends_best(make, seeded):
    x = torch.rand((300, 2), generator=seeded(4))  # without clusters: starts end apart
    draws = seeded(0)
    seeds = [int(torch.randint(2**31 - 1, (), generator=draws)) for _ in range(6)]
    ends = [GaussianMixture(4, random_state=seed).fit(x.double().numpy()) for seed in seeds]
    likelihoods = [end.lower_bound_ for end in ends]
    assert max(likelihoods) > likelihoods[0] + 1e-3, "else the test says nothing"
    best = make("gmm", (2,), components=4, starts=6)
    best.prepare(x, seeded(0))
    for _ in range(100):
        best.training_step(x, seeded(1))
    found = float(best.evaluate_terms(x, seeded(1))["log_likelihood"])
    assert found >= max(likelihoods) - 5e-3


def test_k_means_starts_at_data_points(k_means, points):
    distances = torch.cdist(k_means.means, points.double())
    assert distances.min(1).values.max() < 1e-6
    assert len(distances.argmin(1).unique()) == 5


def test_k_means_step_is_lloyds(k_means, points, seeded):
    x = points.double()
    nearest = torch.cdist(x, k_means.means).argmin(1)
    expected = torch.stack([x[nearest == c].mean(0) for c in range(5)])
    k_means.training_step(points, seeded(0))
    assert_close(k_means.means, expected)


def test_k_means_reaches_the_fixed_point_of_scikit_learn(k_means, points, seeded):
    start = k_means.means.numpy().copy()
    expected = KMeans(5, init=start, n_init=1, max_iter=1000, tol=0).fit(points.double().numpy())
    history = converge(k_means, points, seeded(0))
    assert k_means.means.numpy() == pytest.approx(expected.cluster_centers_, abs=1e-8)
    assert history[-1]["inertia"] == pytest.approx(expected.inertia_ / len(points))
    assert max(np.diff([step["inertia"] for step in history])) < 1e-12
    hard = k_means.log_responsibilities(points).exp()
    assert hard.argmax(1).tolist() == expected.labels_.tolist()
    assert torch.equal(hard.sort(1).values[:, -2:], torch.tensor([[0.0, 1.0]]).expand(1500, 2))


def test_k_means_components_describe_their_points(k_means, points, seeded):
    converge(k_means, points, seeded(0))
    label = k_means.log_responsibilities(points).argmax(1)
    mixture = k_means.components()
    for c in range(5):
        own = points[label == c]
        assert mixture.weights[c].item() == pytest.approx(len(own) / len(points))
        spread = (own - own.mean(0)).square().mean()
        assert_close(mixture.variances[c], spread.expand(2), rtol=1e-4, atol=0)
        sample = k_means.sample(torch.full((50_000,), c), seeded(c))
        assert_close(sample.T.cov(), spread * torch.eye(2), rtol=0.03, atol=0.03 * spread.item())
        assert_close(sample.mean(0), own.mean(0), rtol=0, atol=5 * (spread / 50_000).sqrt().item())


@pytest.mark.parametrize("name", ["gmm", "k-means"])
def test_the_data_are_their_own_latents(make, points, name):
    model = make(name, components=5)
    mean, log_variance = model.posterior(points)
    assert torch.equal(mean, points)
    assert (log_variance.exp() == 0).all()
    assert torch.equal(model.decode(mean), points)


@pytest.mark.parametrize("name", ["gmm", "k-means"])
def test_the_start_depends_on_the_generator_alone(make, seeded, name):
    # Without clusters, so that two starts do not lead to one place.
    points = torch.rand((1500, 2), generator=seeded(0))
    starts = []
    for seed in (1, 1, 2):
        model = make(name, components=5)
        model.prepare(points, seeded(seed))
        starts.append(model.means)
    assert torch.equal(starts[0], starts[1])
    assert not torch.allclose(starts[0], starts[2], atol=1e-3)
