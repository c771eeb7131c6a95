"""Tests of MPCC's three losses and its prior against loops, scipy and torch.distributions."""

import math

import pytest
import torch
from scipy.stats import norm
from torch.distributions import Normal
from torch.testing import assert_close

NAMES = ["mpcc", "aim"]


@pytest.fixture
def model(make):
    """Return a small dense MPCC in double precision whose components differ."""
    return varied(make("mpcc", (3,), components=4, latent_size=2, width=2).double().eval())


@torch.no_grad()
def varied(model):
    """Give the prior means and spreads that differ."""
    draws = torch.Generator().manual_seed(3)
    for value in model.prior.parameters():
        value.copy_(torch.randn(value.shape, generator=draws, dtype=value.dtype))
    return model


def latents(model, seeded, count=6):
    """Return z (count, D), not from the prior, and components (count,)."""
    z = 2 * torch.randn((count, model.latent_size), generator=seeded(5), dtype=torch.float64)
    return z, torch.randint(model.config.components, (count,), generator=seeded(6))


def joint(model, z):
    """N(z; mu_c, s_c^2) of one z under each component."""
    means, deviations = model.prior.means.detach(), model.prior.deviations().detach()
    return [
        math.prod(norm.pdf(z.numpy(), mean.numpy(), deviation.numpy()))
        for mean, deviation in zip(means, deviations, strict=True)
    ]


@torch.no_grad()
def test_membership_is_bayes_rule(model, seeded):
    z, _ = latents(model, seeded)
    found = model.prior.log_posterior(z).exp()
    for i in range(len(z)):
        densities = joint(model, z[i])
        assert found[i].tolist() == pytest.approx([d / sum(densities) for d in densities])
    assert found.std() > 0.1, "the components must differ for the test to say anything"


@torch.no_grad()
def test_observations_belong_to_the_component_of_their_latent_mean(model, seeded):
    x = torch.randn((5, 3), generator=seeded(1), dtype=torch.float64)
    mean, _ = model.posterior(x)
    found = model.log_responsibilities(x).argmax(1)
    expected = [max(range(4), key=joint(model, z).__getitem__) for z in mean]
    assert found.tolist() == expected


@torch.no_grad()
def test_one_standard_normal_tells_no_components_apart(make, seeded):
    model = make("aim", (3,), components=4, latent_size=2).eval()
    found = model.log_responsibilities(torch.randn((5, 3), generator=seeded(1))).exp()
    assert_close(found, torch.full((5, 4), 0.25))
    mixture = make("aim", (3,)).components()
    assert mixture.means.tolist() == [[0.0] * 12]
    assert mixture.variances.tolist() == [[1.0] * 12]
    c = torch.tensor([0, 1, 2, 3])
    z = torch.ones((4, 2))
    assert (model.decode(z, c) == model.decode(z, 0 * c)).all()


@torch.no_grad()
def test_cross_entropy_is_of_the_component_that_was_drawn(model, seeded):
    z, c = latents(model, seeded)
    expected = 0.0
    for i in range(len(z)):
        densities = joint(model, z[i])
        expected -= math.log(densities[c[i]] / sum(densities)) / len(z)
    assert float(model.cross_entropy(z, c)) == pytest.approx(expected)


def test_draws_are_reparameterised(model, seeded):
    c = torch.tensor([2, 0, 2])
    z = model.prior.draw(c, seeded(7))
    noise = torch.randn((3, 2), generator=seeded(7), dtype=torch.float64)
    deviations = (model.prior.spreads / 2).exp() + 0.5
    assert_close(z, model.prior.means[c] + deviations[c] * noise)
    (slope,) = torch.autograd.grad(z.sum(), model.prior.means)
    assert slope.tolist() == [[1, 1], [0, 0], [2, 2], [0, 0]]


def test_loss_3_is_the_closed_form(model):
    deviations = model.prior.deviations()
    found = model.prior.negative_entropy()
    by_hand = -0.5 * (1 + torch.log(2 * torch.pi * deviations**2)).mean()
    assert_close(found, by_hand)
    assert_close(found, -Normal(0, deviations).entropy().mean())


