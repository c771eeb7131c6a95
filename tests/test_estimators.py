import inspect
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import mixviz
from mixviz import AMM, DEC, GMVAE, MPCC, NVISA, VaDE
from mixviz.data import load
from mixviz.models import model_class
from mixviz.runs import RunStore, Status
from mixviz.training.config import plan
from mixviz.training.observe import Diverged, evaluating
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer

SHORT = {"n_components": 3, "epochs": 3, "batch_size": 20, "random_state": 7, "device": "cpu"}
QUICK = [
    GMVAE(**SHORT),
    GMVAE(version=1, **SHORT),
    NVISA(**SHORT),
    AMM(**SHORT),
    MPCC(**SHORT),
    VaDE(pretrain_epochs=1, **SHORT),
    DEC(pretrain_epochs=1, **SHORT),
]
# Long enough for the one check that asks for clusters; with two components none stays empty there,
# as it asks too.
CLUSTERING = [
    GMVAE(2, epochs=25, batch_size=16, learning_rate=0.003, z_prior_floor=0.6, device="cpu"),
    GMVAE(2, version=1, epochs=40, batch_size=16, learning_rate=0.003, device="cpu"),
    NVISA(2, epochs=10, batch_size=10, pretrain_epochs=5, device="cpu"),
    AMM(
        2,
        epochs=10,
        batch_size=10,
        mixture="fixed",
        component_spread=2.0,
        weight_deviation=0.2,
        learning_rate=0.004,
        device="cpu",
    ),
    MPCC(
        2,
        epochs=10,
        batch_size=12,
        width=8,
        standing_passes=2,
        d_steps=1,
        e_steps=2,
        learning_rate=0.003,
        prior_learning_rate=0.03,
        device="cpu",
    ),
    VaDE(2, epochs=12, batch_size=8, pretrain_epochs=8, device="cpu"),
    DEC(2, epochs=4, pretrain_epochs=2, device="cpu"),
]
BOUNDED = [estimator for estimator in QUICK if hasattr(estimator, "score_samples")]
IN_PARTS = [estimator for estimator in QUICK if hasattr(estimator, "partial_fit")]


def name_of(estimator):
    return type(estimator).__name__ + str(getattr(estimator, "version", ""))


each = pytest.mark.parametrize("estimator", QUICK, ids=name_of)
each_bounded = pytest.mark.parametrize("estimator", BOUNDED, ids=name_of)
each_in_parts = pytest.mark.parametrize("estimator", IN_PARTS, ids=name_of)


@pytest.fixture(scope="module")
def points():
    x, labels = make_blobs(n_samples=90, random_state=1)
    return StandardScaler().fit_transform(x).astype(np.float32), labels


@pytest.fixture(scope="module")
def images():
    return (load_digits().images[:60] / 16).astype(np.float32)


def bits(estimator):
    """Every tensor that training changed, as bytes."""
    tensors = dict(estimator.model_.state_dict())
    for name, optimizer in estimator.model_.optimizers().items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": value for key, value in state.items()}
    return {name: value.cpu().numpy().tobytes() for name, value in tensors.items()}


# ---- scikit-learn --------------------------------------------------------------------------


@parametrize_with_checks([clone(one).set_params(epochs=2, batch_size=100) for one in QUICK])
def test_scikit_learns_own_checks_pass(estimator, check):
    if check.func.__name__ == "check_clustering":
        estimator = next(other for other in CLUSTERING if name_of(other) == name_of(estimator))
    check(estimator)


@each
def test_works_in_a_pipeline(estimator, points):
    x, _ = points
    pipeline = make_pipeline(StandardScaler(), clone(estimator))
    labels = pipeline.fit_predict(x)
    np.testing.assert_array_equal(labels, pipeline.predict(x))
    assert pipeline.transform(x).shape == (90, pipeline[-1].means_.shape[1])


def test_a_grid_search_chooses_by_the_bound(points):
    grid = {"n_components": np.array([2, 3]), "learning_rate": np.array([1e-5, 1e-2])}
    search = GridSearchCV(clone(QUICK[0]), grid, cv=2, error_score="raise").fit(points[0])
    assert search.best_params_["learning_rate"] == 1e-2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_grid_search_chooses_what_is_of_the_run(points):
    grid = {"batch_size": np.array([10, 20]), "epochs": np.array([1, 2])}
    search = GridSearchCV(clone(QUICK[0]), grid, cv=2, error_score="raise").fit(points[0])
    assert len(search.best_estimator_.history_) == search.best_params_["epochs"]


