"""Mixture models, one file per paper, behind one interface and one registry."""

from mixviz.models.base import Components, MixtureModel, Terms
from mixviz.models.config import ModelConfig, Preset, Settings, build, extra, invalid, setting
from mixviz.models.registry import MODELS, create, model_class, preset, presets

__all__ = [
    "MODELS",
    "Components",
    "MixtureModel",
    "ModelConfig",
    "Preset",
    "Settings",
    "Terms",
    "build",
    "create",
    "extra",
    "invalid",
    "model_class",
    "preset",
    "presets",
    "setting",
]
