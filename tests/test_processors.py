"""Test of how many cores a process may use."""

import os
import subprocess
import sys

import pytest

from mixviz.processors import usable_cores


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux binds processes to cores"
)
def test_a_process_bound_to_one_core_uses_one():
    program = (
        "import os; from mixviz.processors import usable_cores;"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(usable_cores())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "1"
    assert usable_cores() == len(os.sched_getaffinity(0))
