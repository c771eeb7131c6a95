"""Tests of what is seen of a model: encodings, terms, snapshots and scores, without a trace."""

import random

import numpy as np
import pytest
import torch

from mixviz.data import Dataset, load
from mixviz.evaluation import accuracies, bhattacharyya
from mixviz.models import MODELS, build, create, model_class
from mixviz.training.device import stream
from mixviz.training.observe import (
    BATCH,
    GRID,
    Diverged,
    Observer,
    encode,
    evaluate,
    evaluating,
    mean_terms,
    mixture_arrays,
)

CPU = torch.device("cpu")


def trained(name, dataset, steps=5, **settings):
    """Return a model after a few steps on a data set, in training mode."""
    data = load(dataset, "train")
    config = build(model_class(name).Config, {"components": 4, **settings})
    model = create(name, config, data.shape, torch.Generator().manual_seed(0))
    x, noise = torch.from_numpy(data.x), torch.Generator().manual_seed(1)
    model.prepare(x, noise)
    model.make_optimizers()
    for start in range(0, 200 * steps, 200):
        model.training_step(x if model.full_batch else x[start : start + 200], noise)
    return model.train()


@pytest.fixture(
    scope="module",
    params=[(name, data) for name in MODELS for data in ("arcs", "digits")],
    ids=lambda pair: " on ".join(pair),
)
def case(request):
    """Every model on points and on images; tests leave it as it is."""
    name, dataset = request.param
    settings = {"covariance_type": "diag"} if request.param == ("gmm", "digits") else {}
    return trained(name, dataset, **settings), load(dataset, "test")


def observer(data, count=300):
    return Observer(data, count, 5, CPU)


def test_encoding_is_the_posterior_mean_and_the_responsibilities(case):
    model, data = case
    x = torch.from_numpy(data.x[:700])
    with evaluating(model):
        found = encode(model, x)
        latents, responsibilities = model.posterior(x)[0], model.log_responsibilities(x).exp()
    assert found.latents == pytest.approx(latents.numpy(), rel=1e-4, abs=1e-4)
    assert found.responsibilities == pytest.approx(responsibilities.numpy(), rel=1e-3, abs=1e-4)
    assert (found.assignments == found.responsibilities.argmax(1)).all()
    rows = np.arange(len(x))
    assert (found.confidences == found.responsibilities[rows, found.assignments]).all()


def test_terms_of_an_evaluation_are_means_over_the_split(case):
    model, data = case
    x, draws = torch.from_numpy(data.x), stream(3, "evaluation")
    size = BATCH[data.kind == "vector"]
    totals = {}
    with evaluating(model):
        for start in range(0, len(x), size):
            batch = x[start : start + size]
            for name, value in model.evaluate_terms(batch, draws).items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(batch)
    result = evaluate(model, data, 3, CPU)
    left_out = {"conditional_prior"} if model.title == "VaDE" else set()  # while it is pretrained
    assert set(result["terms"]) == set(totals) == set(model.terms) - left_out
    for name, value in result["terms"].items():
        assert value == pytest.approx(totals[name] / len(x), rel=1e-6)


def test_small_last_batch_counts_by_its_size(monkeypatch):
    model = trained("gmvae-v2", "digits", steps=1)
    x = torch.from_numpy(load("digits").x)
    x = torch.cat([x[:500], 1 + x[500:530]])
    monkeypatch.setattr(model, "evaluate_terms", lambda x, generator: {"objective": x.mean()})
    assert mean_terms(model, x, 0)["objective"] == pytest.approx(float(x.mean()), rel=1e-5)


def test_scores_of_an_evaluation_are_of_the_whole_split(case):
    model, data = case
    with evaluating(model):
        encoded = encode(model, torch.from_numpy(data.x))
    result = evaluate(model, data, 0, CPU)
    assert result["accuracy"] == accuracies(encoded.log_responsibilities, data.labels)
    assert (result["split"], result["dataset"]) == (data.split, data.name)
    assert result["verdict"].startswith("4 components, ")


def test_data_without_labels_have_no_scores_that_need_them():
    model, data = trained("gmvae-v2", "arcs"), load("arcs", "test")
    bare = Dataset(data.name, data.split, data.x, data.kind, data.scaling)
    result = evaluate(model, bare, 0, CPU)
    assert result["accuracy"] is result["nmi"] is result["ari"] is None
    assert 1 <= result["effective_components"] <= 4
    assert result["terms"] == evaluate(model, data, 0, CPU)["terms"]
    snapshot = observer(bare).snapshot(model, 0, 0.0, 0.0)
    assert "hungarian" not in snapshot.metrics
    assert "information" in snapshot.metrics


