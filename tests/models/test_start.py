"""Tests of the starts: clusters by UMAP, how they teach q(c|x), and how they place components."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from mixviz.errors import MixvizError
from mixviz.models import build, clusters, model_class, start
from mixviz.models.latent_fit import as_array
from mixviz.models.start import moments, moved

TAUGHT = ("gmvae-v1", "gmvae-v2", "nvisa", "vade")
BLOBS = 4


@pytest.fixture(scope="module")
def blobs():
    """400 points of four groups far apart in five dimensions, and their labels."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(BLOBS), 100)
    centres = 8 * np.eye(5)[:BLOBS]
    x = centres[labels] + random.normal(size=(400, 5))
    return torch.from_numpy(x).float(), labels


@pytest.fixture
def unmapped(monkeypatch):
    """Clusters are looked for among the points themselves, which takes no time."""

    def points_themselves(method, points, settings, dimensions, progress):
        assert method == "umap"
        return points[:, :dimensions], None

    monkeypatch.setattr(clusters, "fit_map", points_themselves)


def taught(make, model, **settings):
    settings = {"components": BLOBS, "init": "umap-gmm", "network": "small"} | settings
    if model == "vade":
        settings = {"pretrain_epochs": 0} | settings
    if model == "nvisa":
        settings = {"samples": 2} | settings
    made = make(model, (5,), **settings)
    made.make_optimizers()
    return made


def agreement(log_probabilities, labels):
    """Share of points in the most frequent group of their component, if no two share a group."""
    assigned = log_probabilities.argmax(1).numpy()
    table = np.zeros((BLOBS, BLOBS), int)
    np.add.at(table, (assigned, labels), 1)
    assert len(set(table.argmax(1))) == BLOBS
    return table.max(1).sum() / len(labels)


def test_auto_is_the_start_that_pretraining_means():
    config = model_class("nvisa").Config
    assert config().start == "random"
    assert config(pretrain_epochs=3).start == "ae-gmm"
    assert config(init="random", pretrain_epochs=3).autoencoder_epochs == 0
    assert config(init="umap-gmm", pretrain_epochs=3).autoencoder_epochs == 3
    assert model_class("vade").Config().start == "ae-gmm"


@pytest.mark.parametrize("name", ["gmvae-v2", "amm", "mpcc"])
@pytest.mark.parametrize("init", ["ae-gmm", "ae-umap-gmm"])
def test_codes_need_epochs(name, init):
    with pytest.raises(MixvizError, match="pretrain_epochs=1 or more"):
        build(model_class(name).Config, {"init": init})


def test_umap_finds_groups_and_tells_how_far_it_is(make, blobs, seeded):
    x, labels = blobs
    model, said = taught(make, "nvisa"), []
    model.report = lambda task, share: said.append((task, share))
    model.prepare(x, seeded(0))
    found = model.responsibilities
    torch.testing.assert_close(found.sum(1), torch.ones(400))
    assert agreement(found, labels) == 1
    assert "UMAP of 400 observations" in said[0][0]
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    again = taught(make, "nvisa")
    again.prepare(x, seeded(0))
    assert torch.equal(again.responsibilities, found)


def test_the_likeliest_fit_of_about_equal_weights_teaches(
    make, blobs, seeded, unmapped, monkeypatch
):
    numbers = iter(range(4))

    class Scripted:
        """The first is the likeliest with its own weights, the second with equal ones.

        The weights of the second are 0.45 nats from equal ones, those of the third 0.02.
        """

        def __init__(self, components, **_):
            self.number, self.components = next(numbers), components

        def fit(self, points):
            uneven, even = [0.7, 0.1, 0.1, 0.1], [0.3, 0.3, 0.2, 0.2]
            self.weights_ = np.array(even if self.number == 2 else uneven)
            return self

        def score(self, points):
            equal = np.allclose(self.weights_, 1 / self.components)
            return [1.0, 5.8, 5.0, 3.0][self.number] if equal else [9.0, 0, 0, 0][self.number]

        def predict_proba(self, points):
            return np.eye(4)[np.full(len(points), self.number)]

    monkeypatch.setattr("sklearn.mixture.GaussianMixture", Scripted)
    monkeypatch.setattr(clusters, "_RESTARTS", 4)
    model = taught(make, "nvisa", components=4)
    model.prepare(blobs[0], seeded(0))
    assert model.responsibilities.argmax(1).eq(2).all()


