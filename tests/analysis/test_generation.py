"""Tests of what trained models draw: laws of the samples, ends of interpolations, styles, densities."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from mixviz.analysis.generation import (
    component_samples,
    decode_points,
    densities,
    draw_latents,
    has_style,
    interpolation,
    log_posterior,
    prior_samples,
    reconstructions,
    style_directions,
    style_traversal,
)
from mixviz.data import load
from mixviz.errors import MixvizError
from mixviz.evaluation.degeneracy import bhattacharyya
from mixviz.models import MODELS, create
from mixviz.models.base import Components
from mixviz.training.config import plan
from mixviz.training.observe import mixture_arrays
from mixviz.training.saved import Saved

LATENT = ("gmvae-v2", "nvisa", "vade", "ae-gmm", "amm", "mpcc", "gmm", "k-means")


def fresh(model, dataset="digits", components=3, **values):
    """A model before its first step, as a saved run has it."""
    chosen = plan(dataset=dataset, model=model, values={"components": components} | values)
    data = load(dataset)
    generator = torch.Generator().manual_seed(0)
    made = create(model, chosen.settings, data.shape, generator)
    if model in ("gmm", "k-means"):
        made.prepare(torch.from_numpy(data.x[:200]), generator)
    return Saved(chosen, made.eval(), 0, torch.device("cpu")), data.x[:50]


@pytest.fixture(scope="module")
def gmvae():
    return fresh("gmvae-v2")


def test_draws_have_the_covariance_of_their_component():
    covariance = torch.tensor([[2.0, 0.9], [0.9, 1.0]])
    mixture = Components(
        torch.tensor([[0.0, 0.0], [5.0, -5.0]]),
        torch.stack([covariance.diagonal(), torch.ones(2)]),
        torch.ones(2) / 2,
        torch.stack([covariance, torch.eye(2)]),
    )
    c = torch.arange(2).repeat(20_000)
    z = draw_latents(mixture, c, 0.5, torch.Generator().manual_seed(1))
    assert torch.cov(z[c == 0].T) == pytest.approx(0.25 * covariance, abs=0.02)
    assert z[c == 1].mean(0) == pytest.approx(torch.tensor([5.0, -5.0]), abs=0.02)


@pytest.mark.parametrize("model", LATENT)
def test_every_model_draws_its_components(model):
    saved, x = fresh(model)
    drawn = component_samples(saved, 4, seed=3)
    assert drawn.shape == (3, 4, 1, 8, 8)
    assert np.array_equal(drawn, component_samples(saved, 4, seed=3))
    assert not np.array_equal(drawn, component_samples(saved, 4, seed=4))
    cold = component_samples(saved, 4, temperature=0.0)
    assert cold[:, 1:] == pytest.approx(cold[:, :1].repeat(3, 1), abs=1e-5)
    assert prior_samples(saved, 7).shape == (7, 1, 8, 8)
    assert reconstructions(saved, x[:5]).shape == (5, 1, 8, 8)


@pytest.mark.parametrize("model", LATENT)
def test_interpolation_begins_and_ends_at_the_latents(model):
    saved, x = fresh(model)
    path = interpolation(saved, x[[4, 9]], 6)
    with torch.no_grad():
        latents = saved.model.encode(torch.from_numpy(x[[4, 9]]))[0].float().numpy()
    assert path.latents[[0, -1]] == pytest.approx(latents, abs=1e-4)
    steps = np.diff(path.latents, axis=0)
    assert steps == pytest.approx(steps[:1].repeat(5, 0), abs=1e-3)
    assert path.probabilities.sum(1) == pytest.approx(np.ones(6), abs=1e-4)
    assert path.observations.shape == (6, 1, 8, 8)


def test_probabilities_at_the_ends_of_a_gmvae_are_its_responsibilities(gmvae):
    saved, x = gmvae
    path = interpolation(saved, x[[0, 1]], 5)
    with torch.no_grad():
        expected = saved.model.log_responsibilities(torch.from_numpy(x[[0, 1]])).exp().numpy()
    assert path.probabilities[[0, -1]] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model", ["gmm", "k-means"])
def test_posterior_of_observations_is_the_models_own(model):
    saved, x = fresh(model)
    z = torch.from_numpy(x[:20].reshape(20, -1))
    with torch.no_grad():
        expected = saved.model.log_responsibilities(torch.from_numpy(x[:20])).exp()
        assert log_posterior(saved.model, z).exp() == pytest.approx(expected, abs=1e-3)


def test_points_of_latent_space_are_decoded_with_their_probabilities(gmvae):
    saved, _ = gmvae
    means = saved.model.components().means.detach().numpy()
    decoded, probabilities = decode_points(saved, means)
    with torch.no_grad():
        assert decoded == pytest.approx(saved.model.decode(torch.from_numpy(means)).numpy())
    assert probabilities.shape == (3, 3)


def test_style_moves_most_along_its_first_direction(gmvae):
    saved, _ = gmvae
    directions = style_directions(saved, 1, 4)
    assert directions @ directions.T == pytest.approx(np.eye(4), abs=1e-4)

    def moved(direction):
        w = torch.from_numpy(1e-2 * direction)
        with torch.no_grad():
            there, here = saved.model.mixture_at(w)[0], saved.model.mixture_at(0 * w)[0]
        return float((there - here)[1].norm())

    assert moved(directions[0]) >= moved(directions[1]) >= moved(directions[3])
    drawn = style_traversal(saved, 1, directions, np.array([-1.0, 0.0, 1.0]))
    assert drawn.shape == (4, 3, 1, 8, 8)
    assert drawn[:, 1] == pytest.approx(drawn[:1, 1].repeat(4, 0), abs=1e-6)  # all meet at w = 0
    assert np.abs(drawn[0, 2] - drawn[0, 0]).max() > 0


def test_only_gmvae_has_a_style():
    for name in MODELS:
        saved = SimpleNamespace(model=MODELS[name].__new__(MODELS[name]))
        assert has_style(saved.model) == name.startswith("gmvae")
    with pytest.raises(ValueError, match="style"):
        style_directions(SimpleNamespace(model=None), 0, 1)


def test_densities_integrate_to_one_where_the_data_lie():
    saved, _ = fresh("gmm", "arcs", components=5)
    x = load("arcs").x[:1000]
    found = densities(saved, x)
    left, right, bottom, top = found.extent
    cell = (right - left) * (top - bottom) / (found.mixture.shape[0] - 1) ** 2
    assert found.mixture.sum() * cell == pytest.approx(1, abs=0.05)
    assert found.learned.sum() * cell == pytest.approx(1, abs=0.05)
    assert found.mixture_score > found.learned_score  # one was fitted to these, one had one step


def test_both_densities_are_scored_on_the_same_points():
    saved, _ = fresh("gmm", "arcs", components=5)
    x = load("arcs").x
    far = np.concatenate([x, x + 3])[:5000]  # every second of these is scored
    found = densities(saved, far)
    same = saved.model.log_density(torch.from_numpy(far[::2]), None).mean()
    assert found.learned_score == pytest.approx(float(same), abs=1e-4)
    fitted = GaussianMixture(5, n_init=3, random_state=0).fit(far)
    assert found.mixture_score == pytest.approx(fitted.score(far[::2]), abs=1e-4)


def test_fewer_points_than_components_are_said():
    saved, _ = fresh("k-means", "arcs", components=5)
    with pytest.raises(MixvizError, match="5 components cannot be fitted to 4 observations"):
        densities(saved, load("arcs").x[:4])


def test_covariances_at_the_floor_can_be_drawn_from():
    """One feature is the sum of the others: the smallest variance is the floor, 1e-6."""
    x = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32) * 100
    x[:, 2] = x[:, 0] + x[:, 1]
    chosen = plan(dataset="arcs", model="gmm", values={"components": 2})
    made = create("gmm", chosen.settings, (3,), torch.Generator().manual_seed(0))
    made.prepare(torch.from_numpy(x), torch.Generator().manual_seed(0))
    saved = Saved(chosen, made.eval(), 0, torch.device("cpu"))
    drawn = component_samples(saved, 500).reshape(-1, 3)
    assert np.isfinite(drawn).all()
    assert np.abs(drawn[:, 2] - drawn[:, 0] - drawn[:, 1]).max() < 0.1
    means, covariances, _ = mixture_arrays(made)
    assert bhattacharyya(means, covariances)[0, 1] < 1


def test_model_without_a_density_has_none():
    saved, _ = fresh("k-means", "arcs", components=5)
    found = densities(saved, load("arcs").x[:500])
    assert found.learned is None
    assert found.learned_score is None