def test_loss_3_is_the_expected_log_density(model, seeded):
    c = torch.arange(4).repeat_interleave(50_000)
    with torch.no_grad():
        z = model.prior.draw(c, seeded(2))
        logs = Normal(model.prior.means[c], model.prior.deviations()[c]).log_prob(z)
        error = logs.std() / math.sqrt(logs.numel())
        assert abs(logs.mean() - model.prior.negative_entropy()) < 4 * error


def test_descent_of_loss_3_widens_every_component_and_moves_none(model):
    before = model.prior.deviations().detach()
    optimizer = torch.optim.SGD(model.prior.parameters(), lr=1.0)
    model.prior.negative_entropy().backward()
    assert model.prior.means.grad is None
    optimizer.step()
    assert (model.prior.deviations() > before).all()


def test_prior_weighs_its_entropy_against_the_cross_entropy(model, seeded):
    z, c = latents(model, seeded)
    model.set_live("prior_weight", 0.3) if hasattr(model, "_optimizers") else None
    model.config.prior_weight = 0.3
    loss, (cross_entropy, entropy) = model.prior_loss(z, c)
    assert_close(cross_entropy, model.cross_entropy(z, c).detach())
    assert_close(entropy, -model.prior.negative_entropy().detach())
    assert_close(loss.detach(), cross_entropy - 0.3 * entropy)


def test_prior_starts_as_the_authors_program(make):
    prior = make("mpcc", components=5, latent_size=8).prior
    assert_close(prior.means @ prior.means.T, torch.eye(5))
    assert_close(prior.deviations(), torch.full((5, 8), math.exp(0.5) + 0.5))
    wide = make("mpcc", components=9, latent_size=3).prior
    assert_close(wide.means.T @ wide.means, torch.eye(3))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_hinge_losses_by_hand(make, seeded, name):
    model = make(name, (3,), components=4).eval()
    x = torch.randn((5, 3), generator=seeded(1))
    # The outputs of the discriminator, by what it is shown.
    model.discriminate = lambda shown: shown.sum(1)
    fake = model.generate(model.generator, *model.draw(5, seeded(8)))
    expected = sum(
        max(0.0, 1 - float(v)) + max(0.0, 1 + float(w))
        for v, w in zip(x.sum(1), fake.sum(1), strict=True)
    )
    assert float(model.discriminator_loss(x, seeded(8))) == pytest.approx(expected / 5, rel=1e-5)
    assert float(model.generator_loss(5, seeded(8))) == pytest.approx(
        -float(fake.sum(1).mean()), rel=1e-4
    )


def test_generator_loss_reaches_generator_and_prior_and_the_other_loss_neither(model, seeded):
    generated = [*model.generator.parameters(), *model.prior.parameters()]
    loss = model.generator_loss(6, seeded(1))
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, generated, retain_graph=True))
    x = torch.randn((6, 3), generator=seeded(1), dtype=torch.float64)
    loss = model.discriminator_loss(x, seeded(1))
    assert torch.autograd.grad(loss, generated, allow_unused=True) == (None,) * len(generated)


@torch.no_grad()
def test_latent_loss_is_the_log_likelihood_of_the_encoder(model, seeded):
    z, c = latents(model, seeded)
    mean, log_variance = model.infer(model.generate(model.generator, z, c))
    q = Normal(mean, (log_variance / 2).exp())
    assert float(model.latent_loss(z, c)) == pytest.approx(float(-q.log_prob(z).sum(1).mean()))


def test_latent_loss_reaches_the_prior_through_z_and_not_through_x(model, seeded):
    c = torch.tensor([0, 1, 2, 3])
    z = model.prior.draw(c, seeded(1))
    (found,) = torch.autograd.grad(model.latent_loss(z, c), model.prior.means)
    with torch.no_grad():
        mean, log_variance = model.infer(model.generate(model.generator, z, c))
        expected = (z - mean) * (-log_variance).exp() / len(c)
    assert_close(found, expected)
    unused = torch.autograd.grad(
        model.latent_loss(model.prior.draw(c, seeded(1)), c),
        list(model.generator.parameters()),
        allow_unused=True,
    )
    assert all(g is None for g in unused)
