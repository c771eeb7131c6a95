"""Tests of what a process that trains imports: no more than it needs, and knowing what is installed."""

import subprocess
import sys


def test_trainer_is_imported_without_what_it_does_not_need():
    program = (
        "import sys, mixviz.training.trainer; from mixviz.training.lightning import Fabric;"
        "heavy = {'torchmetrics', 'torchvision', 'matplotlib', 'sklearn'} & set(sys.modules);"
        "from lightning_fabric.utilities.imports import _TORCHMETRICS_GREATER_EQUAL_1_0_0 as known;"
        "from lightning_utilities.core.imports import compare_version;"
        "assert known and compare_version.__module__ == 'lightning_utilities.core.imports';"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
