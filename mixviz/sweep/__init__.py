"""Many runs from one file: models, data sets, settings and seeds, of which only the missing are trained."""

from mixviz.sweep.local import Outcome, train_all
from mixviz.sweep.spec import Sweep, Trial, read_sweep

__all__ = ["Outcome", "Sweep", "Trial", "read_sweep", "train_all"]
