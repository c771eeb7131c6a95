"""The one place that lists the models."""

import torch

from mixviz.errors import unknown
from mixviz.models.aim import AIM
from mixviz.models.amm import AMM
from mixviz.models.base import MixtureModel
from mixviz.models.classical import GMMModel, KMeansModel
from mixviz.models.config import ModelConfig, Preset
from mixviz.models.dec import DEC
from mixviz.models.gmvae_v1 import GMVAEv1
from mixviz.models.gmvae_v2 import GMVAEv2
from mixviz.models.latent_gmm import AEGMM, VAEGMM
from mixviz.models.mpcc import MPCC
from mixviz.models.nvisa import NVISA
from mixviz.models.samm import SAMM
from mixviz.models.vade import VaDE

MODELS: dict[str, type[MixtureModel]] = {
    "gmvae-v2": GMVAEv2,
    "gmvae-v1": GMVAEv1,
    "nvisa": NVISA,
    "vade": VaDE,
    "dec": DEC,
    "ae-gmm": AEGMM,
    "vae-gmm": VAEGMM,
    "amm": AMM,
    "samm": SAMM,
    "mpcc": MPCC,
    "aim": AIM,
    "gmm": GMMModel,
    "k-means": KMeansModel,
}


def model_class(name: str) -> type[MixtureModel]:
    """Return the model called `name`; raise `MixvizError` naming the choices if there is none."""
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    return MODELS[name]


def create(
    name: str, config: ModelConfig, shape: tuple[int, ...], generator: torch.Generator
) -> MixtureModel:
    """Build a model for data of `shape`, its start drawn from `generator`."""
    # PyTorch's layers draw a start of their own from the global generator before ours replaces it.
    with torch.random.fork_rng(devices=[]):
        return model_class(name)(config, shape, generator)


def presets() -> dict[str, tuple[str, Preset]]:
    """All presets by name, each with the model it belongs to."""
    return {
        name: (model, preset)
        for model, cls in MODELS.items()
        for name, preset in cls.presets.items()
    }


def preset(name: str) -> tuple[str, Preset]:
    """Return the preset called `name` and its model's name."""
    found = presets()
    if name not in found:
        raise unknown("preset", name, found)
    return found[name]
