"""The papers' qualitative claims, each as runs that one command repeats.

    python benchmarks/claims.py [CLAIM ...] [--seeds 3]
    python benchmarks/claims.py --judge

Every run is `mixviz train` in a run store of its own. Prints what was found and writes it to
`claims.json` beside this file, run by run; `--judge` trains nothing and judges what is there.
"""

import argparse
import json
import os
import statistics
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
from mixviz.models import preset  # noqa: E402
from mixviz.runs import RunStore  # noqa: E402
from mixviz.training.saved import Saved, load_run  # noqa: E402

RESULTS = Path(__file__).with_suffix(".json")

Found = dict[str, list[dict]]  # by name of the case, a result for each seed


class Claim(NamedTuple):
    """A sentence, the cases that are trained for it, and whether their results bear it out.

    `holds` is asked only where every run has ended by itself; one that diverged has no scores.
    """

    sentence: str
    cases: dict[str, list[str]]
    holds: Callable[[Found], bool]
    measure: Callable[[Saved], dict[str, float]] = lambda _: {}  # more about each trained model


def every(found: Found, case: str, test: Callable[[dict], bool]) -> bool:
    """Whether all seeds of a case pass a test."""
    return all(test(result) for result in found[case])


def values(found: Found, case: str, score: Callable[[dict], float | None]) -> list[float]:
    """A score of each seed of a case, 0 where a run has none."""
    return [score(result) or 0.0 for result in found[case]]


def mean(found: Found, case: str, score: Callable[[dict], float | None]) -> float:
    """Mean of a score over the seeds of a case."""
    return statistics.mean(values(found, case, score))


def diverged(result: dict) -> bool:
    """Whether the run ended with something that was not finite."""
    return bool(result["status"] == "diverged")


def majority(result: dict) -> float:
    """Accuracy with each component's most frequent label; 0 of a run that diverged."""
    return float((result.get("accuracy") or {}).get("majority", 0.0))


def separation(result: dict) -> float:
    """Silhouette of the latents under the run's own clustering: how far apart its components lie."""
    return float(result.get("silhouette") or 0.0)


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


GAUSSIAN = ["--preset", "nvisa-digits-laptop", "--set", "likelihood=gaussian"]
NVISA = [*GAUSSIAN, "--set", "init=ae-gmm"]
RANDOM = [*GAUSSIAN, "--set", "init=random", "--set", "pretrain_epochs=0"]
UNANNEALED = ["--set", "std_start=1e-4", "--set", "std_floor=1e-4"]
MPCC = ["--preset", "mpcc-digits-laptop"]
AS_SLOW = preset("mpcc-digits-laptop")[1].settings["learning_rate"]  # as the networks learn

CLAIMS = {
    "divergence": Claim(
        "With a Gaussian likelihood, from random weights, NVIL and VIMCO without annealing diverge, "
        "annealed VIMCO does not.",
        {
            "NVIL": [*RANDOM, *UNANNEALED, "--set", "estimator=nvil"],
            "VIMCO": [*RANDOM, *UNANNEALED],
            "VIMCO, annealed": RANDOM,
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
        lambda found: (
            min(values(found, "annealed", separation)) > max(values(found, "without", separation))
            and mean(found, "annealed", separation) > mean(found, "without", separation) + 0.2
        ),
    ),
    "prior-rate": Claim(
        "MPCC's accuracy falls when its prior learns as slowly as its networks.",
        {"fast prior": MPCC, "slow prior": [*MPCC, "--set", f"prior_learning_rate={AS_SLOW}"]},
        lambda found: (
            mean(found, "fast prior", majority) > mean(found, "slow prior", majority) + 0.05
        ),
    ),
    "interpolation": Claim(
        "AMM's interpolations pass between clusters: from one end's component to the other's.",
        {"AMM": ["--preset", "amm-digits-laptop"]},
        lambda found: mean(found, "AMM", lambda result: result.get("between")) > 0.9,
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
        if result["status"] == "finished":
            result |= measure(load_run(RunStore(Path(home)), result["run"]))
    return result


def judged(name: str, found: Found) -> bool | None:
    """Whether a claim holds for what was found; None where runs failed or are missing."""
    whole = len({len(runs) for runs in found.values()}) == 1 and all(found.values())
    ended = all(
        run["status"] in ("finished", "diverged") for runs in found.values() for run in runs
    )
    return CLAIMS[name].holds(found) if whole and ended else None


def say(name: str, found: Found, holds: bool | None) -> None:
    """Print a claim and its runs."""
    verdict = {
        True: "holds",
        False: "does not hold",
        None: "not known: runs failed, or are to be made again",
    }[holds]
    print(f"{verdict}: {CLAIMS[name].sentence}")
    for case, runs in found.items():
        seen = [
            run["status"]
            if "accuracy" not in run
            else f"{run['status']} {majority(run):.3f}, separated {separation(run):.2f}"
            for run in runs
        ]
        print(f"  {case:<18} {'; '.join(seen)}")


def main() -> None:
    """Train the cases of the chosen claims and say what holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="*", help=f"of {', '.join(CLAIMS)}; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--judge", action="store_true", help="train nothing, judge what is there")
    args = parser.parse_args()
    unknown = set(args.claims) - set(CLAIMS)
    if unknown:
        parser.error(f"no claim {min(unknown)!r}; there are {', '.join(CLAIMS)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def write() -> None:
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")

    for name in args.claims or CLAIMS:
        claim = CLAIMS[name]
        if not args.judge:
            cases: Found = {case: [] for case in claim.cases}
            results[name] = {"sentence": claim.sentence, "holds": None}
            results[name] |= {"options": claim.cases, "cases": cases}
            for case, options in claim.cases.items():
                for seed in range(args.seeds):
                    cases[case].append(train(options, seed, claim.measure))
                    write()
        if name in results:
            found = results[name]["cases"]
            holds = judged(name, found) if results[name]["options"] == claim.cases else None
            results[name] |= {"sentence": claim.sentence, "holds": holds}
            write()
            say(name, found, holds)


if __name__ == "__main__":
    main()