def test_labels_of_an_earlier_fit_are_not_those_of_the_next(points):
    x, _ = points
    seen = []

    def look(estimator, epoch, terms):
        seen.append(hasattr(estimator, "labels_"))
        if len(seen) > 3:
            raise KeyboardInterrupt

    estimator = clone(QUICK[0]).set_params(callbacks=[look]).fit(x)
    assert len(estimator.labels_) == len(x)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(x[:50])
    assert not any(seen)
    assert not hasattr(estimator, "labels_")


@pytest.mark.parametrize("epochs", [3.0, "3", np.float64(3)])
def test_epochs_are_what_they_are_validated_as(points, epochs):
    fitted = clone(QUICK[0]).set_params(epochs=epochs, batch_size=20.0).fit(points[0])
    assert len(fitted.history_) == 3
    np.testing.assert_array_equal(fitted.labels_, clone(QUICK[0]).fit(points[0]).labels_)


def test_batch_size_changed_to_nonsense_between_epochs_is_a_value_error(points):
    fitted = clone(QUICK[0]).fit(points[0])
    with pytest.raises(ValueError, match="batch_size"):
        fitted.set_params(batch_size=0).partial_fit(points[0])


def test_a_grid_search_chooses_by_any_scorer_where_there_is_no_bound(points):
    x, labels = points
    search = GridSearchCV(
        clone(QUICK[-1]),
        {"latent_size": [2, 5]},
        scoring="adjusted_rand_score",
        cv=2,
        error_score="raise",
    ).fit(x, labels)
    assert np.isfinite(search.best_score_)


@each
def test_clones_have_the_same_parameters(estimator):
    assert clone(estimator).get_params() == estimator.get_params()
    changed = clone(estimator).set_params(n_components=5)
    assert changed.n_components == 5 and estimator.n_components == 3


@each
def test_every_setting_of_the_model_is_a_documented_parameter(estimator):
    settings = {
        setting
        for name in estimator._models.values()
        for setting in model_class(name).Config.model_fields
    }
    parameters = estimator.get_params()
    assert settings - {"components"} <= parameters.keys()
    assert next(iter(inspect.signature(type(estimator)).parameters)) == "n_components"
    for name in parameters:
        assert f"\n{name} : " in type(estimator).__doc__


def test_defaults_are_those_of_the_settings():
    settings = model_class("gmvae-v2").Config()
    parameters = GMVAE().get_params()
    assert parameters["n_components"] == settings.components
    for name in set(type(settings).model_fields) - {"components"}:
        assert parameters[name] == getattr(settings, name)


def test_latents_can_be_a_data_frame(points):
    frame = clone(QUICK[0]).set_output(transform="pandas").fit_transform(points[0])
    assert isinstance(frame, pd.DataFrame)
    assert list(frame) == ["gmvae0", "gmvae1"]


# ---- training ------------------------------------------------------------------------------


@each
def test_trains_as_a_run_does(estimator, tmp_path):
    """The same seed gives the weights of `mixviz train`, bit for bit."""
    settings = {name: getattr(estimator, name) for name in _run_settings(estimator)}
    settings |= {"components": 3, "epochs": 2, "batch_size": 2000, "seed": 7, "threads": 1}
    settings |= {"device": "cpu"}  # as the estimator
    store = RunStore(tmp_path)
    model = estimator._models[getattr(estimator, "version", 1)]
    run = create_run(store, plan(model=model, dataset="arcs", values=settings))
    before = torch.get_num_threads()
    assert Trainer(store, run).train() is Status.FINISHED
    torch.set_num_threads(before)
    trained = load_file(store.checkpoint_folder(run) / "model.safetensors")

    fitted = clone(estimator).set_params(epochs=2, batch_size=2000).fit(load("arcs", "train").x)
    weights = fitted.model_.state_dict()
    assert weights.keys() == trained.keys()
    for name, value in weights.items():
        assert torch.equal(value, trained[name]), name
    last = store.terms(run)[-1]
    assert fitted.history_[-1].keys() <= last[2].keys()


