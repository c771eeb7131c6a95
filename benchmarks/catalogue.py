"""How fast Compare is with 10,000 runs: the table's query, the filters, the page as a whole.

The store is filled by script in a temporary folder.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mixviz.evaluation.comparison import groups
from mixviz.runs import RunStore
from mixviz.training.config import plan
from tests.browser.driver import ROOT

SEEDS = 5


def fill(store: RunStore, runs: int) -> None:
    """Put finished runs into a store: five seeds of each configuration."""
    rows = []
    for i in range(runs):
        components, seed = 2 + i // SEEDS % 50, i % SEEDS
        chosen = plan(
            dataset="arcs",
            values={"components": components, "seed": seed, "epochs": 1 + i // (50 * SEEDS)},
        )
        share = (i * 7919 % 1000) / 1000
        result = {
            "accuracy": {"hungarian": share, "majority": share, "most_confident": share},
            "nmi": share,
            "ari": share,
            "effective_components": components * share,
            "split": "test",
            "terms": {"elbo": -1.0, "z_prior": 0.5},
            "verdict": f"{components} components, 3 in use: spread since step 1,200",
        }
        rows.append(
            (
                f"20260101-{i:06d}-{i:06x}",
                1.7e9 + i,
                f"Run {i} of many",
                "gmvae-v2",
                "arcs",
                json.dumps(chosen.as_json()),
                "finished",
                json.dumps(result),
                result["verdict"],
            )
        )
    with store._exclusive() as db:
        db.executemany(
            "INSERT INTO runs (id, created, name, model, dataset, config, status, result, verdict)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            rows,
        )


def median_seconds(work: Callable[[], object], repetitions: int = 5) -> float:
    """Median time of a piece of work."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 3)


def catalogue(runs: int = 10_000) -> dict[str, float]:
    """Measure Compare on a store of its own with so many runs; seconds by what was done."""
    from streamlit.testing.v1 import AppTest

    found: dict[str, float] = {"runs": runs}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        before = os.environ.get("MIXVIZ_HOME")
        os.environ["MIXVIZ_HOME"] = home
        try:
            store = RunStore(Path(home))
            page = AppTest.from_file(str(ROOT / "pages" / "compare.py"), default_timeout=120)
            page.run()  # imports what pages need, and the shipped runs
            fill(store, runs)
            found["first_table_seconds"] = median_seconds(store.table, 1)
            found["table_seconds"] = median_seconds(store.table)
            table = store.table()
            found["groups_seconds"] = median_seconds(lambda: groups(table))
            found["page_seconds"] = median_seconds(page.run)
        finally:
            os.environ.pop("MIXVIZ_HOME")
            if before is not None:
                os.environ["MIXVIZ_HOME"] = before
    return found
