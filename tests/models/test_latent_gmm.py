"""Tests of AE+GMM and VAE+GMM, and of the fits to latents, against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from mixviz.models.latent_fit import FittedMixture, fit_centres, fit_mixture

BOTH = ["ae-gmm", "vae-gmm"]


def trained(make, seeded, arcs, name, epochs=2, **settings):
    """Return a model after some epochs of four steps on 800 points of arcs."""
    model = make(name, components=4, **settings)
    draws = seeded(1)
    model.prepare(arcs[:800], draws)
    model.make_optimizers()
    for epoch in range(1, epochs + 1):
        for batch in arcs[:800].split(200):
            model.training_step(batch, draws)
        model.end_epoch(epoch, arcs[:800], draws)
    return model.eval().requires_grad_(False)


def scikit_learn(model):
    """Return scikit-learn's mixture with the model's parameters."""
    kind = model.config.covariance_type
    mixture = GaussianMixture(model.config.components, covariance_type=kind)
    mixture.means_ = model.means.double().numpy()
    mixture.weights_ = model.weights.double().numpy()
    mixture.covariances_ = model.covariances.double().numpy()
    precisions = 1 / mixture.covariances_ if kind == "diag" else np.linalg.inv(mixture.covariances_)
    root = np.sqrt if kind == "diag" else np.linalg.cholesky
    mixture.precisions_cholesky_ = root(precisions)
    return mixture


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("name", BOTH)
def test_responsibilities_are_those_of_scikit_learn(make, seeded, arcs, name, covariance_type):
    model = trained(make, seeded, arcs, name, covariance_type=covariance_type)
    latents = model.latents(arcs[:500])
    expected = scikit_learn(model).predict_proba(latents.double().numpy())
    assert model.log_responsibilities(arcs[:500]).exp().numpy() == pytest.approx(expected, abs=1e-3)
    assert expected.max(0).min() > 0.5, "every component must be told from the others"


@pytest.mark.parametrize("name", BOTH)
def test_mixture_is_a_fixed_point_on_the_latents(make, seeded, arcs, name):
    model = trained(make, seeded, arcs, name)
    latents = model.latents(arcs[:800]).double().numpy()
    before = scikit_learn(model).score(latents)
    again = fit_mixture(
        latents,
        4,
        random_state=0,
        before=FittedMixture(
            *(v.double().numpy() for v in (model.means, model.covariances, model.weights))
        ),
        full=True,
    )
    assert model.means.numpy() == pytest.approx(again.means, abs=0.1)
    for buffer, value in zip(("means", "covariances", "weights"), again, strict=True):
        getattr(model, buffer).copy_(torch.from_numpy(value))
    assert scikit_learn(model).score(latents) == pytest.approx(before, abs=0.01)


@pytest.mark.parametrize("name", BOTH)
def test_mixture_is_refitted_after_every_epoch_and_not_before(make, seeded, arcs, name):
    model = trained(make, seeded, arcs, name).train().requires_grad_(True)
    before = model.means.clone()
    model.training_step(arcs[:200], seeded(0))
    assert torch.equal(model.means, before)
    model.end_epoch(3, arcs[:800], seeded(0))
    assert not torch.equal(model.means, before)


@pytest.mark.parametrize("name", BOTH)
def test_state_carries_the_mixture(make, seeded, arcs, name):
    model = trained(make, seeded, arcs, name)
    twin = make(name, seed=7, components=4)
    twin.load_state_dict(model.state_dict())
    for each in (model, twin):
        each.end_epoch(5, arcs[:800], seeded(4))
    one, two = model.state_dict(), twin.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@torch.no_grad()
def test_objective_of_the_vae_is_its_bound(make, seeded, arcs):
    model = make("vae-gmm", components=3).double()
    x = arcs[:5].double()
    mean, log_variance = model.posterior(x)
    noise = torch.randn((5, 2), generator=seeded(9), dtype=torch.float64)
    output = model.decoder(mean + noise * (0.5 * log_variance).exp())
    p = Independent(Normal(output[:, :2], (0.5 * output[:, 2:]).exp()), 1)
    q = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    standard = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    objective, terms = model.objective(x, seeded(9))
    assert_close(terms["normal_prior"], kl_divergence(q, standard).mean())
    assert_close(objective, (p.log_prob(x) - kl_divergence(q, standard)).mean())


@torch.no_grad()
def test_objective_of_the_autoencoder_is_a_squared_error(make, seeded, arcs):
    model = make("ae-gmm", components=3)
    x = arcs[:5]
    error = (model.decode(model.posterior(x)[0]) - x).square().sum(1)
    expected = -0.5 * error.mean() - math.log(2 * math.pi)
    assert_close(model.objective(x, seeded(9))[0], expected)
    assert (model.posterior(x)[1].exp() == 0).all()


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_samples_have_the_moments_of_their_component(make, seeded, arcs, covariance_type):
    model = trained(make, seeded, arcs, "vae-gmm", covariance_type=covariance_type)
    mixture = model.components()
    z = model.draw_latents(torch.full((100_000,), 2), seeded(3))
    covariance = mixture.variances[2].diag()
    if mixture.covariances is not None:
        covariance = mixture.covariances[2]
        assert torch.equal(mixture.covariances.diagonal(dim1=1, dim2=2), mixture.variances)
    scale = covariance.diagonal().max().item()
    assert_close(z.T.cov(), covariance, rtol=0.03, atol=0.03 * scale)
    assert_close(z.mean(0), mixture.means[2], rtol=0, atol=0.03 * math.sqrt(scale))


def test_density_of_the_vae_integrates_to_one(make, seeded, arcs):
    model = trained(make, seeded, arcs, "vae-gmm")
    side = torch.linspace(-6, 6, 121)
    cell = (side[1] - side[0]).item() ** 2
    density = model.log_density(torch.cartesian_prod(side, side), seeded(0)).exp()
    assert density.sum().item() * cell == pytest.approx(1, abs=0.02)
    assert trained(make, seeded, arcs, "ae-gmm").log_density(arcs[:3], seeded(0)) is None


@pytest.fixture
def blobs():
    """Return three far blobs of 100 points: (300, 2), and their centres in another order."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.repeat(centres, 100, axis=0) + rng.standard_normal((300, 2))
    return points, centres[[2, 0, 1]]


@pytest.mark.parametrize("restarts", [1, 3])
def test_fits_keep_the_order_of_the_last(blobs, restarts):
    points, before = blobs
    found = fit_centres(points, 3, random_state=1, before=before, restarts=restarts)
    assert found == pytest.approx(before, abs=0.5)
    start = FittedMixture(before, np.ones((3, 2)), np.full(3, 1 / 3))
    mixture = fit_mixture(points, 3, random_state=1, before=start, restarts=restarts)
    assert mixture.means == pytest.approx(before, abs=0.5)
    assert mixture.covariances == pytest.approx(np.ones((3, 2)), abs=0.4)
    assert mixture.weights == pytest.approx(np.full(3, 1 / 3))


def test_fresh_starts_mend_a_bad_last_fit(blobs):
    points, before = blobs
    bad = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0]])
    found = fit_centres(points, 3, random_state=1, before=bad, restarts=5)
    assert sorted(map(tuple, found.round())) == sorted(map(tuple, before))