def _run_settings(estimator):
    return {"pretrain_epochs"} & set(estimator.get_params())


@each
def test_two_fits_have_the_same_bits_and_leave_global_randomness_alone(estimator, points):
    x, _ = points
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    first, second = clone(estimator).fit(x), clone(estimator).fit(x)
    assert bits(first) == bits(second)
    assert first.history_ == second.history_
    np.testing.assert_array_equal(first.sample(5)[0], second.sample(5)[0])
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert threads == torch.get_num_threads()


def test_another_seed_gives_another_fit(points):
    x, _ = points
    first = clone(QUICK[0]).fit(x)
    second = clone(QUICK[0]).set_params(random_state=8).fit(x)
    assert bits(first) != bits(second)


def test_a_random_state_is_drawn_from_anew_by_every_fit_and_sample(points):
    estimator = clone(QUICK[0]).set_params(random_state=np.random.RandomState(3))
    first = bits(estimator.fit(points[0]))
    assert first != bits(estimator.fit(points[0]))
    assert not np.array_equal(estimator.sample(9)[0], estimator.sample(9)[0])


@each_in_parts
def test_partial_fits_on_the_same_data_are_a_fit(estimator, points):
    x, _ = points
    whole, parts = clone(estimator).fit(x), clone(estimator)
    for _ in range(estimator.epochs):
        assert parts.partial_fit(x) is parts
    assert bits(whole) == bits(parts)
    assert whole.history_ == parts.history_
    np.testing.assert_array_equal(whole.labels_, parts.labels_)


def test_partial_fits_take_other_data_each_time(points):
    x, _ = points
    estimator = clone(QUICK[0])
    estimator.partial_fit(x[:50]).partial_fit(x[50:])
    assert len(estimator.history_) == 2
    assert estimator.labels_.shape == (40,)


@pytest.mark.parametrize(
    ("cls", "init"),
    [(GMVAE, "ae-gmm"), (NVISA, "ae-gmm"), (AMM, "ae-gmm"), (GMVAE, "auto"), (NVISA, "auto")],
)
def test_partial_fit_refuses_clusters_of_a_part(cls, init, points):
    estimator = cls(3, init=init, pretrain_epochs=1, epochs=2)
    with pytest.raises(ValueError, match=r"init=ae-gmm looks for clusters .* init=random"):
        estimator.partial_fit(points[0])
    assert not hasattr(estimator, "model_")


def test_models_that_need_all_data_at_once_have_no_partial_fit():
    assert not hasattr(VaDE(), "partial_fit") and not hasattr(DEC(), "partial_fit")


def test_callbacks_follow_the_epochs_and_may_steer(points):
    x, _ = points
    seen = []

    def watch(estimator, epoch, terms):
        seen.append((epoch, terms, estimator.predict(x).shape))
        estimator.model_.set_live("learning_rate", 1e-4)

    fitted = clone(QUICK[0]).set_params(callbacks=[watch]).fit(x)
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3]
    assert [terms for _, terms, _ in seen] == fitted.history_
    assert all(shape == (90,) for _, _, shape in seen)
    assert fitted.model_.config.learning_rate == 1e-4
    assert fitted.learning_rate == 1e-3


@each
def test_looking_during_training_changes_nothing(estimator, points):
    x, _ = points

    def look(estimator, epoch, terms):
        estimator.predict_proba(x), estimator.sample(4), estimator.means_
        estimator.inverse_transform(estimator.transform(x))
        if hasattr(estimator, "score") and not getattr(estimator.model_, "pretraining", False):
            estimator.score(x)

    watched = clone(estimator).set_params(callbacks=[look]).fit(x)
    assert bits(watched) == bits(clone(estimator).fit(x))


def test_a_progress_bar_shows_the_epochs(points, capsys):
    clone(QUICK[0]).set_params(verbose=True).fit(points[0])
    shown = capsys.readouterr().err
    assert "GMVAE: 100%" in shown and "3/3" in shown and "objective=" in shown
    clone(QUICK[0]).fit(points[0])
    assert capsys.readouterr().err == ""


