"""Models of stored runs, loaded back from their checkpoints."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from mixviz.data import source
from mixviz.errors import MixvizError
from mixviz.models import MixtureModel, create, model_class
from mixviz.runs import RunStore
from mixviz.training.checkpoints import (
    has_checkpoint,
    load_state,
    load_weights,
    restore_live,
)
from mixviz.training.config import Plan
from mixviz.training.device import devices_here, make_fabric, place, stream, use_threads
from mixviz.training.observe import evaluate


@dataclass(frozen=True)
class Saved:
    """A run's model as its last checkpoint left it, in evaluation mode."""

    plan: Plan
    model: MixtureModel
    step: int
    device: torch.device


def load_run(store: RunStore, run: str) -> Saved:
    """Rebuild the model of a run.

    Raises
    ------
    MixvizError
        When the run has no readable checkpoint.
    """
    folder = store.checkpoint_folder(run)
    if not has_checkpoint(folder):
        raise MixvizError(f"Run {run} has no checkpoint.")
    stored = Plan.from_json(store.get(run).config)
    # One process reads it, however many trained it, and wherever.
    alone = stored.run.model_copy(update={"devices": 1})
    plan = replace(stored, run=devices_here(alone, model_class(stored.model).on_host))
    state = load_state(folder)
    shape = source(plan.dataset).shape
    use_threads(plan.run, shape)
    fabric = make_fabric(plan.run, model_class(plan.model).on_host)
    model = create(plan.model, plan.settings, shape, stream(plan.run.seed, "start"))
    load_weights(folder, model)
    place(model, fabric.device)
    model.eval()
    model.make_optimizers()
    restore_live(state, model)
    return Saved(plan, model, int(state["step"]), fabric.device)


def evaluate_run(store: RunStore, run: str, dataset: str | None = None) -> dict[str, Any]:
    """Score a run's model on the test part of its own data set, or of another of the same shape.

    Raises
    ------
    MixvizError
        When there is no checkpoint, or the data have another shape.
    """
    saved = load_run(store, run)
    data = saved.plan.load(saved.plan.run.scored_split, dataset)
    if data.shape != saved.model.shape:
        raise MixvizError(
            f"Run {run} was trained on data of shape {saved.model.shape}, "
            f"{data.name} has shape {data.shape}."
        )
    with make_fabric(saved.plan.run, saved.model.on_host).autocast():
        return evaluate(saved.model, data, saved.plan.run.seed, saved.device)
