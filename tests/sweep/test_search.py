"""Tests of searches: what Optuna learns, what is repeated, and real runs at the end."""

import math
import sys

import pytest

from mixviz.cli import main
from mixviz.errors import MixvizError
from mixviz.runs import RunStore, Status
from mixviz.sweep import Sweep, train_all
from mixviz.sweep.search import Search
from mixviz.training.requests import create_run
from mixviz.training.trainer import Trainer
from tests.sweep.driver import HerePool, LatePool

RATE = {"learning_rate": {"low": 1e-7, "high": 0.1, "log": True}}
K = {"components": {"low": 2, "high": 9}, "epochs": 20}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def sweep(settings, model="gmvae-v2", trials=20, seeds=1, **budget):
    block = {"models": model, "datasets": "arcs", "set": settings}
    search = {"trials": trials, **budget}
    values = {"name": "made", "seeds": seeds, "runs": [block], "search": search}
    return Sweep.model_validate(values)


def parabola(store):
    """Give each run at once a score that is best at a learning rate of 0.0001."""

    def train(run):
        rate = store.get(run).config["settings"]["learning_rate"]
        score = -((math.log10(rate) + 4) ** 2)
        diverged = rate > 0.03
        store.update(
            run,
            status=Status.DIVERGED if diverged else Status.FINISHED,
            result={} if diverged else {"silhouette": score},
        )

    return HerePool(train)


def rates(store):
    return [run.config["settings"]["learning_rate"] for run in store.runs()[::-1]]


def test_search_closes_in_on_the_best(store):
    outcome = train_all(store, sweep(RATE, trials=40), parabola(store))
    distances = [abs(math.log10(rate) + 4) for rate in rates(store)]
    assert len(distances) == len(outcome.runs) == 40
    evenly = 1.5  # what six decades around the best would give
    assert sum(distances[-20:]) / 20 < 0.67 * evenly
    (best,) = outcome.best
    assert best["values"]["learning_rate"] == rates(store)[distances.index(min(distances))]
    assert best["mean"] == pytest.approx(-(min(distances) ** 2))
    assert (best["criterion"], best["title"]) == ("silhouette", "gmvae-v2 on arcs")


def test_repeating_continues_and_repeats_nothing(store):
    first = train_all(store, sweep(RATE, trials=8), parabola(store))
    began = rates(store)
    second = train_all(store, sweep(RATE, trials=12), parabola(store))
    assert rates(store)[:8] == began
    assert len(set(rates(store))) == 12
    assert list(second.runs)[:8] == list(first.runs)
    third = parabola(store)
    assert train_all(store, sweep(RATE, trials=12), third).runs == second.runs
    assert not third.started


def test_what_was_trained_without_the_search_is_taken_as_it_is(store):
    """Every combination has a finished run that is not the sweep's, so that nothing is to be started."""
    made = sweep(K, model="k-means", trials=3)
    (variant,) = made.variants_searched()
    for components in range(2, 10):
        run = create_run(store, variant.trial(0, {"components": components}).plan)
        store.update(run, status=Status.FINISHED, result={"silhouette": components / 10})
    pool = parabola(store)
    outcome = train_all(store, made, pool)
    assert not pool.started
    assert list(outcome.runs.values()) == [Status.FINISHED] * 3
    assert len(store.runs(100)) == 8


def test_an_interrupted_combination_is_finished_first(store):
    train_all(store, sweep(RATE, trials=2, seeds=2), parabola(store))
    broken = store.runs()[0].id
    store.update(broken, status=Status.STOPPED, result={})
    pool = parabola(store)
    outcome = train_all(store, sweep(RATE, trials=3, seeds=2), pool)
    assert pool.started[0] == broken and len(pool.started) == 3
    assert len(outcome.runs) == 6
    by_rate = {rate: rates(store).count(rate) for rate in rates(store)}
    assert list(by_rate.values()) == [2, 2, 2]


def test_runs_without_a_score_are_worse_than_any(store):
    study = Search(store, (made := sweep(RATE, trials=6)), made.variants_searched()[0])
    train_all(store, made, parabola(store))
    study.recall()
    states = {study._as_optuna(each).state.name for each in study.proposals.values()}
    assert states <= {"COMPLETE", "PRUNED"}
    diverged = [run for run in store.runs() if run.status is Status.DIVERGED]
    assert 0 < len(diverged) < 6
    found = [each for each in study.proposals.values() if each.mean is None]
    assert [each.runs for each in found] == [[run.id] for run in diverged[::-1]]


