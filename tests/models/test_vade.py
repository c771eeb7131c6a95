"""Tests of VaDE: its bound against Monte Carlo, its pieces against torch.distributions, its stages."""

import math
from copy import deepcopy

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal, kl_divergence
from torch.testing import assert_close


@pytest.fixture
def x(seeded):
    """Return grey values in [0, 1], good for both likelihoods: (4, 2)."""
    return torch.rand((4, 2), generator=seeded(5), dtype=torch.float64)


@pytest.fixture
def vade(make, seeded):
    """Return a function that builds VaDE in double precision, its components well apart."""

    def made(**settings):
        settings = {"components": 3, "pretrain_epochs": 0, **settings}
        model = make("vade", **settings).double()
        with torch.no_grad():
            model.encoder[-1].weight.mul_(4)
            for parameter, scale in ((model.means, 1), (model.log_variances, 1), (model.logits, 1)):
                noise = torch.randn(parameter.shape, generator=seeded(2), dtype=torch.float64)
                parameter.copy_(scale * noise)
        return model

    return made


def normal(mean, log_variance):
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def prior(model):
    """p(z|c) and p(c), by torch.distributions."""
    return normal(model.means, model.log_variances), Categorical(logits=model.logits)


def test_responsibilities_are_bayes_rule(vade, seeded):
    model = vade()
    components, weights = prior(model)
    z = torch.randn((6, 2), generator=seeded(3), dtype=torch.float64)
    with torch.no_grad():
        joint = weights.probs * components.log_prob(z[:, None]).exp()
        expected = joint / joint.sum(-1, keepdim=True)
        assert_close(model.log_posterior(z).exp(), expected)
    assert expected.std() > 0.1, "the components must differ for the test to say anything"


@torch.no_grad()
def test_responsibilities_of_data_are_those_of_the_posterior_mean(vade, x):
    model = vade()
    mean, _ = model.posterior(x)
    assert_close(model.log_responsibilities(x), model.log_posterior(mean))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@torch.no_grad()
def test_terms_are_the_papers_sums(vade, seeded, x, likelihood, samples):
    model = vade(likelihood=likelihood, samples=samples)
    components, weights = prior(model)
    objective, terms = model.objective(x, seeded(9))
    mean, log_variance = model.posterior(x)
    noise = torch.randn((samples, 4, 2), generator=seeded(9), dtype=torch.float64)
    z = mean + noise * (0.5 * log_variance).exp()
    reconstruction = conditional = component = information = 0.0
    for b in range(4):
        gamma = torch.zeros(3, dtype=torch.float64)
        for s in range(samples):
            joint = weights.probs * components.log_prob(z[s, b]).exp()
            gamma += joint / joint.sum() / samples
            output = model.decoder(z[s, b])
            if likelihood == "gaussian":
                log_p = normal(output[:2], output[2:]).log_prob(x[b])
            else:
                p = output.sigmoid()
                log_p = (x[b] * p.log() + (1 - x[b]) * (1 - p).log()).sum()
            reconstruction += log_p / samples / 4
        q = normal(mean[b], log_variance[b])
        for c in range(3):
            p = normal(model.means[c], model.log_variances[c])
            conditional += gamma[c] * kl_divergence(q, p) / 4
        component += kl_divergence(Categorical(gamma), weights) / 4
        information += (math.log(3) - Categorical(gamma).entropy()) / 4
    assert_close(terms["reconstruction"], reconstruction)
    assert_close(terms["conditional_prior"], conditional)
    assert_close(terms["component_prior"], component)
    assert_close(terms["z_prior"], information)
    assert_close(objective, reconstruction - conditional - component)
    assert_close(terms["objective"], objective)


def with_samples(model, samples):
    """Draw more samples than the settings allow."""
    model.config = model.config.model_copy(update={"samples": samples})
    return model


@torch.no_grad()
def test_bound_is_the_expectation_of_the_log_ratio(vade, seeded, x):
    # E_q(z|x) sum_c gamma_c [log p(x|z) + log p(z|c) + log p(c) - log q(z|x) - log gamma_c] with the
    # responsibilities that the closed form used, by brute force.
    draws = 20_000
    model = with_samples(vade(likelihood="gaussian"), draws)
    components, weights = prior(model)
    objective, _ = model.objective(x, seeded(1))
    mean, log_variance = model.posterior(x)
    q = normal(mean, log_variance)
    noise = torch.randn((draws, 4, 2), generator=seeded(1), dtype=torch.float64)
    z = mean + noise * (0.5 * log_variance).exp()
    log_gamma = model.log_posterior(z).exp().mean(0).log()
    log_joint = components.log_prob(z[:, :, None]) + weights.logits  # (draws, 4, K)
    log_ratio = (log_gamma.exp() * (log_joint - log_gamma)).sum(-1) - q.log_prob(z)
    output = model.decoder(z)
    log_ratio += normal(output[..., :2], output[..., 2:]).log_prob(x)
    error = log_ratio.mean(1).std() / math.sqrt(draws)
    assert abs(log_ratio.mean() - objective) < 5 * error
    assert error < 0.05


@torch.no_grad()
def test_bound_lies_under_the_evidence(vade, seeded, x):
    model = with_samples(vade(likelihood="gaussian"), 500)
    components, weights = prior(model)
    c = torch.multinomial(weights.probs, 200_000, replacement=True, generator=seeded(4))
    noise = torch.randn((200_000, 2), generator=seeded(5), dtype=torch.float64)
    z = components.mean[c] + noise * components.stddev[c]
    output = model.decoder(z)
    log_p = normal(output[:, :2], output[:, 2:]).log_prob(x[:, None])  # (4, draws)
    evidence = log_p.logsumexp(1) - math.log(200_000)
    assert model.objective(x, seeded(1))[0] < evidence.mean()
    density = torch.stack([model.log_density(x, seeded(i)).exp() for i in range(30)]).mean(0)
    assert_close(density.log(), evidence, atol=0.05, rtol=0)


