"""What may be asked of a run from outside: to be made, and to change while it trains."""

from dataclasses import replace

import torch

from mixviz.data import source
from mixviz.errors import MixvizError
from mixviz.models import build, create, invalid, model_class
from mixviz.runs import Run, RunStore
from mixviz.training.checkpoints import can_go_on, has_checkpoint
from mixviz.training.config import Plan, RunConfig
from mixviz.training.device import devices_here, make_fabric, stream


def create_run(store: RunStore, plan: Plan, name: str = "") -> str:
    """Put a run into the store, ready to be trained by any process, and return its id."""
    return store.create(
        model=plan.model,
        dataset=plan.dataset,
        config=plan.as_json(),
        name=name,
        total_steps=0,
    )


def stored_plan(store: RunStore, run: str) -> Plan:
    """Return the plan of a run as it is trained here: what has begun goes on with the devices there are.

    Raises
    ------
    MixvizError
        When this version cannot read its configuration.
    """
    plan = Plan.from_json(store.get(run).config)
    if not has_checkpoint(store.checkpoint_folder(run)):
        return plan
    return replace(plan, run=devices_here(plan.run, model_class(plan.model).on_host))


def check(plan: Plan) -> None:
    """Raise `MixvizError` if the data are missing, or the model or the device is not for them.

    Vectors are loaded where their values matter; those of images lie in [0, 1].
    """
    described = source(plan.dataset)
    if described.missing:
        raise MixvizError(described.missing + ".")
    make_fabric(plan.run, model_class(plan.model).on_host)
    model = create(plan.model, plan.settings, described.shape, stream(plan.run.seed, "start"))
    if described.kind == "vector" and getattr(plan.settings, "likelihood", None) == "bernoulli":
        model.check_data(torch.from_numpy(plan.load(plan.run.split).x))


def change_epochs(store: RunStore, run: Run, epochs: int | str) -> None:
    """Give a run that nobody trains another number of epochs.

    Raises
    ------
    MixvizError
        When that is no number of epochs, or the run is being trained, has more behind it, or cannot go
        on; nothing is changed then.
    """
    if run.status.live:
        raise MixvizError(f"Run {run.id} is training; stop it before changing its epochs.")
    plan = Plan.from_json(run.config)
    wanted = build(RunConfig, plan.run.model_dump() | {"epochs": epochs})
    total = wanted.epochs * run.steps_per_epoch
    if run.step > total:
        raise MixvizError(
            f"Run {run.id} has trained {run.epoch:g} epochs already; take --epochs above that."
        )
    if run.step < total and not can_go_on(store.checkpoint_folder(run.id)):
        raise MixvizError(
            f"Run {run.id} was shared without its optimiser, as finished runs are, and cannot be "
            "trained for longer; train a new one."
        )
    store.update(run.id, config={**run.config, "run": wanted.model_dump()})


def check_live(run: Run, name: str, value: float) -> None:
    """Raise `MixvizError` unless `name` is a live setting of the run and `value` within its bounds."""
    config = Plan.from_json(run.config).settings
    if name not in config.live_fields():
        choices = ", ".join(config.live_fields()) or "none"
        raise MixvizError(
            f"{name} cannot be changed while {run.model} trains; live settings: {choices}."
        )
    try:
        setattr(config, name, value)
    except ValueError as error:
        raise invalid(type(config), error) from error  # type: ignore[arg-type]
