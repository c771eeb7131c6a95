"""Tests of NVISA's bounds by brute force, its gradients by quadrature, its schedules and its start."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, Normal, kl_divergence
from torch.testing import assert_close

from mixviz.errors import MixvizError
from mixviz.models import build
from mixviz.models.networks import initialise
from mixviz.models.nvisa import draw_components
from mixviz.models.nvisa_config import NVISAConfig
from mixviz.runs import RunStore, Status
from mixviz.training.config import plan
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from tests.training.conftest import assert_same_training

ESTIMATORS = ["vimco", "nvil", "enumerate"]


@pytest.fixture
def tiny(make, seeded):
    """Return a function that builds NVISA in double precision with a few Tanh units a network."""

    def made(shape=(2,), units=3, seed=0, **settings):
        settings = {"components": 3, "latent_size": 2, "component_spread": 2.0, **settings}
        model = make("nvisa", shape, seed, **settings)
        head, size = model.latent_head, math.prod(shape)
        model.trunk = nn.Sequential(nn.Flatten(), nn.Linear(size, units), nn.Tanh())
        model.component_head = nn.Linear(units, settings["components"])
        head.from_x = nn.Linear(units, units)
        if head.from_component is not None:
            head.from_component = nn.Linear(settings["components"], units, bias=False)
        head.output = nn.Linear(units, head.output.out_features)
        outputs = model.decoder[-1].out_features
        model.decoder = nn.Sequential(
            nn.Linear(settings["latent_size"], units), nn.Tanh(), nn.Linear(units, outputs)
        )
        model.double()
        initialise(model, seeded(seed))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2)
        return model

    return made


def normal(mean, log_variance):
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def prior_of(model, c):
    std = nn.functional.softplus(model.prior_raw_stds[c]) + 1
    return Independent(Normal(model.prior_means[c], std), 1)


def log_likelihood(model, x, z):
    """log p(x|z) of one observation (2,) at one latent (D,), written out."""
    output = model.decoder(z[None])[0]
    if model.likelihood == "gaussian":
        std = (1 + output[2:].exp()).log() + model.eps
        return float(Independent(Normal(output[:2], std), 1).log_prob(x))
    p = output.sigmoid()
    return float((x * p.log() + (1 - x) * (1 - p).log()).sum())


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("mean_field", [False, True])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@torch.no_grad()
def test_enumerated_bound_is_the_sum_over_components(tiny, seeded, likelihood, mean_field, samples):
    model = tiny(
        estimator="enumerate", samples=samples, likelihood=likelihood, mean_field=mean_field
    )
    x = torch.rand((4, 2), generator=seeded(5), dtype=torch.float64)
    objective, terms = model.objective(x, seeded(9))
    q = model.recognise(x)
    noise = torch.randn((samples, 4, 3, 2), generator=seeded(9), dtype=torch.float64)
    bounds, reconstructions, z_priors, divergences = [], [], [], []
    for b in range(4):
        q_c = Categorical(logits=q.log_c[b])
        reconstruction = divergence = 0.0
        for c in range(3):
            q_z = normal(q.mean[b, c], q.log_variance[b, c])
            share = float(q_c.probs[c])
            divergence += share * float(kl_divergence(q_z, prior_of(model, c)))
            for s in range(samples):
                z = q_z.mean + noise[s, b, c] * q_z.stddev
                reconstruction += share * log_likelihood(model, x[b], z) / samples
        z_prior = float(kl_divergence(q_c, Categorical(probs=torch.full((3,), 1 / 3))))
        bounds.append(reconstruction - divergence - z_prior)
        reconstructions.append(reconstruction)
        divergences.append(divergence)
        z_priors.append(z_prior)
    assert objective.item() == float(terms["bound"]) == pytest.approx(np.mean(bounds), rel=1e-6)
    assert float(terms["reconstruction"]) == pytest.approx(np.mean(reconstructions), rel=1e-6)
    assert float(terms["conditional_prior"]) == pytest.approx(np.mean(divergences), rel=1e-6)
    assert float(terms["z_prior"]) == pytest.approx(np.mean(z_priors), rel=1e-6)


@pytest.mark.parametrize("estimator", ["vimco", "nvil"])
@torch.no_grad()
def test_sampled_bound_is_made_of_the_joint_densities(tiny, seeded, estimator):
    model = tiny(estimator=estimator, samples=3, likelihood="gaussian")
    x = torch.rand((4, 2), generator=seeded(5), dtype=torch.float64)
    _, terms = model.objective(x, seeded(9))
    draws = seeded(9)
    q = model.recognise(x)
    c = draw_components(q.log_c, 3, draws)
    noise = torch.randn((3, 4, 2), generator=draws, dtype=torch.float64)
    f = np.empty((3, 4))
    for s, b in itertools.product(range(3), range(4)):
        k = int(c[s, b])
        q_z = normal(q.mean[b, k], q.log_variance[b, k])
        z = q_z.mean + noise[s, b] * q_z.stddev
        log_p = log_likelihood(model, x[b], z) + float(prior_of(model, k).log_prob(z)) - math.log(3)
        f[s, b] = log_p - float(q.log_c[b, k]) - float(q_z.log_prob(z))
    expected = np.log(np.exp(f).mean(0)).mean() if estimator == "vimco" else f.mean()
    assert float(terms["bound"]) == pytest.approx(expected, rel=1e-9)


def test_components_are_drawn_as_often_as_they_are_probable(seeded):
    log_c = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.0, 0.5]]).log()
    c = draw_components(log_c, 100_000, seeded(1))
    assert c.shape == (100_000, 2)
    for b in range(2):
        shares = torch.bincount(c[:, b], minlength=3) / 100_000
        torch.testing.assert_close(shares, log_c[b].exp(), atol=0.01, rtol=0)
    assert draw_components(log_c * math.nan, 2, seeded(1)).shape == (2, 2)


# ---- gradients, one observation, K = 2, D = 1 ------------------------------------------------

NODES = 400
BATCHES, COPIES = 200, 400


def exact_bound(model, x, samples):
    """The bound with S samples, integrated over a fine grid of z and enumerated over c: ()."""
    nodes = torch.linspace(-8, 8, NODES, dtype=torch.float64)
    log_weights = (-nodes.square() / 2).log_softmax(-1)
    q = model.recognise(x)
    prior_means, prior_log_variances = model.prior()
    k = model.config.components
    f, log_weight = [], []
    for c in range(k):
        q_z = normal(q.mean[0, c], q.log_variance[0, c])
        z = q_z.mean + nodes[:, None] * q_z.stddev  # (NODES, 1)
        log_p = model.log_likelihood(x, z[:, None])[:, 0] - math.log(k)
        log_p = log_p + normal(prior_means[c], prior_log_variances[c]).log_prob(z)
        f.append(log_p - q.log_c[0, c] - q_z.log_prob(z))
        log_weight.append(q.log_c[0, c] + log_weights)
    f, weight = torch.cat(f), torch.cat(log_weight).exp()  # (K NODES,) each
    if samples == 1:
        return (weight * f).sum()
    pairs = torch.stack([f[:, None].expand(-1, len(f)), f.expand(len(f), -1)])
    return (weight[:, None] * weight * (pairs.logsumexp(0) - math.log(2))).sum()


def gradient(model, value):
    """Gradient in every parameter but the baseline's, in one vector."""
    names = [name for name, _ in model.named_parameters() if not name.startswith("baseline")]
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(value, [model.get_parameter(n) for n in names])]
    )


