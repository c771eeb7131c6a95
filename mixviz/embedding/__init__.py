"""Latents in a plane that stays put while they move, and in maps that keep neighbours together."""

from mixviz.embedding.maps import FLAT, SETTINGS, TSNESettings, UMAPSettings, fit_map, placing
from mixviz.embedding.plane import Plane

__all__ = ["FLAT", "SETTINGS", "Plane", "TSNESettings", "UMAPSettings", "fit_map", "placing"]