def test_umap_leaves_pytorch_its_threads(make, blobs, seeded):
    assert torch.get_num_threads() == 1  # the fixture's
    taught(make, "vade").find_clusters(blobs[0], seeded(0))
    assert torch.get_num_threads() == 1


def test_of_many_observations_some_have_no_teacher(make, blobs, seeded, unmapped, monkeypatch):
    monkeypatch.setattr(start, "_MOST_TAUGHT", 300)
    model = taught(make, "nvisa")
    model.prepare(blobs[0], seeded(0))
    totals = model.responsibilities.sum(1)
    assert ((totals - 1).abs() < 1e-5).sum() == 300
    assert (totals == 0).sum() == 100


def test_images_are_blurred_before_umap_and_codes_are_not(make, seeded, monkeypatch):
    seen = []

    def fit(method, points, settings, count, progress):
        seen.append(points)
        return points[:, :count], None

    monkeypatch.setattr(clusters, "fit_map", fit)
    x = torch.zeros(30, 1, 5, 5)
    x[torch.arange(30), 0, 2, torch.arange(30) % 5] = 1  # a dot in the middle row
    settings = {"teacher_epochs": 1, "map_blur": 1.0, "components": 2}
    given = make("gmvae-v2", (1, 5, 5), init="umap-gmm", **settings)
    given.find_clusters(x, seeded(0))
    dot = seen[0][2].reshape(5, 5)  # in the middle
    assert dot.sum() == pytest.approx(1, abs=1e-5)
    assert dot[2] / dot[2].sum() == pytest.approx(dot[:, 2] / dot[:, 2].sum(), abs=1e-5)
    assert dot[2, 1] / dot[2, 2] == pytest.approx(np.exp(-0.5), abs=0.02)
    codes = torch.randn((30, 3), generator=seeded(1))
    mapped = make("gmvae-v2", (1, 5, 5), init="ae-umap-gmm", pretrain_epochs=1, **settings)
    mapped.find_clusters(x, seeded(0), codes)
    assert seen[1] == pytest.approx(codes.numpy())


def test_umap_looks_at_as_many_neighbours_as_are_asked_for(make, blobs, seeded, monkeypatch):
    seen = []

    def fit(method, points, settings, count, progress):
        seen.append(settings.neighbours)
        return points[:, :count], None

    monkeypatch.setattr(clusters, "fit_map", fit)
    for more in ({}, {"map_neighbours": 50}):
        taught(make, "nvisa", **more).prepare(blobs[0], seeded(0))
    assert seen == [20, 50]


def test_what_most_clusterings_agree_on_outvotes_one_that_differs():
    draws = np.random.RandomState(0)
    truth = np.repeat(np.arange(3), 40)
    odd = (truth + (np.arange(120) % 2)) % 3  # half of every cluster lies with the next
    votes = []
    for shift, labels in enumerate([truth, truth, odd, truth]):
        votes.append(np.eye(3)[(labels + shift) % 3])  # names of clusters differ from fit to fit
    found = clusters.consensus(votes, random_state=draws)
    assert found.shape == (120, 3)
    assert set(found.ravel()) == {0.0, 1.0}
    assert adjusted_rand_score(truth, found.argmax(1)) == 1
    assert adjusted_rand_score(truth, odd) < 0.5