CASES = {
    "vimco": {"estimator": "vimco", "samples": 2},
    "vimco with z reparameterised": {"estimator": "vimco", "samples": 2, "reparameterise_z": True},
    "nvil": {"estimator": "nvil", "samples": 1},
    "enumerate": {"estimator": "enumerate", "samples": 1},
    "mean field": {"estimator": "vimco", "samples": 2, "mean_field": True},
    "bernoulli": {"estimator": "vimco", "samples": 2, "likelihood": "bernoulli"},
}


def mean_gradients(model, x, seeded):
    """Gradients of BATCHES batches of COPIES copies of one observation: (BATCHES, P)."""
    copies, draws = x.expand(COPIES, -1), seeded(4)
    return torch.stack([gradient(model, model.objective(copies, draws)[0]) for _ in range(BATCHES)])


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_unbiased(tiny, seeded, case):
    settings = {"likelihood": "gaussian", **CASES[case]}
    model = tiny((1,), units=2, components=2, latent_size=1, seed=1, **settings)
    x = torch.tensor([[0.7]], dtype=torch.float64)
    samples = 2 if settings["estimator"] == "vimco" else 1
    expected = gradient(model, exact_bound(model, x, samples))
    found = mean_gradients(model, x, seeded)
    errors = found.std(0) / math.sqrt(BATCHES)
    assert ((found.mean(0) - expected).abs() < 5 * errors + 1e-9).all()
    assert errors.max() < 0.1 * expected.abs().max(), "the test must be able to tell"


