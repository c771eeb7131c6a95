"""Tests of every GMVAE term against explicit loops, torch.distributions and scipy."""

import math
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, norm
from torch.distributions import Independent, Normal, kl_divergence

GMVAES = ["gmvae-v1", "gmvae-v2"]
SETTINGS = {
    "gmvae-v1": {"eta": 0.7, "alpha": 1.3},
    "gmvae-v2": {"z_prior_floor": 0.4},
}


@pytest.fixture
def x(seeded):
    """Return grey values in [0, 1], good for both likelihoods: (4, 2)."""
    return torch.rand((4, 2), generator=seeded(5), dtype=torch.float64)


def normal(mean, log_variance):
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def bayes(z, means, log_variances):
    """p(c | z, w) of one z (D,) under one mixture (K, D), by Bayes' rule with p(c) = 1/K."""
    joint = [
        norm.pdf(z.numpy(), mean.numpy(), (0.5 * log_variance).exp().numpy()).prod() / len(means)
        for mean, log_variance in zip(means, log_variances, strict=True)
    ]
    return np.array(joint) / sum(joint)


def log_likelihood(model, x, z):
    """log p(x|z) of one observation (2,) at one latent (D,)."""
    output = model.decoder(z[None])[0]
    if model.likelihood == "gaussian":
        return float(normal(output[:2], output[2:]).log_prob(x))
    p = output.sigmoid()
    return sum(float(v * p[i].log() + (1 - v) * (1 - p[i]).log()) for i, v in enumerate(x))


@torch.no_grad()
def by_hand(model, x, generator):
    """Return the terms, by loops over samples s, observations b and components c.

    The generator gives the noise of z, then that of w, each for all samples at once.
    """
    s_count, k = model.config.samples, model.config.components
    q = model.recognise(x)
    noise = {"generator": generator, "dtype": x.dtype}
    z = q.z_mean + torch.randn((s_count, *q.z_mean.shape), **noise) * (q.z_log_variance / 2).exp()
    w = q.w_mean + torch.randn((s_count, *q.w_mean.shape), **noise) * (q.w_log_variance / 2).exp()
    reconstruction, conditional, w_prior, z_prior, violation = [], [], [], [], []
    for b in range(len(x)):
        q_w = normal(q.w_mean[b], q.w_log_variance[b])
        w_prior.append(float(kl_divergence(q_w, normal(0 * q.w_mean[b], 0 * q.w_mean[b]))))
        for s in range(s_count):
            means, log_variances = model.mixture_at(w[s, b])
            posterior = bayes(z[s, b], means, log_variances)
            weights = posterior
            if q.component_logits is not None:
                weights = q.component_logits[b].softmax(-1).numpy()
            q_z = normal(q.z_mean[b], q.z_log_variance[b])
            conditional.append(0.0)
            for c in range(k):
                kl = kl_divergence(q_z, normal(means[c], log_variances[c]))
                conditional[-1] += weights[c] * float(kl)
            reconstruction.append(log_likelihood(model, x[b], z[s, b]))
            z_prior.append(entropy(weights, np.full(k, 1 / k)))
            violation.append(entropy(posterior))
    return {
        "reconstruction": fmean(reconstruction),
        "conditional_prior": fmean(conditional),
        "w_prior": fmean(w_prior),
        "z_prior": fmean(z_prior),
        "consistency_violation": fmean(violation),
    }


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("name", GMVAES)
def test_terms_are_the_papers_sums(smooth, seeded, x, name, likelihood, samples):
    model = smooth(name, likelihood=likelihood, samples=samples, **SETTINGS[name])
    _, terms = model.objective(x, seeded(9))
    expected = by_hand(model, x, seeded(9))
    assert {n: float(terms[n]) for n in expected} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("eta", "alpha"), [(1, 0), (0, 0), (0, 1), (1, 2)])
def test_objective_of_version_1_weighs_its_terms(smooth, seeded, x, eta, alpha, samples):
    model = smooth("gmvae-v1", likelihood="gaussian", samples=samples, eta=eta, alpha=alpha)
    objective, terms = model.objective(x, seeded(9))
    t = by_hand(model, x, seeded(9))
    expected = (
        t["reconstruction"]
        - t["conditional_prior"]
        - t["w_prior"]
        - eta * t["z_prior"]
        - alpha * t["consistency_violation"]
    )
    assert objective.item() == pytest.approx(expected, rel=1e-9)
    assert float(terms["objective"]) == objective.item()


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("floor", [0.0, 1.05, 3.0])
def test_objective_of_version_2_gates_its_z_prior(smooth, seeded, x, floor, samples):
    model = smooth("gmvae-v2", likelihood="gaussian", samples=samples, z_prior_floor=floor)
    objective, terms = model.objective(x, seeded(9))
    t = by_hand(model, x, seeded(9))
    expected = t["reconstruction"] - t["conditional_prior"] - t["w_prior"]
    expected -= max(floor, t["z_prior"])
    assert objective.item() == pytest.approx(expected, rel=1e-9)
    # The term that is shown is the divergence itself, not the gated one.
    assert float(terms["z_prior"]) == pytest.approx(t["z_prior"], rel=1e-9)


