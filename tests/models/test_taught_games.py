"""Tests of how clusters that are found first teach the models of several players."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from mixviz.errors import MixvizError
from mixviz.models import clusters
from mixviz.models.latent_fit import fit_mixture
from mixviz.models.start import Lesson

GROUPS = 4
NAMES = ["amm", "samm", "mpcc"]
QUICK = {
    "amm": {"network": "small", "learning_rate": 2e-3, "penalty_weight": 1.0},
    "samm": {"network": "small", "learning_rate": 2e-3, "penalty_weight": 1.0},
    "mpcc": {"network": "dense", "width": 8, "learning_rate": 2e-3, "d_steps": 1, "e_steps": 1},
}


@pytest.fixture
def groups(monkeypatch):
    """400 points of four groups in five dimensions and their labels; UMAP takes no time."""
    monkeypatch.setattr(
        clusters,
        "fit_map",
        lambda method, points, settings, count, progress: (points[:, :count], 0),
    )
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(GROUPS), 100)
    x = 4 * np.eye(5)[:GROUPS][labels] + 0.5 * random.normal(size=(400, 5))
    return torch.from_numpy(x).float(), torch.from_numpy(labels)


def taught(make, name, groups, **settings):
    """Return a model that has found the groups."""
    settings = {"components": GROUPS, "init": "umap-gmm"} | QUICK[name] | settings
    model = make(name, (5,), **settings).train()
    x, labels = groups
    if name == "samm":
        some = torch.arange(0, 400, 20)
        model.supervise(x[some], labels[some])
    model.make_optimizers()
    model.prepare(x, torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize("name", NAMES)
def test_taught_components_are_the_groups_and_the_teacher_goes(make, groups, name):
    model = taught(make, name, groups, teacher_epochs=45)
    x, labels = groups
    noise = torch.Generator().manual_seed(1)
    for epoch in range(45):
        for rows in torch.randperm(400, generator=noise).split(100):
            model.rows = rows
            assert "teacher" in model.training_step(x[rows], noise)
        model.end_epoch(epoch + 1, x, noise)
    assert len(model.responsibilities) == 0
    assert "teacher" not in model.training_step(x[rows], noise)
    model.eval()
    with torch.no_grad():
        found = model.log_responsibilities(x).argmax(1)
    table = torch.zeros(GROUPS, GROUPS).index_put_(
        (labels, found), torch.ones(400), accumulate=True
    )
    assert set(table.argmax(1).tolist()) == set(range(GROUPS))
    assert table.amax(1).sum() > 0.95 * 400
    if name == "samm":
        assert table.diagonal().sum() > 0.95 * 400  # a component is the class of its number
    if name != "mpcc":
        assert model.bayes_agreement(x) > 0.85  # z lies in the component that q(c|x) names


@pytest.mark.parametrize("name", ["amm", "samm"])
def test_teacher_reaches_the_encoder_alone(make, groups, name):
    """One step with the teacher and one without: what other players do is the same."""
    weights = {}
    for teacher_epochs in (3, 0):
        model = taught(make, name, groups, teacher_epochs=teacher_epochs)
        model.rows = torch.arange(0, 400, 8)
        before = {n: v.clone() for n, v in model.named_parameters()}
        terms = model.training_step(groups[0][model.rows], torch.Generator().manual_seed(2))
        assert ("teacher" in terms) == bool(teacher_epochs)
        weights[teacher_epochs] = {n: v.detach().clone() for n, v in model.named_parameters()}
        assert any((before[n] != v).any() for n, v in weights[teacher_epochs].items())
    moved = {n for n, v in weights[3].items() if not torch.equal(v, weights[0][n])}
    assert moved
    assert all(n.startswith("encoder.") for n in moved)


@pytest.mark.parametrize("name", ["amm", "samm"])
def test_lesson_has_no_dropout_and_draws_from_nowhere(make, name):
    """The networks of 28x28 images have dropout, whose masks must come from the run's generator."""
    model = make(name, (1, 28, 28), components=GROUPS, init="umap-gmm").train()
    lesson = Lesson(1.0, torch.rand((6, 1, 28, 28)), torch.eye(GROUPS)[[0, 1, 2, 3, 0, 1]])
    before = torch.get_rng_state()
    assert torch.equal(model.lesson_loss(lesson), model.lesson_loss(lesson))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("count", [1, GROUPS])
def test_lesson_moves_no_batch_statistics(make, count):
    model = make("amm", (1, 28, 28), components=count, init="ae-gmm", pretrain_epochs=1).train()
    before = {name: value.clone() for name, value in model.mixture.named_buffers()}
    assert any("running_mean" in name for name in before)
    rows = torch.arange(6) % count
    loss = model.lesson_loss(Lesson(1.0, torch.rand((6, 1, 28, 28)), torch.eye(count)[rows]))
    assert loss.isfinite()
    assert all(torch.equal(before[name], value) for name, value in model.mixture.named_buffers())
    assert model.mixture.training


