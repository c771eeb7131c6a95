"""How tests are shared out among the processes of `pytest -n`."""

from xdist.scheduler import LoadScopeScheduling

# Tests that start several processes each, of Ray and PyTorch: three such at once take many times as long,
# and all after each other are not over when the rest is.
ONE_BY_ONE = {
    "tests/app/test_sweep.py": "sweeps",
    "tests/sweep/test_local.py": "sweeps",
    "tests/sweep/test_on_ray.py": "sweeps",
    "tests/training/test_kill.py": "trainers",
    "tests/training/test_team.py": "trainers",
    "tests/training/test_worker.py": "trainers",
}


class Scheduling(LoadScopeScheduling):
    """Cases of one test go to one process, those of many first, and so does each group of ONE_BY_ONE.

    The mark `xdist_group`, which is for this, has no effect in pytest 9.2 (xdist's issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return ONE_BY_ONE.get(nodeid.partition("::")[0], nodeid.partition("[")[0])


def pytest_xdist_make_scheduler(config, log):
    """Let xdist use it."""
    return Scheduling(config, log)
