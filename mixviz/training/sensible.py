"""Settings to begin with on data that no preset is for, by their size and kind."""

import math
import typing
from dataclasses import dataclass
from typing import Any

from mixviz.data import Source
from mixviz.models import model_class
from mixviz.models.config import bounds

STEPS = 4_000  # of training: minutes on two processor cores
BATCH = (20, 200)
EPOCHS = (5, 400)
FEWEST_MAPPED = 100  # observations, below which neighbours say little
# Their papers start from an autoencoder, NVISA's in one experiment.
PRETRAINED = ("nvisa", "vade", "dec")


@dataclass(frozen=True)
class Sensible:
    """A model and its settings, and why."""

    model: str
    settings: dict[str, Any]
    reason: str


def sensible(found: Source, components: int) -> Sensible:
    """Choose model and settings for a data set.

    Parameters
    ----------
    components
        K.
    """
    what = "images" if found.kind == "image" else "vectors"
    settings = settings_for(found, "gmvae-v2", components)
    start = "; it starts from clusters that UMAP finds" if "init" in settings else ""
    reason = (
        f"{found.size:,} {what}: a GMVAE with a small network, and λ a little under log K, so that "
        f"all components stay in use{start}."
    )
    return Sensible("gmvae-v2", settings, reason)


def settings_for(found: Source, model: str, components: int) -> dict[str, Any]:
    """Settings of a model and its run: steps enough, a small network, K and what goes with it."""
    batch = min(max(found.size // 10, BATCH[0]), BATCH[1])
    epochs = min(max(math.ceil(STEPS * batch / found.size), EPOCHS[0]), EPOCHS[1])
    wanted: dict[str, Any] = {
        "components": components,
        "batch_size": batch,
        "epochs": epochs,
        "network": "auto" if found.shape == (2,) else "small",
    }
    fields = model_class(model).Config.model_fields
    if "z_prior_floor" in fields:
        highest = bounds(fields["z_prior_floor"])[1] or math.inf
        wanted["z_prior_floor"] = min(round(0.95 * math.log(components), 2), highest)
    allowed = typing.get_args(fields["network"].annotation) if "network" in fields else ()
    if model in PRETRAINED:
        wanted["pretrain_epochs"] = epochs // 3
    elif found.size >= FEWEST_MAPPED:
        wanted |= {"init": "umap-gmm", "teacher_epochs": epochs // 3}
    if wanted["network"] not in allowed:
        del wanted["network"]
    return {
        name: value
        for name, value in wanted.items()
        if name in fields or name in ("batch_size", "epochs")
    }
