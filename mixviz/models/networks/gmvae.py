"""Networks of the GMVAE papers, tables A.1 to A.3, and two of this project.

`small` is for small images and plain vectors, `strided` for images on processors.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from mixviz.errors import MixvizError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """One row of the tables, or of their kind: shared trunk of q(z, w | x), and trunk of p(x | z) up to its outputs.

    Attributes
    ----------
    trunk : shape -> (network, features)
        Table A.1 without its output streams.
    decoder : (shape, latent size, output streams) -> network
        Table A.3; its output is flat, the streams side by side: (B, streams * size of x).
    component_units
        Hidden Tanh units of p(z | w, c), table A.2.
    latent_size, style_size
        Sizes of z and w that the tables give.
    """

    trunk: Callable[[Shape], tuple[nn.Module, int]]
    decoder: Callable[[Shape, int, int], nn.Module]
    component_units: int
    latent_size: int
    style_size: int


def _mlp(sizes: Sequence[int], normalise: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers.append(nn.Linear(inputs, outputs))
        if normalise:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(nn.ReLU())
    return layers


def _dense(
    units: tuple[int, ...], normalise: bool, components: int, latent: int, style: int
) -> Architecture:
    def trunk(shape: Shape) -> tuple[nn.Module, int]:
        layers = _mlp((math.prod(shape), *units), normalise)
        return nn.Sequential(nn.Flatten(), *layers), units[-1]

    def decoder(shape: Shape, latent_size: int, streams: int) -> nn.Module:
        sizes = (latent_size, *reversed(units))
        return nn.Sequential(
            *_mlp(sizes, normalise), nn.Linear(sizes[-1], streams * math.prod(shape))
        )

    return Architecture(trunk, decoder, components, latent, style)


@dataclass(frozen=True)
class _Layer:
    channels: int
    kernel: int
    stride: int
    padding: int

    def shrink(self, side: int) -> int:
        return (side + 2 * self.padding - self.kernel) // self.stride + 1


def _shrunk(side: int, layers: Sequence[_Layer]) -> int:
    for layer in layers:
        side = layer.shrink(side)
    return side


def _convolutions(channels: int, layers: Sequence[_Layer]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for layer in layers:
        modules += [
            nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding),
            nn.BatchNorm2d(layer.channels),
            nn.ReLU(),
        ]
        channels = layer.channels
    return modules


def _convolutional(layers: tuple[_Layer, ...], side: int) -> Architecture:
    """Convolutions marked * (batch normalisation, ReLU), then 500* units; the decoder mirrors it.

    Table A.3 lists the transposed convolutions by their input channels; between the 500 units and
    the first of them stands the linear layer that the shapes ask for.
    """
    units = 500
    small = _shrunk(side, layers)
    flat = layers[-1].channels * small * small

    def trunk(shape: Shape) -> tuple[nn.Module, int]:
        modules = _convolutions(shape[0], layers)
        return nn.Sequential(*modules, nn.Flatten(), *_mlp((flat, units), True)), units

    def decoder(shape: Shape, latent_size: int, streams: int) -> nn.Module:
        modules: list[nn.Module] = [
            *_mlp((latent_size, units, flat), True),
            nn.Unflatten(1, (layers[-1].channels, small, small)),
        ]
        outputs = [layer.channels for layer in layers[-2::-1]]
        for layer, channels in zip(layers[::-1], outputs, strict=False):
            modules += [
                nn.ConvTranspose2d(
                    layer.channels, channels, layer.kernel, layer.stride, layer.padding
                ),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        last = layers[0]
        modules += [
            nn.ConvTranspose2d(
                last.channels, streams * shape[0], last.kernel, last.stride, last.padding
            ),
            nn.Flatten(),
        ]
        return nn.Sequential(*modules)

    return Architecture(trunk, decoder, component_units=500, latent_size=200, style_size=150)


def _strided(shape: Shape) -> tuple[nn.Module, int]:
    """Three convolutions, each of which halves the picture, and 256 units."""
    layers = (_Layer(32, 5, 2, 2), _Layer(64, 5, 2, 2), _Layer(128, 3, 2, 0))
    modules = _convolutions(shape[0], layers)
    flat = layers[-1].channels * _shrunk(shape[1], layers) ** 2
    return nn.Sequential(*modules, nn.Flatten(), *_mlp((flat, 256), True)), 256


# A decoder of linear layers is cheap enough for many samples of z for each x.
STRIDED = Architecture(
    _strided,
    _dense((512, 512), normalise=False, components=128, latent=10, style=5).decoder,
    component_units=128,
    latent_size=10,
    style_size=5,
)
POINTS = _dense((120, 120), normalise=False, components=120, latent=2, style=2)
SMALL = _dense((256, 256), normalise=True, components=128, latent=10, style=5)
CONV28 = _convolutional((_Layer(16, 6, 1, 0), _Layer(32, 6, 1, 0), _Layer(64, 4, 2, 1)), side=28)
CONV32 = _convolutional(
    # Printed as 246 in table A.1; the authors' code has 256.
    (_Layer(64, 4, 2, 1), _Layer(128, 4, 2, 1), _Layer(246, 4, 2, 1)),
    side=32,
)


def architecture(name: str, shape: Shape) -> Architecture:
    """Return the named architecture; `auto` takes the row of the tables that fits `shape`.

    Raises
    ------
    MixvizError
        When a convolutional network is asked for data of another size.
    """
    if name == "auto":
        sides = {28: "conv28", 32: "conv32"}
        if len(shape) == 3 and shape[1] == shape[2] and shape[1] in sides:
            name = sides[shape[1]]
        else:
            name = "points" if shape == (2,) else "small"
    if name == "strided" and (len(shape) != 3 or shape[1] != shape[2] or shape[1] < 12):
        raise MixvizError(
            "Network strided needs square images of 12x12 pixels or more, "
            f"these data have shape {shape}; use network=auto."
        )
    needed = {"conv28": 28, "conv32": 32}.get(name)
    if needed and (len(shape) != 3 or shape[1:] != (needed, needed)):
        raise MixvizError(
            f"Network {name} needs images of {needed}x{needed} pixels, "
            f"these data have shape {shape}; use network=auto."
        )
    named = {"points": POINTS, "small": SMALL, "strided": STRIDED}
    return {**named, "conv28": CONV28, "conv32": CONV32}[name]