def test_every_map_has_a_seed_and_the_likeliest_mixture_of_its_own(
    make, blobs, seeded, monkeypatch
):
    seeds, agreed, told = [], [], []

    def fit(method, points, settings, count, progress):
        seeds.append(settings.seed)
        progress(1.0)
        return points[:, :count], None

    def consensus(found, random_state):
        agreed.extend(found)
        return found[1]

    monkeypatch.setattr(clusters, "fit_map", fit)
    monkeypatch.setattr(clusters, "consensus", consensus)
    one = taught(make, "nvisa")
    one.prepare(blobs[0], seeded(0))
    assert not agreed
    several = taught(make, "nvisa", map_count=3)
    several.report = lambda task, share: told.append((task, share))
    several.prepare(blobs[0], seeded(0))
    assert seeds[0] == seeds[1]  # one map is the first of several
    assert len(set(seeds[1:])) == 3
    assert len(agreed) == 3
    assert torch.equal(several.responsibilities, torch.from_numpy(agreed[1]).float())
    tasks, shares = zip(*told, strict=True)
    assert list(shares) == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert {task[:11] for task in tasks} == {"UMAP 1 of 3", "UMAP 2 of 3", "UMAP 3 of 3"}


def test_codes_that_are_not_finite_leave_no_teacher(make, blobs, seeded, unmapped):
    model = taught(make, "nvisa", init="ae-umap-gmm", pretrain_epochs=1)
    model.find_clusters(blobs[0], seeded(0), torch.full((400, 3), torch.nan))
    assert model.teacher_weight == 0


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("init", ["ae-gmm", "ae-umap-gmm", "umap-gmm"])
def test_diverged_pretraining_is_left_to_the_terms(make, blobs, seeded, unmapped, name, init):
    x, noise = blobs[0], seeded(0)
    model = taught(make, name, init=init, pretrain_epochs=1)
    model.prepare(x, noise)
    with torch.no_grad():
        network = model.encoder if name == "vade" else model.trunk
        next(network.parameters()).fill_(torch.nan)
    model.end_epoch(1, x, noise)
    assert not model.pretraining
    assert any(not value.isfinite() for value in model.training_step(x[:50], noise).values())


def test_fewer_observations_than_components_are_refused(make, blobs, seeded):
    with pytest.raises(MixvizError, match="3 observations cannot be 4 clusters; take components=3"):
        taught(make, "nvisa").prepare(blobs[0][:3], seeded(0))


@pytest.mark.parametrize("name", ["gmm", "k-means", "dec", "vade", "ae-gmm", "vae-gmm"])
def test_models_that_place_components_refuse_too_few_observations(make, blobs, seeded, name):
    with pytest.raises(MixvizError, match="3 observations cannot be 4 clusters; take components=3"):
        make(name, (5,), components=4).prepare(blobs[0][:3], seeded(0))


@pytest.mark.parametrize("name", TAUGHT)
def test_pretraining_for_more_clusters_than_observations_is_refused_at_once(
    make, blobs, seeded, name
):
    model = taught(make, name, init="ae-gmm", pretrain_epochs=5)
    with pytest.raises(MixvizError, match="3 observations cannot be 4 clusters; take components=3"):
        model.prepare(blobs[0][:3], seeded(0))


def test_a_handful_of_observations_is_mapped(make, blobs, seeded):
    model, x = taught(make, "nvisa"), blobs[0][::40].repeat(1, 3)
    model.prepare(x, seeded(0))
    assert model.responsibilities.shape == (10, BLOBS)
    torch.testing.assert_close(model.responsibilities.sum(1), torch.ones(10))
    with pytest.raises(MixvizError, match="at least 10 points; there are 9"):
        taught(make, "nvisa").prepare(x[:9], seeded(0))


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("pretrain_epochs", [0, 1])
def test_no_epochs_of_teaching(make, blobs, seeded, unmapped, name, pretrain_epochs):
    x, noise = blobs[0], seeded(0)
    model = taught(make, name, teacher_epochs=0, pretrain_epochs=pretrain_epochs)
    model.prepare(x, noise)
    for epoch in range(3):
        model.rows = torch.arange(50)
        assert "teacher" not in model.training_step(x[:50], noise)
        model.end_epoch(epoch + 1, x, noise)
    assert len(model.responsibilities) == 0


