"""The papers' qualitative claims, each as runs that one command repeats.

    python benchmarks/claims.py [CLAIM ...] [--seeds 3]

Every run is `mixviz train` in a run store of its own. Prints what was found and writes it to
`claims.json` beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).with_suffix(".json")

Found = dict[str, list[dict]]  # by name of the case, a result for each seed


class Claim(NamedTuple):
    """A sentence, the cases that are trained for it, and whether their results bear it out."""

    sentence: str
    cases: dict[str, list[str]]
    holds: Callable[[Found], bool]


def every(found: Found, case: str, test: Callable[[dict], bool]) -> bool:
    """Whether all seeds of a case pass a test."""
    return all(test(result) for result in found[case])


def mean(found: Found, case: str, score: Callable[[dict], float]) -> float:
    """Mean of a score over the seeds of a case."""
    return sum(score(result) for result in found[case]) / len(found[case])


def diverged(result: dict) -> bool:
    """Whether the run ended with something that was not finite."""
    return bool(result["status"] == "diverged")


def majority(result: dict) -> float:
    """Accuracy with each component's most frequent label."""
    return float(result["accuracy"]["majority"])


NVISA = ["--preset", "nvisa-digits-laptop", "--set", "likelihood=gaussian"]
UNANNEALED = ["--set", "std_start=1e-4", "--set", "std_floor=1e-4"]
MPCC = ["--preset", "mpcc-digits-laptop"]

CLAIMS = {
    "divergence": Claim(
        "With a Gaussian likelihood NVIL and VIMCO without annealing diverge, annealed VIMCO does not.",
        {
            "NVIL": [*NVISA, *UNANNEALED, "--set", "estimator=nvil"],
            "VIMCO": [*NVISA, *UNANNEALED],
            "VIMCO, annealed": NVISA,
        },
        lambda found: (
            every(found, "NVIL", diverged)
            and every(found, "VIMCO", diverged)
            and not any(map(diverged, found["VIMCO, annealed"]))
        ),
    ),
    "true-mixture": Claim(
        "Enumeration without annealing leaves the components unseparated, and annealing mends it.",
        {
            "without": [*NVISA, *UNANNEALED, "--set", "estimator=enumerate"],
            "annealed": [*NVISA, "--set", "estimator=enumerate"],
        },
        lambda found: mean(found, "annealed", majority) > mean(found, "without", majority) + 0.1,
    ),
    "prior-rate": Claim(
        "MPCC's accuracy falls when its prior learns as slowly as its networks.",
        {"fast prior": MPCC, "slow prior": [*MPCC, "--set", "prior_learning_rate=2e-4"]},
        lambda found: mean(found, "fast prior", majority) > mean(found, "slow prior", majority),
    ),
}


def train(options: list[str], seed: int) -> dict:
    """Train one run and return what `mixviz train --json` printed."""
    with tempfile.TemporaryDirectory() as home:
        printed = subprocess.run(
            [sys.executable, "-m", "mixviz", "train", *options, "--seed", str(seed), "--json"],
            env={**os.environ, "MIXVIZ_HOME": home},
            stdout=subprocess.PIPE,
            text=True,
        )
    return dict(json.loads(printed.stdout))


def main() -> None:
    """Train the cases of the chosen claims and say what holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="*", help=f"of {', '.join(CLAIMS)}; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    unknown = set(args.claims) - set(CLAIMS)
    if unknown:
        parser.error(f"no claim {min(unknown)!r}; there are {', '.join(CLAIMS)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in args.claims or CLAIMS:
        claim = CLAIMS[name]
        found = {
            case: [train(options, seed) for seed in range(args.seeds)]
            for case, options in claim.cases.items()
        }
        holds = claim.holds(found)
        print(f"{'holds' if holds else 'does not hold'}: {claim.sentence}")
        for case, runs in found.items():
            seen = [
                run["status"] if "accuracy" not in run else f"{run['status']} {majority(run):.3f}"
                for run in runs
            ]
            print(f"  {case:<18} {', '.join(seen)}")
        results[name] = {"sentence": claim.sentence, "holds": holds, "cases": found}
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
