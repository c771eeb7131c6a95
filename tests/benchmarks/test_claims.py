"""Tests of how the papers' qualitative claims are judged."""

import pytest

from benchmarks.claims import CLAIMS, judged


def run(status="finished", majority=0.8, silhouette=0.5, **measured):
    scores = {"accuracy": {"majority": majority}, "silhouette": silhouette} | measured
    return {"status": status} | (scores if status == "finished" else {})


BORNE_OUT = {
    "divergence": [[run("diverged")] * 2, [run("diverged")] * 2, [run()] * 2],
    "true-mixture": [[run(silhouette=0.2), run(silhouette=0.3)], [run(silhouette=0.6)] * 2],
    "prior-rate": [[run(majority=0.7)] * 2, [run(majority=0.6)] * 2],
    "interpolation": [[run(between=0.95), run(between=0.91)]],
}
NOT = {
    "divergence": [[run("diverged"), run()], [run("diverged")] * 2, [run()] * 2],
    "true-mixture": [[run(silhouette=0.2), run(silhouette=0.6)], [run(silhouette=0.6)] * 2],
    "prior-rate": [[run(majority=0.64)] * 2, [run(majority=0.6)] * 2],
    "interpolation": [[run(between=0.95), run("diverged")]],
}


def cases(name, lists):
    return dict(zip(CLAIMS[name].cases, lists, strict=True))


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_are_judged_by_what_they_say(name):
    assert judged(name, cases(name, BORNE_OUT[name])) is True
    assert judged(name, cases(name, NOT[name])) is False


@pytest.mark.parametrize("name", CLAIMS)
def test_runs_that_failed_say_nothing_and_runs_that_diverged_are_no_error(name):
    found = cases(name, BORNE_OUT[name])
    first = next(iter(found))
    assert judged(name, found | {first: [run("failed"), *found[first][1:]]}) is None
    assert judged(name, {case: [run("diverged")] * 2 for case in found}) is False


@pytest.mark.parametrize("name", CLAIMS)
def test_what_was_interrupted_says_nothing(name):
    found = cases(name, BORNE_OUT[name])
    last = list(found)[-1]
    assert judged(name, found | {last: []}) is None
    if len(found) > 1:
        assert judged(name, found | {last: found[last][:1]}) is None


def test_the_slow_prior_is_as_slow_as_the_networks():
    fast, slow = CLAIMS["prior-rate"].cases.values()
    assert slow[: len(fast)] == fast
    assert slow[-1] == "prior_learning_rate=0.0005"