def test_vimco_varies_less_than_nvil_with_its_one_sample(tiny, seeded):
    x = torch.tensor([[0.7]], dtype=torch.float64)
    spread = {}
    for case in ("vimco", "vimco with z reparameterised", "nvil"):
        samples = 1 if case == "nvil" else 5
        settings = {"likelihood": "gaussian", **CASES[case], "samples": samples}
        model = tiny((1,), units=2, components=2, latent_size=1, seed=1, **settings)
        if model.baseline is not None:
            # A constant, the bound itself: the best that any baseline of x alone can do here.
            model.baseline = nn.Sequential(nn.Linear(1, 1)).double()
            with torch.no_grad():
                model.baseline[0].weight.zero_()
                model.baseline[0].bias.fill_(exact_bound(model, x, 1))
        spread[case] = float(mean_gradients(model, x, seeded).var(0).sum())
    assert spread["vimco with z reparameterised"] < spread["vimco"] < spread["nvil"]


def test_baseline_of_nvil_learns_the_bound(tiny, seeded):
    model = tiny(estimator="nvil", samples=1, likelihood="gaussian")
    x = torch.rand((200, 2), generator=seeded(5), dtype=torch.float64)
    model.make_optimizers()
    errors = []
    for _ in range(300):
        with torch.no_grad():
            bound = model.evaluate_terms(x, seeded(1))["bound"]
            errors.append(float((model.baseline(x).mean() - bound).abs()))
        model.training_step(x, seeded(2))
    assert errors[-1] < 0.3 * errors[0]


# ---- settings and schedules ------------------------------------------------------------------


@pytest.mark.parametrize("values", [{"samples": 1}, {"samples": 1, "estimator": "vimco"}])
def test_vimco_with_one_sample_is_refused_in_one_line(values):
    with pytest.raises(MixvizError, match="samples=1 leaves none") as caught:
        plan(model="nvisa", values=values)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("estimator='vimco': VIMCO weighs each sample")


@pytest.mark.parametrize("estimator", ["nvil", "enumerate"])
def test_one_sample_is_enough_for_the_others(estimator):
    assert build(NVISAConfig, {"samples": 1, "estimator": estimator}).samples == 1


def test_annealing_has_the_papers_values(make):
    model = make("nvisa", components=3)
    for epochs, eps in [(0, 1), (99, 1), (100, 0.5), (199, 0.5), (200, 0.25), (1299, 2**-12)]:
        model.epochs.fill_(epochs)
        assert model.eps == eps
    model.epochs.fill_(1400)  # 2^-14 is under the floor
    assert model.eps == 1e-4


