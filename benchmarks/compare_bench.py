"""How fast Compare is with 10,000 runs: the table's query, the filters, the page as a whole.

    python benchmarks/compare_bench.py [--runs 10000]

The store is filled by script in a temporary folder. Prints one JSON document: seconds, each the
median of several repetitions.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mixviz.evaluation.comparison import groups  # noqa: E402
from mixviz.runs import RunStore  # noqa: E402
from mixviz.training.config import plan  # noqa: E402

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


def measure(runs: int) -> dict[str, float]:
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
            found["first table"] = median_seconds(store.table, 1)
            found["table"] = median_seconds(store.table)
            table = store.table()
            found["groups over seeds"] = median_seconds(lambda: groups(table))
            found["page"] = median_seconds(page.run)
        finally:
            os.environ.pop("MIXVIZ_HOME")
            if before is not None:
                os.environ["MIXVIZ_HOME"] = before
    return found


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    print(json.dumps(measure(parser.parse_args().runs), indent=1))


if __name__ == "__main__":
    main()