def test_gradients_are_those_of_finite_differences(vade, seeded, x):
    model = vade(likelihood="gaussian", samples=2)
    for name in ("means", "log_variances", "logits"):
        parameter = getattr(model, name)
        objective, _ = model.objective(x, seeded(9))
        (gradient,) = torch.autograd.grad(objective, parameter)
        step = torch.zeros_like(parameter)
        step.view(-1)[1] = 1e-5
        with torch.no_grad():
            parameter += step
            above = model.objective(x, seeded(9))[0]
            parameter -= 2 * step
            below = model.objective(x, seeded(9))[0]
            parameter += step
        assert_close(gradient.view(-1)[1], (above - below) / 2e-5, rtol=1e-5, atol=1e-8)


def trained(make, seeded, arcs, epochs, **settings):
    """Return VaDE after some epochs of four steps on 800 points of arcs, and its draws."""
    model = make("vade", components=4, pretrain_epochs=2, **settings)
    draws = seeded(1)
    model.prepare(arcs[:800], draws)
    model.make_optimizers()
    for epoch in range(1, epochs + 1):
        train_epoch(model, arcs, draws, epoch)
    return model, draws


def train_epoch(model, arcs, draws, epoch):
    for batch in arcs[:800].split(200):
        terms = model.training_step(batch, draws)
    model.end_epoch(epoch, arcs[:800], draws)
    return terms


def test_stages_switch_after_pretraining(make, seeded, arcs):
    model, draws = trained(make, seeded, arcs, 1)
    assert model.pretraining
    assert all(p not in model.optimizer.state for p in (model.means, model.logits))
    before = model.means.clone()
    terms = model.training_step(arcs[:200], draws)
    assert terms["objective"] == terms["reconstruction"]
    assert torch.equal(model.means, before), "only a fit moves the components"
    model.end_epoch(2, arcs[:800], draws)
    assert not model.pretraining
    assert not torch.equal(model.means, before)
    assert not model.optimizer.state
    before = model.means.clone()
    terms = model.training_step(arcs[:200], draws)
    expected = terms["reconstruction"] - terms["conditional_prior"] - terms["component_prior"]
    assert_close(terms["objective"], expected)
    assert not torch.equal(model.means, before)
    after = model.means.clone()
    model.end_epoch(3, arcs[:800], draws)
    assert torch.equal(model.means, after), "components are fitted no more"


def test_what_pretraining_does_not_train_cannot_end_it(make, seeded, arcs):
    """Data of large scale drive the untrained log-variances beyond what exp holds."""
    model, draws = trained(make, seeded, 1e4 * arcs, 1)
    with torch.no_grad():
        assert model.encoded(1e4 * arcs[:50])[1].max() > 90
    terms = model.training_step(1e4 * arcs[:50], draws)
    assert "conditional_prior" not in terms
    assert all(value.isfinite() for value in terms.values())


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_state_carries_every_stage(make, seeded, arcs, epochs):
    model, _ = trained(make, seeded, arcs, epochs)
    twin = make("vade", seed=7, components=4, pretrain_epochs=2)
    twin.load_state_dict(model.state_dict())
    twin.make_optimizers()
    twin.optimizer.load_state_dict(deepcopy(model.optimizer.state_dict()))
    for epoch in (epochs + 1, epochs + 2):
        expected = train_epoch(model, arcs, seeded(epoch), epoch)
        assert train_epoch(twin, arcs, seeded(epoch), epoch) == expected
    one, two = model.state_dict(), twin.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_learning_rate_decays_every_ten_epochs_after_pretraining(make, seeded, x):
    rates = {"learning_rate": 0.002, "pretrain_learning_rate": 0.01, "decay": 0.5}
    model = make("vade", components=3, pretrain_epochs=5, **rates)
    model.make_optimizers()
    for epochs, rate in ((0, 0.01), (4, 0.01), (5, 0.002), (14, 0.002), (15, 0.001), (25, 0.0005)):
        model.epochs_done.fill_(epochs)
        model.training_step(x.float(), seeded(0))
        assert model.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


@torch.no_grad()
def test_samples_come_from_their_component(vade, seeded):
    model = vade()
    c = torch.full((50_000,), 1)
    z = model.float().draw_latents(c, seeded(1))
    assert_close(z.mean(0), model.means[1], atol=0.05, rtol=0)
    assert_close(z.var(0), model.log_variances[1].exp(), rtol=0.05, atol=0)


def test_latents_that_are_not_finite_leave_the_mixture_alone(make, seeded, arcs):
    model, draws = trained(make, seeded, arcs, 1)
    before = model.means.clone()
    with torch.no_grad():
        model.encoder[-1].weight.fill_(math.nan)
    model.end_epoch(2, arcs[:800], draws)
    assert torch.equal(model.means, before)


def test_variances_start_at_the_scale_of_the_components_and_of_the_errors(make, seeded, arcs):
    x = arcs[:800]
    model, draws = trained(make, seeded, arcs, 2)
    model.requires_grad_(False)
    mixture = model.components()
    mean, log_variance = model.posterior(x)
    within = mixture.weights @ mixture.variances
    assert_close(log_variance.exp(), (0.1 * within).expand(800, 2))
    z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=draws)
    errors = (model.decode(z) - x).square().mean(0)
    output = model.decoder(z)
    assert_close(output[:, 2:].exp(), errors.expand(800, 2), rtol=0.15, atol=0)