def test_finds_clusters():
    x, labels = make_blobs(n_samples=300, n_features=10, random_state=1)
    x = StandardScaler().fit_transform(x)
    fitted = DEC(3, epochs=15, pretrain_epochs=10, random_state=0, device="cpu").fit(x)
    assert adjusted_rand_score(labels, fitted.labels_) > 0.9


@pytest.mark.parametrize("count", [2, 3, 21])
@each
def test_awkward_numbers_of_observations_train(estimator, points, count):
    """Batch normalisation needs two observations in every batch, and gets them."""
    fitted = clone(estimator).set_params(n_components=2).fit(points[0][:count])
    assert fitted.labels_.shape == (count,)
    assert np.isfinite(fitted.predict_proba(points[0])).all()


# ---- what a fitted model gives -------------------------------------------------------------


@each
def test_fitted_attributes_and_answers_agree(estimator, points):
    x, _ = points
    fitted = clone(estimator).fit(x)
    size = fitted.means_.shape[1]
    assert fitted.means_.shape == (3, size)
    assert fitted.covariances_.shape in {(3, size), (3, size, size)}
    assert fitted.weights_.shape == (3,)
    assert fitted.weights_.sum() == pytest.approx(1)
    assert fitted.n_features_in_ == 2 and fitted.input_shape_ == (2,)
    assert len(fitted.history_) == 3
    probabilities = fitted.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(1), fitted.predict(x))
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(x))
    with evaluating(fitted.model_):
        latents = fitted.model_.encode(torch.from_numpy(x))[0]
        decoded = fitted.model_.decode(latents)
    np.testing.assert_allclose(fitted.transform(x), latents, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fitted.inverse_transform(latents), decoded, rtol=1e-5, atol=1e-6)


@each
def test_samples_come_with_their_components(estimator, points):
    fitted = clone(estimator).fit(points[0])
    x, components = fitted.sample(200)
    assert x.shape == (200, 2) and x.dtype == np.float32
    assert components.shape == (200,)
    expected = np.flatnonzero(fitted.weights_ > 0.1)
    assert set(expected) <= set(components) <= {0, 1, 2}
    again, _ = fitted.sample(200)
    np.testing.assert_array_equal(x, again)
    with pytest.raises(ValueError, match="at least 1"):
        fitted.sample(0)


@pytest.mark.parametrize("channels", [False, True], ids=["flat", "channels"])
@each
def test_images_come_back_in_their_shape(estimator, images, channels):
    x = images[:, None] if channels else images
    fitted = clone(estimator).fit(x)
    assert fitted.input_shape_ == x.shape[1:]
    assert fitted.n_features_in_ == 64
    assert fitted.model_.shape == (1, 8, 8)
    latents = fitted.transform(x)
    assert fitted.inverse_transform(latents).shape == x.shape
    assert fitted.sample(4)[0].shape == (4, *x.shape[1:])
    flat = x.reshape(60, 64)
    np.testing.assert_array_equal(fitted.predict(flat), fitted.predict(x))
    with pytest.raises(ValueError, match="shape"):
        fitted.predict(np.zeros((3, 4, 16)))
    with pytest.raises(ValueError, match="two or three"):
        clone(estimator).fit(np.zeros((3, 1, 2, 2, 2)))


def test_latents_of_another_size_are_refused(points):
    fitted = clone(QUICK[0]).fit(points[0])
    with pytest.raises(ValueError, match="Z has 3 latent dimensions"):
        fitted.inverse_transform(np.zeros((2, 3)))


@each_bounded
def test_scores_are_bounds_of_single_observations(estimator, points):
    """Vectorised scores are those of one observation after another, the noise the same for each."""
    x = points[0][:8]
    fitted = clone(estimator).fit(points[0])
    expected = []
    with evaluating(fitted.model_):
        for one in torch.from_numpy(x):
            generator = fitted._stream("evaluation")
            terms = fitted.model_.evaluate_terms(one.expand(10, 2), generator)
            expected.append(sum(sign * float(terms[name]) for name, sign in fitted._bound.items()))
    np.testing.assert_allclose(fitted.score_samples(x), expected, rtol=1e-4)
    assert fitted.score(x) == pytest.approx(np.mean(expected), rel=1e-4)