def test_snapshot_leaves_no_trace(case):
    model, data = case
    watcher = observer(data)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = watcher.snapshot(model, 0, 0.0, 0.0)
    assert model.training
    assert torch.is_grad_enabled()
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    again = watcher.snapshot(model, 1, 0.0, 0.0)
    assert again.terms == first.terms
    assert (again.samples == first.samples).all()
    assert again.points == pytest.approx(first.points, abs=1e-4)


def test_evaluation_mode_is_left_as_it_was_found(case):
    model, _ = case
    for training in (False, True):
        model.train(training)
        with evaluating(model):
            assert not model.training
            assert not torch.is_grad_enabled()
        assert model.training is training
        assert torch.is_grad_enabled()


def test_mixture_of_a_snapshot_is_the_models_own(case):
    model, data = case
    watcher = observer(data)
    snapshot = watcher.snapshot(model, 0, 0.0, 0.0)
    with evaluating(model):
        mixture = model.components()
        means, spread, _ = mixture_arrays(model)
        latents = model.posterior(watcher.x)[0].numpy()
    full = mixture.covariances
    if full is None:
        full = torch.diag_embed(mixture.variances)
    assert (snapshot.weights == mixture.weights.numpy()).all()
    assert (snapshot.overlap == bhattacharyya(means, spread)).all()
    if data.shape == (2,):
        assert snapshot.plane == "latent"
        assert (snapshot.means == mixture.means.numpy()).all()
        assert (snapshot.covariances == full.float().numpy()).all()
        assert snapshot.points == pytest.approx(latents, abs=1e-6)
    else:
        assert snapshot.plane == "pca"
        axes, centre = snapshot.axes, snapshot.centre
        assert axes.T @ axes == pytest.approx(np.eye(2), abs=1e-6)
        for found, covariance in zip(snapshot.covariances, full.double().numpy(), strict=True):
            assert found == pytest.approx(axes.T @ covariance @ axes, rel=1e-4, abs=1e-6)
        assert snapshot.means == pytest.approx((means - centre) @ axes, rel=1e-4, abs=1e-5)
        assert snapshot.points == pytest.approx((latents - centre) @ axes, rel=1e-3, abs=1e-4)


def test_snapshot_shows_the_chosen_observations(case):
    model, data = case
    watcher = observer(data, 50)
    snapshot, shown = watcher.snapshot(model, 3, 0.5, 1.5), watcher.subsample
    assert (snapshot.step, snapshot.epoch, snapshot.seconds) == (3, 0.5, 1.5)
    assert len(shown.indices) == len(set(shown.indices)) == len(snapshot.points) == 50
    assert (shown.labels == data.labels[shown.indices]).all()
    assert (watcher.x.numpy() == data.x[shown.indices]).all()
    assert (Observer(data, 50, 5, CPU).subsample.indices == shown.indices).all()
    assert (Observer(data, 50, 6, CPU).subsample.indices != shown.indices).any()
    counts = np.bincount(snapshot.assignments, minlength=4)
    assert snapshot.usage == pytest.approx(counts / 50)
    assert snapshot.samples.shape[:1] == (4,)
    assert snapshot.samples.shape[2:] == data.shape
    assert snapshot.samples.dtype == (np.float32 if data.kind == "vector" else np.uint8)
    assert snapshot.reconstructions.shape == shown.inputs.shape
    with evaluating(model):
        expected = accuracies(encode(model, watcher.x).log_responsibilities, shown.labels)
    assert expected.items() <= snapshot.metrics.items()


def test_density_picture_sums_to_one_over_the_plane():
    model, data = trained("gmm", "arcs", components=5), load("arcs", "test")
    snapshot = observer(data).snapshot(model, 0, 0.0, 0.0)
    left, right, bottom, top = snapshot.density_extent
    cells = [(b - a) / (size - 1) for a, b, size in ((left, right, GRID), (bottom, top, GRID))]
    assert snapshot.density.sum() * cells[0] * cells[1] == pytest.approx(1, abs=0.02)
    assert left < data.x[:, 0].min()
    assert top > data.x[:, 1].max()


def test_model_that_gives_no_numbers_is_said_to_have_diverged():
    model, data = trained("gmvae-v2", "arcs"), load("arcs", "test")
    with torch.no_grad():
        model.streams.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="not finite"):
        evaluate(model, data, 0, CPU)
