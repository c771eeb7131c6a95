"""Fully connected encoders and decoders of DEC, VaDE and the two-stage baselines.

Xie et al., arXiv:1511.06335, section 4.3 and Jiang et al., arXiv:1611.05148, section 4.3 use the same
one for all data: d-500-500-2000-10 with ReLU and linear outputs, the decoder its mirror image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

NetworkName = Literal["auto", "points", "small", "paper"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layers:
    """Hidden units of the encoder, in order, and the size of the latent space."""

    units: tuple[int, ...]
    latent_size: int


NETWORKS: dict[str, Layers] = {
    "points": Layers((120, 120), 2),
    "small": Layers((256, 256), 10),
    "paper": Layers((500, 500, 2000), 10),
}


def layers(name: NetworkName, shape: Shape) -> Layers:
    """Return the named layers; `auto` takes `points` for points in the plane, else `small`."""
    if name == "auto":
        name = "points" if shape == (2,) else "small"
    return NETWORKS[name]


def autoencoder(
    units: Sequence[int], shape: Shape, latent_size: int, latent_streams: int, data_streams: int
) -> tuple[nn.Module, nn.Module]:
    """Build an encoder (B, *shape) -> (B, latent_streams * D) and the decoder that mirrors it.

    The decoder's output is flat, the streams side by side: (B, data_streams * size of x).
    """
    size = math.prod(shape)
    encoder = _mlp((size, *units, latent_streams * latent_size))
    decoder = _mlp((latent_size, *reversed(units), data_streams * size))
    return nn.Sequential(nn.Flatten(), *encoder), nn.Sequential(*decoder)


def _mlp(sizes: Sequence[int]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
    return modules[:-1]
