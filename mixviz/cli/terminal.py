"""What the commands share: how they read assignments, and show progress and results."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mixviz.errors import MixvizError
from mixviz.runs import Run


def assignment(text: str) -> tuple[str, str]:
    """Return name and value of NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise MixvizError(f"{text!r} is not of the form NAME=VALUE.")
    return name.strip(), value.strip()


@contextmanager
def share_bar() -> Iterator[Callable[[float, str], None]]:
    """Show on a terminal what is being done and what share of it; nothing of it remains after."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}%"
    with tqdm(total=1.0, file=sys.stderr, leave=False, bar_format=form, disable=None) as bar:

        def report(share: float, text: str) -> None:
            bar.set_description(text, refresh=False)
            bar.update(share - bar.n)

        yield report


def report_run(run: Run) -> None:
    """Print what has become of a run."""
    print(f"run      {run.id}  {run.name}  {run.status}")
    if run.verdict:
        print(f"verdict  {run.verdict}")
    if run.result:
        print_scores(run, run.result)


def print_scores(run: Run, result: dict[str, Any]) -> None:
    """Print terms and scores of a run's result."""
    from mixviz.data import part
    from mixviz.models import model_class

    units = model_class(run.model).units
    terms = "  ".join(
        f"{name} {'not finite' if value is None else f'{value:.3f}'}"
        for name, value in result["terms"].items()
    )
    print(f"terms    {terms}  ({units}, mean over the {part(result['split'])})")
    if result["accuracy"]:
        scores = result["accuracy"] | {"nmi": result["nmi"], "ari": result["ari"]}
        print("scores   " + "  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    for name, found in result.get("classifiers", {}).items():
        shares = "  ".join(f"{mapping} {value:.3f}" for mapping, value in found.items())
        print(f"by {name:<6}{shares}")
