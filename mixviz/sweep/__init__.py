"""Many runs from one file: models, data sets, settings and seeds, of which only the missing are trained."""

from mixviz.sweep.drive import Outcome, Pool, train_all
from mixviz.sweep.local import LocalPool, default_jobs
from mixviz.sweep.spec import Sweep, Trial, parse_sweep, read_sweep

__all__ = [
    "LocalPool",
    "Outcome",
    "Pool",
    "Sweep",
    "Trial",
    "default_jobs",
    "parse_sweep",
    "read_sweep",
    "train_all",
]
