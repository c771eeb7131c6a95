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

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mixviz.data import load  # noqa: E402
from mixviz.runs import RunStore  # noqa: E402
from mixviz.training.saved import Saved, load_run  # noqa: E402

RESULTS = Path(__file__).with_suffix(".json")

Found = dict[str, list[dict]]  # by name of the case, a result for each seed


class Claim(NamedTuple):
    """A sentence, the cases that are trained for it, and whether their results bear it out."""

    sentence: str
    cases: dict[str, list[str]]
    holds: Callable[[Found], bool]
    measure: Callable[[Saved], dict[str, float]] = lambda _: {}  # more about each trained model


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


@torch.no_grad()
def interpolations(saved: Saved, pairs: int = 1_000, steps: int = 21) -> dict[str, float]:
    """Follow straight lines in z between pairs of test observations of different components.

    Each point is decoded and the image encoded again, whose component is that of the point.
    `between` is the share of points in the component of either end, `once` the share of lines on
    which the component changes exactly once, `abrupt` the share on which one step of the line
    changes the image by more than half of the distance between its ends.
    """
    x = torch.from_numpy(load(saved.plan.dataset, saved.plan.run.scored_split).x)
    draws = torch.Generator().manual_seed(0)
    ends = torch.randint(len(x), (2, 4 * pairs), generator=draws)
    z, log_c = saved.model.encode(x)
    c = log_c.argmax(-1)
    first, last = ends[:, c[ends[0]] != c[ends[1]]][:, :pairs]
    at = torch.linspace(0, 1, steps)[:, None, None]
    lines = torch.lerp(z[first], z[last], at)  # (steps, pairs, D)
    images = saved.model.decode(lines.flatten(0, 1))
    assigned = saved.model.log_responsibilities(images).argmax(-1).unflatten(0, lines.shape[:2])
    images = images.flatten(1).unflatten(0, lines.shape[:2])
    moved = (images[1:] - images[:-1]).norm(dim=-1).amax(0)
    apart = (images[-1] - images[0]).norm(dim=-1)
    return {
        "between": ((assigned == assigned[0]) | (assigned == assigned[-1])).float().mean().item(),
        "once": ((assigned[1:] != assigned[:-1]).sum(0) == 1).float().mean().item(),
        "abrupt": (moved > apart / 2).float().mean().item(),
    }


NVISA = ["--preset", "nvisa-digits-laptop", "--set", "init=ae-gmm", "--set", "likelihood=gaussian"]
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
    "interpolation": Claim(
        "AMM's interpolations pass between clusters: from one end's component to the other's.",
        {"AMM": ["--preset", "amm-digits-laptop"]},
        lambda found: mean(found, "AMM", lambda result: result["between"]) > 0.9,
        interpolations,
    ),
}


def train(options: list[str], seed: int, measure: Callable[[Saved], dict[str, float]]) -> dict:
    """Train one run; return what `mixviz train --json` printed and what was measured."""
    with tempfile.TemporaryDirectory() as home:
        printed = subprocess.run(
            [sys.executable, "-m", "mixviz", "train", *options, "--seed", str(seed), "--json"],
            env={**os.environ, "MIXVIZ_HOME": home},
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        result = dict(json.loads(printed.stdout))
        if not diverged(result):
            result |= measure(load_run(RunStore(Path(home)), result["run"]))
    return result


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
            case: [train(options, seed, claim.measure) for seed in range(args.seeds)]
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