def test_annealing_starts_after_pretraining_and_follows_live_changes(make):
    model = make("nvisa", components=3, pretrain_epochs=7, std_period=2.0)
    found = []
    for epoch in range(12):
        model.epochs.fill_(epoch)
        found.append(model.eps)
    assert found == [1] * 9 + [0.5, 0.5, 0.25]
    for name, value, eps in [
        ("std_start", 2.0, 0.5),
        ("std_factor", 0.1, 0.02),
        ("std_period", 4.0, 0.2),
        ("std_floor", 0.7, 0.7),
    ]:
        model.set_live(name, value)
        assert model.eps == pytest.approx(eps)


def test_a_trained_model_answers_with_the_eps_of_its_last_step(make, seeded, arcs):
    """The schedule's next step, which no training follows, changes nothing."""
    settings = {"likelihood": "gaussian", "samples": 3, "std_period": 1.0}
    model = make("nvisa", components=3, **settings)
    model.make_optimizers()
    model.training_step(arcs[:50], seeded(1))
    before = model.eval().log_likelihood(arcs[:50], torch.zeros(50, model.latent_size))
    model.end_epoch(1, arcs[:50], seeded(1))
    assert model.eps == 1
    assert_close(model.log_likelihood(arcs[:50], torch.zeros(50, model.latent_size)), before)
    assert model.train().eps == 0.5
    state = model.state_dict()
    again = make("nvisa", components=3, **settings).eval()
    again.load_state_dict(state)
    assert again.eps == 1
    del state["last_eps"]  # a checkpoint from before it was kept
    older = make("nvisa", components=3, **settings).eval()
    older.load_state_dict(state)
    assert older.eps == 0.5


def test_learning_rate_is_halved(make, seeded, arcs):
    model = make("nvisa", components=3, halving_period=2.0, pretrain_epochs=1, learning_rate=0.008)
    model.make_optimizers()
    rates = []
    for epoch in range(1, 7):
        model.training_step(arcs[:100], seeded(0))
        rates.append(model.optimizer.param_groups[0]["lr"])
        model.end_epoch(epoch, arcs[:100], seeded(0))
    assert rates == [0.008, 0.008, 0.008, 0.004, 0.004, 0.002]


def test_eps_is_the_least_standard_deviation(tiny, seeded):
    model = tiny(likelihood="gaussian", std_start=0.3)
    with torch.no_grad():
        model.latent_head.output.bias.fill_(-1000.0)
        model.decoder[-1].bias.fill_(-1000.0)
        x = torch.zeros((1, 2), dtype=torch.float64)
        assert model.recognise(x).log_variance.exp().sqrt().unique().tolist() == [0.3]
        mean = model.decode(torch.zeros((1, 2), dtype=torch.float64))
        found = model.log_likelihood(mean, torch.zeros((1, 1, 2), dtype=torch.float64))
    assert found.item() == pytest.approx(-2 * math.log(0.3 * math.sqrt(2 * math.pi)))


def test_standard_deviations_of_the_prior_are_more_than_one(make):
    model = make("nvisa", components=3)
    assert model.components().variances.min() > 1
    with torch.no_grad():
        model.prior_raw_stds.fill_(-50)
    torch.testing.assert_close(model.components().variances, torch.ones(3, 2))


def test_dequantised_images_are_pixels_with_noise_over_256(make, seeded):
    model = make("nvisa", (1, 8, 8), components=3, noise_levels=256)
    pixels = torch.arange(256.0).repeat(10).reshape(-1, 1, 8, 8)
    noise = model._dequantised(pixels / 255, seeded(0)) * 256 - pixels
    assert noise.min() > -1e-3
    assert noise.max() < 1 + 1e-3
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)
    assert noise.std().item() == pytest.approx(12**-0.5, abs=0.02)
    points = make("nvisa", components=3, noise_levels=256)
    assert torch.equal(points._dequantised(pixels, seeded(0)), pixels)


# ---- recognition -----------------------------------------------------------------------------


