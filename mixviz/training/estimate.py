"""How long an epoch will take, from a few timed steps."""

import time

import numpy as np
import torch

from mixviz.data import source
from mixviz.models import create, model_class
from mixviz.training.config import Plan
from mixviz.training.device import make_fabric, place, stream, use_threads

TIMED = 4
MOST_TIMED = 1000  # observations in a timed step; longer steps are taken in proportion


def seconds_per_epoch(plan: Plan) -> float:
    """Build the model, take a step to warm up and time the next ones, on data like the real.

    The weights are thrown away; no run is made.
    """
    described = source(plan.dataset)
    fabric = make_fabric(plan.run, model_class(plan.model).on_host)
    before = torch.get_num_threads()
    use_threads(plan.run, described.shape)
    try:
        generator = stream(plan.run.seed, "evaluation")
        # The work of a start is done between the epochs.
        random = {"init": "random"} if "init" in plan.settings.model_fields_set else {}
        settings = plan.settings.model_copy(update=random)
        model = create(plan.model, settings, described.shape, generator)
        place(model, fabric.device)
        model.make_optimizers()
        size = described.size if model.full_batch else min(plan.run.batch_size, described.size)
        timed = min(size, MOST_TIMED)
        # Components are placed among as many observations as there are components, or more.
        count = max(timed, plan.settings.components)
        x = np.random.default_rng(0).random((count, *described.shape), dtype=np.float32)
        whole = fabric.to_device(torch.from_numpy(x))
        batch = whole[:timed]
        noise = stream(plan.run.seed, "noise", device=fabric.device)
        if model.semi_supervised:
            classes = min(described.classes, plan.settings.components)
            model.supervise(batch, torch.arange(timed, device=batch.device) % classes)
        model.prepare(whole, noise)
        began = 0.0
        for step in range(TIMED + 1):
            if step == 1:
                began = time.perf_counter()
            with fabric.autocast():
                terms = model.training_step(batch, noise)
            float(next(iter(terms.values())))  # wait for the device
        step_seconds = (time.perf_counter() - began) / TIMED
    finally:
        torch.set_num_threads(before)
    return step_seconds * size / timed * max(1, described.size // size)