def test_a_range_that_was_changed_keeps_what_lies_in_it(store):
    train_all(store, sweep(RATE, trials=6), parabola(store))
    narrow = {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
    within = [rate for rate in rates(store) if 1e-5 <= rate <= 1e-3]
    outcome = train_all(store, sweep(narrow, trials=6), parabola(store))
    assert 0 < len(within) < 6
    assert len(outcome.runs) == 6
    assert rates(store)[6:] and all(1e-5 <= rate <= 1e-3 for rate in rates(store)[6:])
    assert len(store.runs()) == 6 + 6 - len(within)


def test_a_small_space_is_searched_once(store):
    few = {"learning_rate": {"choices": [1e-3, 1e-4, 1e-5]}, "components": [3, 4]}
    outcome = train_all(store, sweep(few, trials=50), parabola(store))
    assert len(outcome.runs) == 6
    assert sorted(set(rates(store))) == [1e-5, 1e-4, 1e-3]
    assert [best["values"]["learning_rate"] for best in outcome.best] == [1e-4, 1e-4]


@pytest.mark.parametrize("late", [True, False])
def test_a_run_of_two_kinds_is_trained_once(store, late):
    """By a list and by a search, by seeds given twice, and where only its threads differ."""
    block = {"models": "gmvae-v2", "datasets": "arcs"}
    searched = {"components": {"choices": [4, 5]}}
    made = Sweep.model_validate(
        {
            "name": "made",
            "seeds": [0, 0],
            "search": {"trials": 2},
            "runs": [
                {**block, "set": {"components": 5, "threads": [1, 2]}},
                {**block, "set": searched},
            ],
        }
    )
    pool, seen = parabola(store), []
    pool = LatePool(pool.train) if late else pool
    outcome = train_all(store, made, pool, seen.append)
    assert sorted(pool.started) == sorted(set(pool.started))
    assert len(pool.started) == len(outcome.runs) == len(store.runs()) == 2
    assert seen[-1].planned == 2
    assert [best["values"]["components"] for best in outcome.best] in ([4], [5])


def test_choices_are_read_as_settings_are(store):
    few = {"learning_rate": {"choices": ["1e-3", "1e-4", 0.0001]}}
    few["latent_size"] = {"choices": ["none", 3]}
    outcome = train_all(store, sweep(few, trials=50), parabola(store))
    assert len(outcome.runs) == 4
    assert outcome.best[0]["values"]["learning_rate"] == 1e-4
    again = parabola(store)
    assert train_all(store, sweep(few, trials=50), again).runs == outcome.runs
    assert not again.started


def test_runs_that_were_archived_or_watched_otherwise_are_not_tried_again(store):
    first = train_all(store, sweep(RATE, trials=6), parabola(store))
    store.archive(list(first.runs)[:3])
    again = parabola(store)
    train_all(store, sweep({**RATE, "threads": 1}, trials=6), again)
    assert not again.started


def test_search_of_real_runs(store):
    def train(run):
        assert Trainer(store, run).train() is Status.FINISHED

    made = sweep(K, model="k-means", trials=4, seeds=2)
    outcome = train_all(store, made, HerePool(train))
    scores = {}
    for run in outcome.runs:
        found = store.get(run)
        k = found.config["settings"]["components"]
        assert isinstance(k, int) and 2 <= k <= 9
        scores.setdefault(k, []).append(found.result["silhouette"])
    assert len(scores) == 4 and all(len(each) == 2 for each in scores.values())
    means = {k: sum(each) / 2 for k, each in scores.items()}
    (best,) = outcome.best
    assert best["values"] == {"components": max(means, key=means.get)}
    assert best["mean"] == pytest.approx(max(means.values()))


@pytest.mark.parametrize(
    ("settings", "budget", "says"),
    [
        ({"components": {"low": 0, "high": 5}}, {}, "components=0"),
        ({"z_prior_flour": {"low": 0, "high": 5}}, {}, "z_prior_flour"),
        ({"likelihood": {"low": 1, "high": 2}}, {}, "likelihood"),
        ({"seed": {"low": 0, "high": 5}}, {}, "Seeds are given by seeds"),
        (RATE, {"trials": 10_000, "seeds": 2}, "20,000 runs"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(store, settings, budget, says):
    with pytest.raises(MixvizError, match=says) as caught:
        train_all(store, sweep(settings, **budget), parabola(store))
    assert "\n" not in str(caught.value)
    assert not store.runs()


def test_without_optuna_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIXVIZ_HOME", str(tmp_path))
    path = tmp_path / "sweep.yaml"
    path.write_text("{name: made, runs: [{models: k-means, set: {components: {low: 2, high: 5}}}]}")
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "mixviz.sweep.search")
    assert main(["sweep", str(path)]) == 2
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err
