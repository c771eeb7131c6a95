"""Networks of the AMM paper: encoder, components, decoder and discriminator.

The encoder and the decoder have two columns of layers of which one, the follower, adds the other's
output to its own at every layer. In tables 3 and 7 the column of z leads and that of c follows,
which is q(z|x) q(c|x, z); for q(c|x) q(z|x, c) the columns change places.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mixviz.models.networks.amm_tables import Architecture, Layer, Shape

Kind = Literal["dense", "down", "up"]

LEAK = 0.2


class Dropout(nn.Module):
    """Dropout whose masks come from the generator that a run hands in."""

    def __init__(self, probability: float):
        """Drop each value with `probability` while training."""
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Drop values of x and scale up the others; in evaluation or without generator, return x."""
        if generator is None or not self.training or self.probability == 0:
            return x
        kept = 1 - self.probability
        return x * torch.empty_like(x).bernoulli_(kept, generator=generator).div_(kept)


class Stage(nn.Module):
    """Dropout, a linear map or (transposed) convolution, pooling."""

    def __init__(self, kind: Kind, inputs: int, layer: Layer):
        """Make the layer for so many input channels."""
        super().__init__()
        self.dropout = Dropout(layer.dropout)
        if kind == "dense":
            self.map: nn.Module = nn.Linear(inputs, layer.channels)
        else:
            convolution = nn.Conv2d if kind == "down" else nn.ConvTranspose2d
            self.map = convolution(
                inputs, layer.channels, layer.kernel, layer.stride, layer.padding
            )
        self.pool = layer.pool

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Apply the layer, without its normalisation and activation."""
        x = self.map(self.dropout(x, generator))
        if self.pool == "max":
            return functional.max_pool2d(x, 2)
        return x.mean((2, 3), keepdim=True) if self.pool == "mean" else x


def _stages(kind: Kind, inputs: int, layers: Iterable[Layer]) -> nn.ModuleList:
    layers = tuple(layers)
    channels = (inputs, *(layer.channels for layer in layers))
    return nn.ModuleList(
        Stage(kind, before, layer) for before, layer in zip(channels, layers, strict=False)
    )


def _norms(kind: Kind, layers: Iterable[Layer]) -> nn.ModuleList:
    norm = nn.BatchNorm1d if kind == "dense" else nn.BatchNorm2d
    return nn.ModuleList(norm(layer.channels) for layer in layers)


def _leak(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, LEAK)


class Column(nn.Module):
    """Layers one after the other, each ending in a leaky rectifier."""

    def __init__(self, kind: Kind, inputs: int, layers: tuple[Layer, ...], normalise: bool):
        """Make the layers, with batch normalisation before the rectifiers or without."""
        super().__init__()
        self.stages = _stages(kind, inputs, layers)
        self.norms = _norms(kind, layers if normalise else ())

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Apply all layers."""
        for index, stage in enumerate(self.stages):
            x = stage(x, generator)
            x = _leak(self.norms[index](x) if len(self.norms) else x)
        return x


class TwoColumns(nn.Module):
    """A leading column, and one that adds the leader's output to its own at every layer."""

    def __init__(
        self, kind: Kind, inputs: tuple[int, int], layers: tuple[Layer, ...], activate: bool
    ):
        """Make both columns for `inputs` channels of leader and follower.

        Parameters
        ----------
        activate
            Whether the follower's layers end in a rectifier; tables 5 and 9 have none.
        """
        super().__init__()
        self.lead_stages, self.lead_norms = _stages(kind, inputs[0], layers), _norms(kind, layers)
        self.follow_stages = _stages(kind, inputs[1], layers)
        self.follow_norms = _norms(kind, layers)
        self.activate = activate

    def lead(
        self, x: Tensor, generator: Generator | None, shift: Tensor | float = 0.0
    ) -> tuple[Tensor, list[Tensor]]:
        """Output of the leader, and of each of its layers before normalisation.

        `shift` is added to the last layer.
        """
        outputs = []
        for index, (stage, norm) in enumerate(zip(self.lead_stages, self.lead_norms, strict=True)):
            raw = stage(x, generator)
            if index == len(self.lead_stages) - 1:
                raw = raw + shift
            outputs.append(raw)
            x = _leak(norm(raw))
        return x, outputs

    def follow(
        self,
        x: Tensor,
        outputs: list[Tensor],
        generator: Generator | None,
        shift: Tensor | float = 0.0,
    ) -> Tensor:
        """Output of the follower, given the leader's layers."""
        stages = zip(self.follow_stages, self.follow_norms, outputs, strict=True)
        for index, (stage, norm, output) in enumerate(stages):
            x = stage(x, generator) + output
            if index == len(outputs) - 1:
                x = x + shift
            x = norm(x)
            x = _leak(x) if self.activate else x
        return x


