"""How tests are shared out among the processes of `pytest -n`."""

from xdist.scheduler import LoadScopeScheduling

# Tests that start several processes each, of Ray and PyTorch: at once they take many times as long.
ONE_BY_ONE = (
    "tests/app/test_sweep.py",
    "tests/sweep/test_local.py",
    "tests/sweep/test_on_ray.py",
    "tests/training/test_kill.py",
    "tests/training/test_team.py",
    "tests/training/test_worker.py",
)


class Scheduling(LoadScopeScheduling):
    """Cases of one test go to one process, in the order of their number, and so do those of ONE_BY_ONE.

    The mark `xdist_group`, which is for this, has no effect in pytest 9.2 (xdist's issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return "one by one" if nodeid.startswith(ONE_BY_ONE) else nodeid.partition("[")[0]


def pytest_xdist_make_scheduler(config, log):
    """Let xdist use it."""
    return Scheduling(config, log)