def test_z_prior_of_version_2_is_what_the_entropy_leaves(smooth, seeded, x):
    _, terms = smooth("gmvae-v2", samples=3).objective(x, seeded(9))
    expected = math.log(3) - float(terms["consistency_violation"])
    assert float(terms["z_prior"]) == pytest.approx(expected, rel=1e-9)
    assert 0.01 < expected < math.log(3) - 0.01, "the case must be one between the extremes"


@pytest.mark.parametrize("name", GMVAES)
def test_log_posterior_is_bayes_rule(smooth, seeded, name):
    model = smooth(name)
    z, w = torch.randn((2, 5, 2), generator=seeded(3), dtype=torch.float64).unbind()
    with torch.no_grad():
        found = model.log_posterior(z, w).exp()
        for i in range(5):
            assert found[i].numpy() == pytest.approx(bayes(z[i], *model.mixture_at(w[i])))
    assert found.std() > 0.05, "the components must differ for the test to say anything"


def test_responsibilities_of_version_2_are_taken_at_the_posterior_means(smooth, x):
    model = smooth("gmvae-v2")
    with torch.no_grad():
        q = model.recognise(x)
        found = model.log_responsibilities(x).exp()
        for b in range(len(x)):
            expected = bayes(q.z_mean[b], *model.mixture_at(q.w_mean[b]))
            assert found[b].numpy() == pytest.approx(expected)


def test_responsibilities_of_version_1_are_the_head(smooth, x):
    model = smooth("gmvae-v1")
    with torch.no_grad():
        logits = model.streams(model.trunk(x))[:, -3:]
        odds = logits.exp()
        expected = odds / odds.sum(-1, keepdim=True)
        torch.testing.assert_close(model.log_responsibilities(x).exp(), expected)


@pytest.mark.parametrize("name", GMVAES)
def test_components_are_the_mixture_at_the_given_style(smooth, name):
    model = smooth(name)
    w = torch.tensor([0.3, -1.2], dtype=torch.float64)
    with torch.no_grad():
        for style, given_style in ((torch.zeros_like(w), None), (w, w)):
            found = model.components(given_style)
            raw = model.mixture(style)
            assert torch.equal(found.means.flatten(), raw[:6])
            torch.testing.assert_close(found.variances.flatten(), raw[6:].exp())
            assert found.weights.tolist() == pytest.approx([1 / 3] * 3)


@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 9),
    scale=st.floats(0.01, 6),
    samples=st.integers(1, 4),
)
@settings(deadline=None, max_examples=25)
@pytest.mark.parametrize("name", GMVAES)
def test_z_prior_stays_between_zero_and_log_k(smooth, seeded, name, seed, k, scale, samples):
    model = smooth(name, seed=seed, components=k, samples=samples, likelihood="gaussian").float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
        terms = model.evaluate_terms(torch.randn((5, 2), generator=seeded(seed)), seeded(seed))
    for term in ("z_prior", "consistency_violation"):
        assert -1e-5 <= float(terms[term]) <= math.log(k) + 1e-5


@pytest.mark.parametrize("name", GMVAES)
def test_likelihood_follows_the_data(make, name):
    small = {"components": 2}
    assert make(name, (2,), **small).likelihood == "gaussian"
    assert make(name, (7,), **small).likelihood == "gaussian"
    assert make(name, (1, 8, 8), **small).likelihood == "bernoulli"
    assert make(name, (1, 8, 8), likelihood="gaussian", **small).likelihood == "gaussian"


@pytest.mark.parametrize("name", GMVAES)
def test_decode_is_the_mean_of_the_likelihood(smooth, seeded, name):
    z = torch.randn((6, 2), generator=seeded(3), dtype=torch.float64)
    with torch.no_grad():
        bernoulli = smooth(name, likelihood="bernoulli")
        torch.testing.assert_close(bernoulli.decode(z), bernoulli.decoder(z).sigmoid())
        gaussian = smooth(name, likelihood="gaussian")
        # The likelihood is highest at its mean: its slope there is zero, and only there.
        mean = gaussian.decode(z)
        at_mean = gaussian.log_likelihood(mean, z[None])
        for step in (0.01, -0.01):
            assert (gaussian.log_likelihood(mean + step, z[None]) < at_mean).all()