def test_lesson_of_clusters_that_no_label_was_seen_of_is_finite(make, groups):
    x, labels = groups
    model = make("samm", (5,), components=GROUPS, init="umap-gmm", **QUICK["samm"]).train()
    some = torch.arange(0, 300, 20)  # none of the last group
    model.supervise(x[some], labels[some])
    model.make_optimizers()
    model.prepare(x, torch.Generator().manual_seed(0))
    assert model.class_frequencies[-1] == 0
    for rows in torch.arange(400).split(100):
        model.rows = rows
        terms = model.training_step(x[rows], torch.Generator().manual_seed(1))
        assert all(value.isfinite() for value in terms.values())
    assert all(p.isfinite().all() for p in model.parameters())


def test_teacher_of_the_amm_is_the_mean_cross_entropy_of_both_classifiers(make, groups):
    model = taught(make, "amm", groups)
    model.rows = torch.tensor([3, 150, 390, 12])
    batch = groups[0][model.rows]
    head = model.infer(batch, None).c_mean.log_softmax(1)
    classifiers = head, model.classifiers(batch)["bayes"]
    target = model.responsibilities[model.rows]
    by_hand = -sum(float((target * log_c.detach()).sum()) for log_c in classifiers) / (2 * 4)
    terms = model.training_step(batch, torch.Generator().manual_seed(2))
    assert terms["teacher"].item() == pytest.approx(by_hand, rel=1e-4)


def test_lesson_of_mpcc_is_the_bound_of_an_observation_and_its_cluster(make, groups):
    model = taught(make, "mpcc", groups).double().eval()  # so that batch norms are fixed
    x = model._inward(groups[0][::57].double())
    target = torch.eye(GROUPS, dtype=torch.float64)[torch.arange(len(x)) % GROUPS]
    loss, cross_entropy = model.lesson_loss(
        Lesson(1.0, x, target), torch.Generator().manual_seed(4)
    )

    mean, log_variance = model.infer(x)
    q = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    noise = torch.randn(
        (1, *mean.shape), generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )[0]
    z = mean + noise * (0.5 * log_variance).exp()
    c = target.argmax(1)
    made = model.generate(model.generator, z, c)
    p = Independent(Normal(model.prior.means[c], model.prior.deviations()[c]), 1)
    likelihood = Independent(Normal(made, 0.5), 1).log_prob(x) + 5 * math.log(
        0.5 * math.sqrt(2 * math.pi)
    )
    bound = (likelihood - kl_divergence(q, p)).mean()
    log_c = model.prior.log_posterior(mean)
    assert cross_entropy.item() == pytest.approx(-log_c[torch.arange(len(x)), c].mean().item())
    assert loss.item() == pytest.approx((-bound + 10 * cross_entropy).item())


def test_clusters_of_the_samm_are_numbered_as_the_classes(make, groups):
    x, labels = groups
    for turn in range(GROUPS):
        settings = {"components": GROUPS, "init": "umap-gmm"} | QUICK["samm"]
        model = make("samm", (5,), **settings)
        some = torch.arange(0, 400, 20)
        turned = (labels + turn) % GROUPS
        model.supervise(x[some], turned[some])
        model.find_clusters(x, torch.Generator().manual_seed(0))
        assert (model.responsibilities.argmax(1) == turned).float().mean() > 0.98


@pytest.mark.parametrize("init", ["ae-gmm", "ae-umap-gmm"])
@pytest.mark.parametrize("name", NAMES)
def test_clusters_of_codes_are_the_groups(make, groups, name, init, monkeypatch):
    _, labels = groups
    mapped = []

    def points_themselves(method, points, settings, count, progress):
        mapped.append(points)
        return points[:, :count], 0

    def noted(points, *rest, **settings):
        mapped.append(points)
        return fit_mixture(points, *rest, **settings)

    monkeypatch.setattr(clusters, "fit_map", points_themselves)
    monkeypatch.setattr(clusters, "fit_mixture", noted)
    model = taught(make, name, groups, init=init, pretrain_epochs=30)
    assert [points.shape for points in mapped] == [(400, 10)]  # codes, not the points
    assert torch.allclose(model.responsibilities.sum(1), torch.ones(400))
    table = torch.zeros(GROUPS, GROUPS).index_put_(
        (labels, model.responsibilities.argmax(1)), torch.ones(400), accumulate=True
    )
    assert sorted(table.argmax(1).tolist()) == list(range(GROUPS))
    assert table.amax(1).sum() > 0.98 * 400
    # The autoencoder's epochs are none of the run's: the teacher begins with the first.
    assert model.own_epochs == 0
    assert model.teacher_weight == model.teacher_strength


def test_fewer_observations_than_components_train_no_autoencoder(make, groups):
    x, _ = groups
    said = []
    model = make("amm", (5,), components=5, init="ae-gmm", pretrain_epochs=2, network="small")
    model.report = lambda *progress: said.append(progress)
    with pytest.raises(MixvizError, match="3 observations cannot be 5 clusters"):
        model.prepare(x[:3], torch.Generator().manual_seed(0))
    assert not said