@each_bounded
def test_scores_of_images_are_finite(estimator, images):
    scores = clone(estimator).fit(images).score_samples(images)
    assert scores.shape == (60,)
    assert np.isfinite(scores).all() and (scores < 0).all()


@pytest.mark.parametrize(
    ("version", "live"), [(2, {"z_prior_floor": 3.0}), (1, {"eta": 5.0, "alpha": 7.0})]
)
def test_scores_do_not_depend_on_weights_of_the_objective(points, version, live):
    fitted = GMVAE(version=version, **SHORT).fit(points[0])
    before = fitted.score(points[0])
    for name, value in live.items():
        fitted.model_.set_live(name, value)
    assert fitted.score(points[0]) == before


def test_scores_lie_under_the_density(points):
    x, _ = points
    fitted = GMVAE(3, epochs=60, learning_rate=0.01, random_state=0, device="cpu").fit(x)
    with evaluating(fitted.model_):
        generator = torch.Generator().manual_seed(0)
        density = fitted.model_.log_density(torch.from_numpy(x), generator, draws=30_000)
    assert fitted.score(x) < float(density.mean())


def test_models_without_a_density_have_no_score():
    for estimator in (AMM(), MPCC(), DEC()):
        assert not hasattr(estimator, "score_samples") and not hasattr(estimator, "score")


def test_a_model_still_in_pretraining_has_no_bound(points):
    fitted = VaDE(pretrain_epochs=9, **SHORT).fit(points[0])
    with pytest.raises(ValueError, match="pretrain_epochs"):
        fitted.score(points[0])