def test_weight_of_the_teacher(make, blobs, seeded, unmapped):
    model = taught(make, "nvisa", teacher_epochs=6)
    assert model.teacher_weight == 0  # nothing is known yet
    model.prepare(blobs[0], seeded(0))
    weights = []
    for epoch in range(7):
        weights.append(model.teacher_weight)
        model.end_epoch(epoch + 1, blobs[0], seeded(0))
    assert weights == pytest.approx([100, 100, 100, 100, 100, 50, 0])
    assert len(model.responsibilities) == 0


@pytest.mark.parametrize("name", TAUGHT)
def test_teacher_is_a_cross_entropy_beside_the_objective(make, blobs, seeded, unmapped, name):
    x, _ = blobs
    model = taught(make, name)
    model.prepare(x, seeded(0))
    model.rows = torch.tensor([3, 150, 390])
    batch = x[model.rows]
    total, terms = model.training_objective(batch, seeded(1))
    objective, plain = model.objective(batch, seeded(1))
    log_c = model.log_responsibilities(batch).detach()
    by_hand = -sum(
        float(model.responsibilities[row, c]) * float(log_c[i, c])
        for i, row in enumerate(model.rows)
        for c in range(BLOBS)
    ) / len(batch)
    # The teacher's pass moves the statistics of batch normalisation, not its output in training.
    assert float(terms["teacher"]) == pytest.approx(by_hand, rel=1e-4)
    assert (objective - total).item() == pytest.approx(100 * by_hand, rel=1e-4)
    assert set(terms) == {*plain, "teacher"}

    model.rows = None
    assert model.training_objective(batch, seeded(1))[0].item() == pytest.approx(objective.item())


@pytest.mark.parametrize("name", TAUGHT)
def test_taught_components_are_the_groups_and_the_teacher_goes(make, blobs, seeded, unmapped, name):
    x, labels = blobs
    model, noise = taught(make, name, teacher_epochs=30, learning_rate=2e-3), seeded(0)
    model.prepare(x, noise)
    for epoch in range(30):
        for rows in torch.randperm(400, generator=noise).split(100):
            model.rows = rows
            terms = model.training_step(x[rows], noise)
            assert "teacher" in terms
        model.end_epoch(epoch + 1, x, noise)
    assert "teacher" not in model.training_step(x[:100], noise)
    model.eval()
    with torch.no_grad():
        assert agreement(model.log_responsibilities(x), labels) > 0.98


@pytest.mark.parametrize("name", ["gmvae-v2", "vade", "nvisa"])
@pytest.mark.parametrize("init", ["ae-gmm", "ae-umap-gmm", "umap-gmm"])
def test_components_are_placed_on_the_codes(make, blobs, seeded, unmapped, name, init):
    x, labels = blobs
    model, noise = taught(make, name, init=init, pretrain_epochs=10), seeded(0)
    model.prepare(x, noise)
    for epoch in range(10):
        for rows in torch.randperm(400, generator=noise).split(50):
            terms = model.training_step(x[rows], noise)
            assert "teacher" not in terms
        model.end_epoch(epoch + 1, x, noise)
    model.eval()
    with torch.no_grad():
        codes, log_c = model.encode(x)
        assert agreement(log_c, labels) > 0.9
        means = model.components().means
        for c in log_c.argmax(1).unique():
            centre = codes[log_c.argmax(1) == c].mean(0)
            assert (centre - means).square().sum(1).argmin() == c


@pytest.mark.parametrize("name", ["gmvae-v1", "gmvae-v2", "vade"])
def test_the_mixture_starts_as_it_was_fitted(make, blobs, seeded, unmapped, name):
    x, _ = blobs
    model, noise = taught(make, name, init="umap-gmm", pretrain_epochs=1), seeded(0)
    model.prepare(x, noise)
    model.end_epoch(1, x, noise)
    model.eval()
    with torch.no_grad():
        fitted = moments(as_array(model.posterior(x)[0]), as_array(model.responsibilities))
    components = model.components()
    variances = np.diagonal(fitted.covariances, axis1=1, axis2=2)
    np.testing.assert_allclose(as_array(components.means), fitted.means, atol=1e-4)
    np.testing.assert_allclose(as_array(components.variances), variances, rtol=1e-3)