@torch.no_grad()
def test_latents_are_those_of_the_assigned_component(tiny, seeded):
    model = tiny()
    x = torch.randn((20, 2), generator=seeded(5), dtype=torch.float64)
    q = model.recognise(x)
    latents, log_c = model.encode(x)
    for b in range(20):
        c = int(log_c[b].argmax())
        assert torch.equal(latents[b], q.mean[b, c])
        assert torch.equal(model.posterior(x)[1][b], q.log_variance[b, c])
    assert len(log_c.argmax(1).unique()) > 1


@torch.no_grad()
def test_each_component_has_its_own_posterior_unless_mean_field(tiny, seeded):
    x = torch.randn((5, 2), generator=seeded(5), dtype=torch.float64)
    assert tiny().recognise(x).mean.std(1).min() > 1e-3
    assert tiny(mean_field=True).recognise(x).mean.std(1).max() == 0


@torch.no_grad()
def test_all_components_in_one_pass_equal_one_at_a_time(tiny, seeded):
    model = tiny()
    head = model.latent_head
    features = torch.randn((5, 3), generator=seeded(5), dtype=torch.float64)
    for c in range(3):
        one_hot = torch.eye(3, dtype=torch.float64)[c].expand(5, -1)
        hidden = (head.from_x(features) + head.from_component(one_hot)).relu()
        torch.testing.assert_close(head(features)[:, c], head.output(hidden))


# ---- pretraining -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started(make, seeded, arcs):
    """Return a model on arcs before and after the end of its pretraining: latents, images, itself."""
    model = make("nvisa", components=5, pretrain_epochs=8, likelihood="gaussian")
    model.make_optimizers()
    draws = seeded(1)
    for epoch in range(1, 9):
        for batch in arcs.split(200):
            terms = model.training_step(batch, draws)
        assert set(terms) == {"autoencoder_error"}
        with torch.no_grad():
            before = model.decode(model.encode(arcs)[0])
        model.end_epoch(epoch, arcs, draws)
    return model, before, float(terms["autoencoder_error"])


@torch.no_grad()
def test_start_keeps_what_the_autoencoder_gives_back(started, arcs):
    model, before, error = started
    assert error < 0.02
    torch.testing.assert_close(model.decode(model.encode(arcs)[0]), before, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_start_is_the_gaussian_mixture_of_the_codes(started, arcs):
    model, _, _ = started
    codes, log_c = model.encode(arcs)
    mixture = model.components()
    assert mixture.variances.min() >= 1
    near = normal(mixture.means[:, None], mixture.variances.log()[:, None]).log_prob(codes)
    nearest = near.argmax(0)
    assert (nearest == log_c.argmax(1)).float().mean() > 0.9
    for c in range(5):
        torch.testing.assert_close(codes[nearest == c].mean(0), mixture.means[c], atol=1, rtol=0)


def test_start_forgets_the_moments_of_the_autoencoder(started, arcs, seeded):
    model, _, _ = started
    assert not model.optimizer.state
    assert tuple(model.training_step(arcs[:200], seeded(2))) == model.terms


def test_stopped_in_and_after_pretraining_gives_the_same_bits(tmp_path, monkeypatch):
    store = RunStore(tmp_path)
    monkeypatch.setattr("mixviz.training.trainer.POLL", 0)
    monkeypatch.setattr("mixviz.training.trainer.BEAT", 0)
    values = {
        "components": 4,
        "pretrain_epochs": 2,
        "epochs": 4,
        "batch_size": 300,
        "samples": 2,
        "std_period": 1,
        "noise_levels": 17,
        "likelihood": "gaussian",
        "threads": 1,
    }
    found = plan(model="nvisa", dataset="digits", values=values)
    undisturbed, run = create_run(store, found), create_run(store, found)
    assert Trainer(store, undisturbed).train() is Status.FINISHED
    steps = store.get(undisturbed).step
    for stop in (3, 10, 17):
        stopped = Trainer(
            store, run, lambda at, total, terms, due=stop: at >= due and store.send(run, "stop")
        )
        assert stopped.train() is Status.STOPPED
        assert store.get(run).step < steps
    assert Trainer(store, run).train() is Status.FINISHED
    assert_same_training(store, run, undisturbed)