# ---- failures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (GMVAE(n_components=0), "n_components=0"),
        (NVISA(n_components=91, init="umap-gmm"), "91 clusters; take n_components=90"),
        (GMVAE(learning_rate=-1.0), "learning_rate"),
        (GMVAE(version=3), "choose one of: 2, 1"),
        (GMVAE(version=2, eta=0.5), "eta=0.5 is no setting of version=2"),
        (GMVAE(epochs=0), "epochs=0"),
        (GMVAE(batch_size=1), "batch_size=1"),
        (GMVAE(device="abacus"), "device='abacus'"),
        (GMVAE(random_state=-1), "Seed must be"),
        (NVISA(samples=1), "samples"),
    ],
)
def test_wrong_parameters_are_value_errors_of_fit(points, estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(points[0])


@each
def test_images_outside_the_unit_interval_are_refused(estimator, images):
    estimator = clone(estimator).fit(images)
    for _ in range(2):  # nothing of the first try is left
        with pytest.raises(ValueError, match=r"\[0, 1\].* from 0 to 16"):
            estimator.fit(images * 16)
        with pytest.raises(NotFittedError):
            estimator.predict(images)


@each_in_parts
def test_every_part_is_checked(estimator, images):
    estimator = clone(estimator)
    for _ in range(2):
        with pytest.raises(ValueError, match="from 0 to 16"):
            estimator.partial_fit(images * 16)
    before = bits(estimator.partial_fit(images))
    with pytest.raises(ValueError, match="from 0 to 16"):
        estimator.partial_fit(images * 16)
    assert bits(estimator) == before and len(estimator.history_) == 1


def test_divergence_is_raised_and_its_history_kept(points, monkeypatch):
    cls = model_class("gmvae-v2")
    original, steps = cls.training_step, []

    def diverging(self, x, generator):
        steps.append(1)
        terms = original(self, x, generator)
        return terms | {"objective": terms["objective"] * (torch.nan if len(steps) > 4 else 1)}

    monkeypatch.setattr(cls, "training_step", diverging)
    estimator = clone(QUICK[0])
    with pytest.raises(Diverged, match="objective was not finite in epoch 2"):
        estimator.fit(points[0])
    assert len(estimator.history_) == 2
    assert np.isnan(estimator.history_[1]["objective"])


@pytest.mark.parametrize(
    ("pretrain", "named"), [(2, "pretrain_learning_rate"), (0, "learning_rate")]
)
def test_divergence_names_the_rate_of_its_stage(points, monkeypatch, pretrain, named):
    cls = model_class("vade")
    original = cls.training_step
    monkeypatch.setattr(
        cls,
        "training_step",
        lambda self, x, noise: original(self, x, noise) | {"objective": torch.tensor(torch.inf)},
    )
    with pytest.raises(Diverged, match=rf"take a smaller {named}\."):
        VaDE(3, epochs=3, pretrain_epochs=pretrain).fit(points[0])


# ---- pickling and import -------------------------------------------------------------------


@each
def test_a_pickled_estimator_answers_the_same(estimator, points):
    x, _ = points
    fitted = clone(estimator).fit(x)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(fitted.predict_proba(x), copy.predict_proba(x))
    np.testing.assert_array_equal(fitted.sample(3)[0], copy.sample(3)[0])
    assert bits(fitted) == bits(copy)
    assert fitted.history_ == copy.history_


@each_in_parts
def test_a_pickled_estimator_goes_on_with_the_same_bits(estimator, points):
    x, _ = points
    fitted = clone(estimator).fit(x)
    copy = pickle.loads(pickle.dumps(fitted))
    assert bits(fitted.partial_fit(x)) == bits(copy.partial_fit(x))


def test_importing_the_package_does_not_import_pytorch():
    code = (
        "import sys, mixviz\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\n"
        "assert 'GMVAE' in dir(mixviz)\n"
        "from mixviz import GMVAE\n"
        "assert 'torch' in sys.modules and GMVAE().n_components == 10"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_offers_what_it_lists():
    for name in mixviz.__all__:
        assert getattr(mixviz, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        mixviz.nothing  # noqa: B018


# ---- GPU -----------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@each
def test_works_on_a_gpu(estimator, images, monkeypatch):
    fitted = clone(estimator).set_params(device="cuda").fit(images)
    assert next(fitted.model_.parameters()).is_cuda
    probabilities = fitted.predict_proba(images)
    assert fitted.sample(3)[0].shape == (3, 8, 8)
    if hasattr(fitted, "score"):
        assert np.isfinite(fitted.score(images))
    stored = pickle.dumps(fitted)
    assert next(pickle.loads(stored).model_.parameters()).is_cuda
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    elsewhere = pickle.loads(stored)
    assert not next(elsewhere.model_.parameters()).is_cuda
    np.testing.assert_allclose(elsewhere.predict_proba(images), probabilities, atol=1e-3)
    if hasattr(elsewhere, "partial_fit"):
        elsewhere.partial_fit(images)


def test_start_from_clusters_is_part_of_a_fit(tmp_path):
    X, y = make_blobs(150, centers=3, n_features=6, cluster_std=0.4, random_state=3)
    fitted = NVISA(init="umap-gmm", samples=2, teacher_epochs=2, **SHORT | {"epochs": 4}).fit(X)
    assert adjusted_rand_score(y, fitted.labels_) > 0.95
    assert ["teacher" in terms for terms in fitted.history_] == [True, True, False, False]
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("estimator", [NVISA, AMM, MPCC])
def test_parts_cannot_start_from_the_clusters_of_the_whole(estimator):
    X = np.random.default_rng(0).normal(size=(60, 6))
    parted = estimator(init="umap-gmm", **SHORT)
    for _ in range(2):  # nothing of the first try is left
        with pytest.raises(ValueError, match="umap-gmm looks for clusters in all the data"):
            parted.partial_fit(X)


@pytest.mark.parametrize("estimator", [AMM, MPCC])
def test_a_game_may_start_from_the_clusters_of_codes(estimator):
    X, _ = make_blobs(150, centers=3, n_features=6, cluster_std=0.4, random_state=3)
    start = {"init": "ae-gmm", "pretrain_epochs": 60, "teacher_epochs": 2}
    before = torch.get_rng_state()
    fitted = estimator(**start, **SHORT).fit(X.astype(np.float32))
    assert torch.equal(before, torch.get_rng_state())
    assert ["teacher" in terms for terms in fitted.history_] == [True, True, False]
    assert bits(fitted) == bits(estimator(**start, **SHORT).fit(X.astype(np.float32)))
    with pytest.raises(ValueError, match="ae-gmm looks for clusters in all the data"):
        estimator(**start, **SHORT).partial_fit(X)