def test_classifier_head_starts_on_the_mixture_of_the_codes(make, blobs, seeded):
    x, labels = blobs
    model, noise = taught(make, "gmvae-v1", init="ae-gmm", pretrain_epochs=10), seeded(0)
    for epoch in range(10):
        for rows in torch.randperm(400, generator=noise).split(50):
            model.training_step(x[rows], noise)
        model.end_epoch(epoch + 1, x, noise)
    model.eval()
    with torch.no_grad():
        assert agreement(model.log_responsibilities(x), labels) > 0.95


def test_of_more_codes_than_are_fitted_some_are_drawn(make, blobs, seeded, unmapped, monkeypatch):
    """The data of the test are in the order of their groups, as those of users are."""
    x, labels = blobs
    monkeypatch.setattr("mixviz.models.autoencoder.MOST_FITTED", 200)
    model, noise = taught(make, "vade"), seeded(0)
    model.prepare(x, noise)
    means = model.components().means
    model.eval()
    with torch.no_grad():
        codes = model.posterior(x)[0]
    for group in range(BLOBS):
        centre = codes[labels == group].mean(0)
        assert (means - centre).norm(dim=1).min() < 0.2 * codes.std(0).norm()


def test_checkpoint_in_the_middle_of_teaching(make, blobs, seeded, unmapped):
    model, other = taught(make, "gmvae-v2"), taught(make, "gmvae-v2")
    model.prepare(blobs[0], seeded(0))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.responsibilities, model.responsibilities)


def test_teacher_may_see_moved_images(make, seeded, unmapped):
    x = torch.rand((60, 1, 28, 28), generator=seeded(1))
    given = {"components": 3, "init": "umap-gmm", "network": "small"}
    for moves in (False, True):
        model = make("gmvae-v1", (1, 28, 28), teacher_augment=moves, **given).eval()
        model.prepare(x, seeded(0))
        model.rows = torch.arange(60)
        with torch.no_grad():
            terms = model.training_objective(x, seeded(2))[1]
            after_objective = seeded(2)
            model.objective(x, after_objective)
            seen = moved(x, after_objective) if moves else x
            wanted = -(model.responsibilities * model.log_responsibilities(seen)).sum(-1).mean()
        assert torch.equal(seen, x) != moves
        assert terms["teacher"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_moments_of_hard_groups_are_those_of_each_group(blobs):
    x, labels = blobs
    points = as_array(x)
    mixture = moments(points, np.eye(BLOBS)[labels])
    floor = 1e-3 * points.var(0).mean() * np.eye(5)
    for c in range(BLOBS):
        group = points[labels == c]
        np.testing.assert_allclose(mixture.means[c], group.mean(0))
        np.testing.assert_allclose(mixture.covariances[c], np.cov(group.T, ddof=0) + floor)
    np.testing.assert_allclose(mixture.weights, 0.25)


def test_moved_images(seeded, monkeypatch):
    x = torch.zeros(200, 1, 28, 28)
    x[:, :, 13:15, 13:15] = 1  # in the middle: turning does not move it
    seen = moved(x, seeded(0))
    assert torch.equal(seen, moved(x, seeded(0)))
    places = torch.arange(28.0)
    mass = seen.sum((1, 2, 3))
    across = (seen.sum((1, 2)) * places).sum(1) / mass - 13.5
    down = (seen.sum((1, 3)) * places).sum(1) / mass - 13.5
    for shift in (across, down):
        assert shift.abs().max() < 2.4  # two pixels, times at most 1.12
        assert 0.9 < shift.std() < 1.4  # of a uniform one: 2 / sqrt(3)
    monkeypatch.setattr(
        start, "random_values", lambda fill, shape, *_, **__: torch.full(shape, 0.5)
    )
    torch.testing.assert_close(moved(x, seeded(0)), x)
