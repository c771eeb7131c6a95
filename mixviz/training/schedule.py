"""When snapshots are taken, and which are kept: dense at first, then spaced out."""

import math
from collections.abc import Sequence

_FIRST = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_FIRST_WATCHED = (0, 1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 300, 400, 500)
SLOW_STEPS = 300


class SnapshotClock:
    """Decides by step and by cost: snapshots take a small share of the time, more when watched."""

    SHARE = 0.015  # of the training time
    SHARE_WATCHED = 0.25
    INTERVAL = 1.0  # seconds between snapshots at the least
    INTERVAL_WATCHED = 0.25
    ALLOWANCE = 0.15  # seconds that the first snapshots may take beyond their share
    ALLOWANCE_WATCHED = 2.0

    def __init__(self) -> None:
        """Start with no snapshot taken."""
        self._spent = 0.0
        self._cost = 0.0
        self._next = 0.0
        self._last_step = -1

    def due(self, step: int, seconds: float, watched: bool) -> bool:
        """Whether to take a snapshot at `step`, after `seconds` of training."""
        if step == self._last_step:
            return False
        share, interval, allowance, first = (
            (self.SHARE_WATCHED, self.INTERVAL_WATCHED, self.ALLOWANCE_WATCHED, _FIRST_WATCHED)
            if watched
            else (self.SHARE, self.INTERVAL, self.ALLOWANCE, _FIRST)
        )
        is_first = any(self._last_step < milestone <= step for milestone in first)
        if is_first and self._spent + self._cost < allowance + share * seconds:
            return True
        return seconds >= self._next + max(interval, self._cost / share)

    def taken(self, step: int, seconds: float, cost: float) -> None:
        """Note a snapshot that took `cost` seconds."""
        self._last_step, self._next = step, seconds
        self.spent(cost)

    def spent(self, cost: float) -> None:
        """Note the `cost`, in seconds, of the last snapshot, where it ends after it was taken."""
        self._cost = cost
        self._spent += cost


def superfluous(steps: Sequence[int], keep: int, total: int) -> list[int]:
    """Choose the snapshots to drop so that `keep` remain, first and last always among them.

    The one is dropped whose neighbours are closest, measured on a scale that is linear up to about
    a tenth of the `total` steps and logarithmic after.
    """
    scale = max(total / 10, 1)
    places = [(math.log1p(step / scale), step) for step in steps]
    dropped = []
    while len(places) > max(keep, 2):
        gaps = [places[i + 1][0] - places[i - 1][0] for i in range(1, len(places) - 1)]
        dropped.append(places.pop(1 + gaps.index(min(gaps)))[1])
    return dropped


def slow_start_until(step: int, duration: float) -> float:
    """Seconds after the start before which `step` is not begun: early steps are stretched most."""
    if step >= SLOW_STEPS:
        return 0.0
    return duration * math.log1p(step) / math.log1p(SLOW_STEPS)