class Encoder(nn.Module):
    """q(c|x) q(z|x, c) or q(z|x) q(c|x, z): heads of two columns on a shared trunk.

    The parameter of either Gaussian is its mean and log-variance (`ExpN` of the tables). Where z is
    given c, c enters the last layer of z's column through an embedding.
    """

    def __init__(
        self,
        rows: Architecture,
        shape: Shape,
        components: int,
        latent_size: int,
        z_given_c: bool,
        embed: bool,
    ):
        """Make the networks; `embed` gives z's column the embedding of c where c follows z too."""
        super().__init__()
        kind: Kind = "down" if rows.convolutional else "dense"
        self.flat, self.z_given_c = not rows.convolutional, z_given_c
        inputs = shape[0] if rows.convolutional else math.prod(shape)
        self.trunk = Column(kind, inputs, rows.trunk, normalise=True)
        inputs = rows.trunk[-1].channels if rows.trunk else inputs
        self.columns = TwoColumns(kind, (inputs, inputs), rows.encoder, activate=True)
        features = rows.encoder[-1].channels
        self.c_head = nn.Linear(features, 2 * components)
        self.z_head = nn.Linear(features, 2 * latent_size)
        self.embedding = nn.Linear(components, features, bias=False) if z_given_c or embed else None

    def shared(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Trunk of both columns."""
        features: Tensor = self.trunk(x.flatten(1) if self.flat else x, generator)
        return features

    def shift(self, c: Tensor) -> Tensor:
        """Embedding of c (B, K) in the shape of the last layer."""
        assert self.embedding is not None
        shift: Tensor = self.embedding(c)
        return shift if self.flat else shift[:, :, None, None]


class ComponentNetwork(nn.Module):
    """p(z|c), learned: tables 4 and 8."""

    def __init__(self, rows: Architecture, components: int, latent_size: int):
        """Make hidden layers of unit variance (table 4), or linear means and log-variances."""
        super().__init__()
        widths = (components, *rows.component_units)
        layers = tuple(
            Layer(width, dropout=rows.component_dropout if index else 0.0)
            for index, width in enumerate(rows.component_units)
        )
        self.hidden = Column("dense", components, layers, normalise=True)
        self.mean = nn.Linear(widths[-1], latent_size)
        self.log_variance = None if layers else nn.Linear(components, latent_size)

    def forward(self, c: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z given one-hot c (B, K), each (B, D)."""
        mean = self.mean(self.hidden(c, generator))
        if self.log_variance is None:
            return mean, torch.zeros_like(mean)
        return mean, self.log_variance(c)


class Decoder(nn.Module):
    """x as a function of (c, z), tables 5 and 9: the column of z leads, that of c follows."""

    def __init__(self, rows: Architecture, shape: Shape, components: int, latent_size: int):
        """Make the networks; pixels end in a sigmoid, vectors do not."""
        super().__init__()
        kind: Kind = "up" if rows.convolutional else "dense"
        self.shape, self.flat = shape, not rows.convolutional
        self.columns = TwoColumns(kind, (latent_size, components), rows.decoder, activate=False)
        outputs = shape[0] if rows.convolutional else math.prod(shape)
        features, last = rows.decoder[-1].channels, replace(rows.output, channels=outputs)
        self.lead_output = Stage(kind, features, last)
        self.follow_output = Stage(kind, features, last)

    def forward(self, c: Tensor, z: Tensor, generator: Generator | None) -> Tensor:
        """Return x (B, *shape) for c (B, K), one-hot, and z (B, D)."""
        if not self.flat:
            c, z = c[:, :, None, None], z[:, :, None, None]
        lead, outputs = self.columns.lead(z, generator)
        follow = self.columns.follow(c, outputs, generator)
        x = self.lead_output(lead, generator) + self.follow_output(follow, generator)
        x = x.unflatten(1, self.shape) if self.flat else x
        return x.sigmoid() if len(self.shape) == 3 else x


class Discriminator(nn.Module):
    """Logit of D(x, c, z), tables 6 and 10; no batch normalisation, for the gradient penalty."""

    def __init__(self, rows: Architecture, shape: Shape, components: int, latent_size: int):
        """Make the columns of x, c and z and the layers that join them."""
        super().__init__()
        kind: Kind = "down" if rows.convolutional else "dense"
        self.flat = not rows.convolutional
        inputs = shape[0] if rows.convolutional else math.prod(shape)
        self.x_column = Column(kind, inputs, rows.discriminator, normalise=False)
        latent = (Layer(rows.latent_units), Layer(rows.latent_units, dropout=rows.dropout))
        self.c_column = Column("dense", components, latent, normalise=False)
        self.z_column = Column("dense", latent_size, latent, normalise=False)
        joint = Layer(rows.joint_units, dropout=rows.dropout)
        features = rows.discriminator[-1].channels + 2 * rows.latent_units
        self.joint = Column("dense", features, (joint, joint), normalise=False)
        self.output = Stage("dense", rows.joint_units, Layer(1, dropout=rows.dropout))

    def forward(self, x: Tensor, c: Tensor, z: Tensor, generator: Generator | None) -> Tensor:
        """Logit that (x, c, z) is of the inference joint: (B,)."""
        features = [
            self.x_column(x.flatten(1) if self.flat else x, generator).flatten(1),
            self.c_column(c, generator),
            self.z_column(z, generator),
        ]
        joint = self.joint(torch.cat(features, dim=1), generator)
        logit: Tensor = self.output(joint, generator)
        return logit[:, 0].float()


@torch.no_grad()
def initialise_normal(module: nn.Module, deviation: float, generator: Generator) -> None:
    """Draw weights from N(0, deviation^2) in module order; biases are 0, normalisation identity."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            layer.weight.normal_(0.0, deviation, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.reset_parameters()
