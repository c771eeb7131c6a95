"""Tests of when snapshots are taken, which are kept, and how the start is slowed."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixviz.training.schedule import SLOW_STEPS, SnapshotClock, slow_start_until, superfluous


def simulate(step_seconds, cost, watched, until):
    """Train in simulated time; return the seconds and steps at which snapshots were taken."""
    clock, now, taken = SnapshotClock(), 0.0, []
    step = 0
    while now < until:
        if clock.due(step, now, watched):
            now += cost
            clock.taken(step, now, cost)
            taken.append((now, step))
        step += 1
        now += step_seconds
    return taken


@settings(max_examples=60)
@given(
    step_seconds=st.floats(0.005, 0.5),
    cost=st.floats(0.0005, 3),
    watched=st.booleans(),
    until=st.floats(1, 100),
)
def test_snapshots_take_their_share_of_the_time_and_no_more(step_seconds, cost, watched, until):
    taken = simulate(step_seconds, cost, watched, until)
    share = SnapshotClock.SHARE_WATCHED if watched else SnapshotClock.SHARE
    allowance = SnapshotClock.ALLOWANCE_WATCHED if watched else SnapshotClock.ALLOWANCE
    assert len(taken) * cost <= allowance + share * until + 2 * cost


@settings(max_examples=60)
@given(step_seconds=st.floats(0.005, 0.5), cost=st.floats(0.0005, 1), watched=st.booleans())
def test_snapshots_never_stop_coming(step_seconds, cost, watched):
    share = SnapshotClock.SHARE_WATCHED if watched else SnapshotClock.SHARE
    interval = SnapshotClock.INTERVAL_WATCHED if watched else SnapshotClock.INTERVAL
    longest = max(interval, cost / share) + step_seconds + cost
    until = 5 * longest
    times = [0.0, *(time for time, _ in simulate(step_seconds, cost, watched, until)), until]
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) <= longest + 1e-6


def test_cheap_snapshots_are_dense_at_first():
    steps = [step for _, step in simulate(0.002, 0.002, watched=False, until=3)]
    assert steps[:9] == [0, 1, 2, 5, 10, 20, 50, 100, 200]
    watched = [step for _, step in simulate(0.002, 0.002, watched=True, until=3)]
    assert watched[:10] == [0, 1, 2, 3, 5, 7, 10, 14, 20, 28]
    assert len(watched) > len(steps)


def test_expensive_snapshots_are_not_taken_at_first():
    steps = [step for _, step in simulate(0.002, 0.5, watched=False, until=3)]
    assert steps == [0]


def test_no_step_gets_two_snapshots():
    clock = SnapshotClock()
    assert clock.due(7, 100.0, True)
    clock.taken(7, 100.0, 0.01)
    assert not clock.due(7, 1000.0, True)


@st.composite
def snapshots(draw):
    steps = draw(st.sets(st.integers(0, 5000), min_size=1, max_size=80))
    return sorted(steps), draw(st.integers(2, 60)), draw(st.integers(1, 5000))


@given(snapshots())
def test_as_many_are_kept_as_asked_first_and_last_among_them(case):
    steps, keep, total = case
    dropped = superfluous(steps, keep, total)
    left = sorted(set(steps) - set(dropped))
    assert len(dropped) == len(set(dropped)) == len(steps) - len(left)
    assert set(dropped) <= set(steps)
    assert len(left) == min(keep, len(steps))
    assert (left[0], left[-1]) == (steps[0], steps[-1])


@given(snapshots())
def test_no_hole_is_made_that_is_wider_than_two_gaps_elsewhere(case):
    steps, keep, total = case
    left = sorted(set(steps) - set(superfluous(steps, keep, total)))
    gaps = [
        math.log1p(b / max(total / 10, 1)) - math.log1p(a / max(total / 10, 1))
        for a, b in pairwise(left)
    ]
    neighbours = set(pairwise(steps))
    made = [gap for gap, ends in zip(gaps, pairwise(left), strict=True) if ends not in neighbours]
    if made and len(gaps) > 1:
        assert max(made) <= min(a + b for a, b in pairwise(gaps)) + 1e-9


@given(st.integers(12, 40), st.integers(100, 400))
def test_what_is_left_is_denser_at_the_start(keep, total):
    steps = list(range(total + 1))
    left = sorted(set(steps) - set(superfluous(steps, keep, total)))
    early = sum(step < total / 4 for step in left)
    assert early > sum(step > total * 3 / 4 for step in left)


def test_thinning_again_and_again_keeps_the_picture_of_the_whole_run():
    kept = []
    for step in range(0, 5000, 7):
        kept.append(step)
        if len(kept) > 50:
            kept = sorted(set(kept) - set(superfluous(kept, 45, 5000)))
    assert 45 <= len(kept) <= 50
    assert kept[0] == 0
    gaps = [after - before for before, after in pairwise(kept)]
    assert max(gaps) < 500
    assert sum(step < 1000 for step in kept) > sum(step > 4000 for step in kept)


@given(st.integers(0, SLOW_STEPS - 2), st.floats(0, 120))
def test_slow_start_stretches_early_steps_most(step, duration):
    before, now = slow_start_until(step, duration), slow_start_until(step + 1, duration)
    assert 0 <= before <= now <= duration
    if step and duration:
        last = slow_start_until(step - 1, duration)
        assert now - before <= before - last + 1e-9


@pytest.mark.parametrize("step", [SLOW_STEPS, SLOW_STEPS + 1, 10**6])
def test_slow_start_ends(step):
    assert slow_start_until(step, 60.0) == 0
    assert slow_start_until(SLOW_STEPS - 1, 60.0) > 59
