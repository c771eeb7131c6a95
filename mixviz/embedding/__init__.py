"""Latents in a plane that stays put while they move."""

from mixviz.embedding.plane import Plane

__all__ = ["Plane"]
