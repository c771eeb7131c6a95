"""Networks of the papers, and how their weights start."""

from mixviz.models.networks.gmvae import Architecture, architecture
from mixviz.models.networks.initial import initialise

__all__ = ["Architecture", "architecture", "initialise"]
