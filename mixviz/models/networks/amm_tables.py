"""Tables of the AMM paper: 3 to 6 for 28x28 images, 7 to 10 for 32x32, and dense rows for the rest.

Where the tables leave a choice: dropout acts on a layer's input (so that the last logit is never
dropped), and pooling comes before batch normalisation, in the order of the tables' columns.
"""

from dataclasses import dataclass, replace
from typing import Literal

from mixviz.errors import MixvizError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One row of a table; a dense layer has channels and dropout alone."""

    channels: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dropout: float = 0.0
    pool: Literal["", "max", "mean"] = ""  # max over 2x2, mean over all positions


@dataclass(frozen=True)
class Architecture:
    """The four networks of one experiment.

    Attributes
    ----------
    convolutional
        Whether the layers of encoder, decoder and discriminator are convolutions.
    trunk : layers that both columns of the encoder share
    encoder, decoder : layers of both columns; the decoder's last one, to x, is added to them
    output : kernel, stride and dropout of the decoder's last layer
    component_units : hidden units of p(z|c); without any it is linear, and its variance learned
    component_dropout : dropout before each of these layers but the first
    discriminator : layers for x
    latent_units : units of the discriminator's two layers for c and of its two for z
    joint_units : units of its two layers for all three
    dropout : dropout of the discriminator's layers for c, z and all three
    latent_size : D of the tables
    """

    convolutional: bool
    trunk: tuple[Layer, ...]
    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    output: Layer
    component_units: tuple[int, ...]
    component_dropout: float
    discriminator: tuple[Layer, ...]
    latent_units: int
    joint_units: int
    dropout: float
    latent_size: int


def _dense(units: tuple[int, ...], latent_size: int, dropout: float) -> Architecture:
    layers = tuple(Layer(width) for width in units)
    judged = (layers[0], *(replace(layer, dropout=dropout) for layer in layers[1:]))
    return Architecture(
        convolutional=False,
        trunk=(),
        encoder=layers,
        decoder=layers[::-1],
        output=Layer(0),
        component_units=(),
        component_dropout=0.0,
        discriminator=judged,
        latent_units=64,
        joint_units=units[-1],
        dropout=dropout,
        latent_size=latent_size,
    )


POINTS = _dense((64, 64), latent_size=2, dropout=0.0)
SMALL = _dense((128, 128), latent_size=10, dropout=0.2)

CONV28 = Architecture(
    convolutional=True,
    trunk=(),
    encoder=(
        Layer(32, 2, 1, dropout=0.2),
        Layer(32, 3, 2, dropout=0.2),
        Layer(64, 3, 2, dropout=0.2),
        Layer(64, 3, 1, dropout=0.2),
        Layer(128, 4, 1, dropout=0.2),
    ),
    decoder=(
        Layer(128, 1, 1),
        Layer(64, 4, 1, dropout=0.2),
        Layer(64, 3, 1, dropout=0.2),
        Layer(32, 3, 2, dropout=0.2),
        Layer(32, 3, 2, dropout=0.2),
    ),
    output=Layer(0, 2, 1, dropout=0.2),
    component_units=(64, 64),
    component_dropout=0.2,
    discriminator=(
        Layer(32, 2, 1),
        Layer(32, 3, 2, dropout=0.2),
        Layer(64, 3, 2, dropout=0.2),
        Layer(64, 3, 1, dropout=0.2),
        Layer(128, 4, 1, dropout=0.2),
    ),
    latent_units=64,
    joint_units=256,
    dropout=0.2,
    latent_size=64,
)

# Six same-size convolutions with two poolings and one without padding leave 6x6, for `Avg6`.
_SVHN = (
    Layer(96, 3, padding=1),
    Layer(96, 3, padding=1),
    Layer(96, 3, padding=1, pool="max"),
    Layer(192, 3, padding=1),
    Layer(192, 3, padding=1),
    Layer(192, 3, padding=1, pool="max"),
    Layer(384, 3),
)

CONV32 = Architecture(
    convolutional=True,
    trunk=_SVHN,
    encoder=(Layer(192), Layer(96, pool="mean")),
    decoder=(
        Layer(512, 1, 1),
        Layer(256, 4, 1),
        Layer(256, 3, 1),
        Layer(128, 3, 2),
        Layer(128, 3, 1),
    ),
    # Table 9 prints 4 channels, width 2, stride 1, which would end at 16x16; width 4 and stride 2
    # end at 32x32.
    output=Layer(0, 4, 2),
    component_units=(),
    component_dropout=0.0,
    discriminator=(
        *_SVHN[:3],
        replace(_SVHN[3], dropout=0.1),
        *_SVHN[4:6],
        replace(_SVHN[6], dropout=0.1),
        Layer(192),
        Layer(96, pool="mean"),
    ),
    latent_units=96,
    joint_units=288,
    dropout=0.1,
    latent_size=64,
)


def amm_architecture(name: str, shape: Shape) -> Architecture:
    """Return the named architecture; `auto` takes the tables that fit `shape`, else a dense one.

    Raises
    ------
    MixvizError
        When a convolutional network is asked for data of another size.
    """
    if name == "auto":
        square = len(shape) == 3 and shape[1] == shape[2]
        name = {28: "conv28", 32: "conv32"}.get(shape[1], "small") if square else "small"
        if shape == (2,):
            name = "points"
    needed = {"conv28": 28, "conv32": 32}.get(name)
    if needed and (len(shape) != 3 or shape[1:] != (needed, needed)):
        raise MixvizError(
            f"Network {name} needs images of {needed}x{needed} pixels, "
            f"these data have shape {shape}; use network=auto."
        )
    return {"points": POINTS, "small": SMALL, "conv28": CONV28, "conv32": CONV32}[name]
