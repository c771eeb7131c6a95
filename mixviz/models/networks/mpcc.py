"""Networks of the MPCC paper: figures 4 and 5, tables 5 to 7, and dense ones for points and vectors.

A width C stands for 4C channels, or 4C units in the dense networks, which are the same residual
networks with linear layers in place of convolutions and without changes of size. The tables give
the layers for 32x32 pixels; images of 8, 16 and 64 pixels take fewer or more changes of size. The
encoder is the authors' program's, which has one block more than table 7: the one that keeps the size.
"""

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mixviz.errors import MixvizError
from mixviz.models.networks.initial import initialise
from mixviz.models.networks.spectral import SpectralConv2d, SpectralLinear

Conditioning = Literal["per_class", "shared", "split"]

WEIGHT_DEVIATION = 0.02
_ENTRY = 4  # pixels along each side where the generator starts
_EXIT = 2  # pixels along each side where the encoder ends
_DISCRIMINATOR_BLOCKS = 4


@dataclass(frozen=True)
class Plan:
    """Shape of what the networks see: `channels` x `side` x `side`, or `channels` features."""

    channels: int
    side: int | None
    width: int  # channels or units of every block, 4C

    @property
    def size(self) -> int:
        """Numbers in one observation."""
        return self.channels * (self.side or 1) ** 2

    def halvings(self, smallest: int) -> int:
        """How often the side is halved on the way to `smallest` pixels."""
        return 0 if self.side is None else int(math.log2(self.side // smallest))

    def latent_size(self, shape: tuple[int, ...]) -> int:
        """Dimensions of z for data of `shape`, where none are asked for."""
        if self.side is not None:
            return 24 if self.side >= 32 else 12
        return 2 if shape == (2,) else 12

    def margins(self, shape: tuple[int, ...]) -> list[int]:
        """Pixels to add to images of `shape` at the left, right, top and bottom."""
        missing = (self.side or shape[1]) - shape[1]
        return [missing // 2, missing - missing // 2] * 2


def plan_for(network: str, width: int | None, shape: tuple[int, ...]) -> Plan:
    """Shape of what the networks see of data of `shape`.

    Raises
    ------
    MixvizError
        When the network cannot take the data.
    """
    fits = len(shape) == 3 and shape[1] == shape[2] and 5 <= shape[1] <= 64
    if network == "residual" and not fits:
        raise MixvizError(
            "Network residual needs square images of 5 to 64 pixels, "
            f"these data have shape {shape}; use network=auto."
        )
    if network == "dense" or not fits:
        return Plan(math.prod(shape), None, 4 * (width or 16))
    return Plan(shape[0], max(8, 2 ** math.ceil(math.log2(shape[1]))), 4 * (width or 4))


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias come from the component or from a condition vector.

    It normalises by the batch it is given, in training and evaluation alike, unless it has standing
    statistics.

    Parameters
    ----------
    condition
        Length of the condition vector, for a linear map to gain and bias; or None, for a table.
    components
        Rows of the table, one for all where it is 1.
    """

    def __init__(self, width: int, components: int, condition: int | None = None):
        """Make the maps to the gain and the bias."""
        super().__init__()
        self.gain, self.bias = (
            nn.Embedding(components, width)
            if condition is None
            else SpectralLinear(condition, width, bias=False)
            for _ in range(2)
        )
        self.passes: list[tuple[Tensor, Tensor]] | None = None
        self.standing: tuple[Tensor, Tensor] | None = None

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """Normalise h (B, width, ...) under conditions (B,) components or (B, condition) vectors."""
        if self.passes is not None:
            over = [0, *range(2, h.ndim)]
            self.passes.append((h.mean(over), h.var(over, correction=0)))
        mean, variance = self.standing or (None, None)
        h = functional.batch_norm(h, mean, variance, training=self.standing is None)
        trailing = (1,) * (h.ndim - 2)
        gain = 1 + self.gain(condition).unflatten(-1, (-1, *trailing))
        return h * gain + self.bias(condition).unflatten(-1, (-1, *trailing))


def _layer(plan: Plan, inputs: int, outputs: int, kernel: int = 3) -> nn.Module:
    if plan.side is None:
        return SpectralLinear(inputs, outputs)
    return SpectralConv2d(inputs, outputs, kernel)


class GeneratorBlock(nn.Module):
    """Figure 4a; with `up` the sides are doubled."""

    def __init__(self, plan: Plan, components: int, condition: int | None, up: bool):
        """Make the layers."""
        super().__init__()
        width = plan.width
        self.up = up
        self.norms = nn.ModuleList(
            ConditionalBatchNorm(width, components, condition) for _ in range(2)
        )
        self.layers = nn.ModuleList(_layer(plan, width, width) for _ in range(2))
        self.skip = _layer(plan, width, width, kernel=1) if up else nn.Identity()

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """Pass h (B, width, ...) through the block."""
        first, second = self.norms
        residual = self.layers[0](self._doubled(functional.relu(first(h, condition))))
        residual = self.layers[1](functional.relu(second(residual, condition)))
        # A 1x1 convolution and bilinear interpolation may change places; this order is cheaper.
        return self._doubled(self.skip(h)) + residual

    def _doubled(self, h: Tensor) -> Tensor:
        return functional.interpolate(h, scale_factor=2, mode="bilinear") if self.up else h


class DiscriminatorBlock(nn.Module):
    """Figure 4b; with `down` the sides are halved. The first block leaves out the first ReLU."""

    def __init__(self, plan: Plan, inputs: int, down: bool, first: bool = False):
        """Make the layers."""
        super().__init__()
        self.down, self.first = down, first
        self.layers = nn.ModuleList(
            _layer(plan, count, plan.width) for count in (inputs, plan.width)
        )
        changes = down or inputs != plan.width
        self.skip = _layer(plan, inputs, plan.width, kernel=1) if changes else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """Pass h (B, inputs, ...) through the block."""
        residual = self.layers[0](h if self.first else functional.relu(h))
        residual = self._halved(self.layers[1](functional.relu(residual)))
        # In the first block the paper puts the 1x1 convolution after the pooling, in the others
        # before; the two may change places, and after it is cheaper.
        return self.skip(self._halved(h)) + residual

    def _halved(self, h: Tensor) -> Tensor:
        return functional.avg_pool2d(h, 2) if self.down else h


class GeneratorNetwork(nn.Module):
    """p(x|z, c), figure 5a and table 5, without the Tanh at its end.

    Parameters
    ----------
    components
        K; with one component the network is of z alone.
    conditioning
        `per_class`: z at the entry and tables of c in the batch norms. `shared`: an embedding of c
        and all of z in each block. `split`: z in equal chunks, one for the entry and one a block.

    Raises
    ------
    MixvizError
        When z cannot be split into equal chunks.
    """

    def __init__(
        self, plan: Plan, latent_size: int, components: int, conditioning: Conditioning, blocks: int
    ):
        """Make the layers; `blocks` counts those of dense networks."""
        super().__init__()
        self.plan, self.conditioning = plan, conditioning
        self.conditional = components > 1
        ups = plan.halvings(_ENTRY)
        count = ups or blocks
        self.slots = count + 1 if conditioning == "split" else 1
        if latent_size % self.slots:
            raise MixvizError(
                f"latent_size={latent_size} cannot be split into {self.slots} equal chunks; "
                f"take a multiple of {self.slots}, or conditioning=shared."
            )
        chunk = latent_size // self.slots
        condition = None
        if conditioning != "per_class":
            self.embedding = nn.Embedding(components, latent_size)
            condition = latent_size + chunk
        spatial = 1 if plan.side is None else _ENTRY**2
        self.entry = SpectralLinear(chunk, plan.width * spatial)
        self.blocks = nn.ModuleList(
            GeneratorBlock(plan, components, condition, up=ups > 0) for _ in range(count)
        )
        self.norm = ConditionalBatchNorm(plan.width, components=1)
        self.exit = _layer(plan, plan.width, plan.channels)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """Return x (B, channels, side, side) or (B, channels) for z (B, D) and c (B,)."""
        if not self.conditional:
            c = torch.zeros_like(c)
        chunks = z.chunk(self.slots, dim=1) if self.slots > 1 else [z] * (len(self.blocks) + 1)
        if self.conditioning == "per_class":
            conditions = [c] * len(self.blocks)
        else:
            embedded = self.embedding(c)
            conditions = [torch.cat([embedded, part], dim=1) for part in chunks[1:]]
        h = self.entry(chunks[0])
        if self.plan.side is not None:
            h = h.unflatten(1, (self.plan.width, _ENTRY, _ENTRY))
        for block, condition in zip(self.blocks, conditions, strict=True):
            h = block(h, condition)
        return self.exit(functional.relu(self.norm(h, torch.zeros_like(c))))


class Critic(nn.Module):
    """What the discriminator has after the blocks it shares with the encoder, table 6."""

    def __init__(self, plan: Plan):
        """Make the layers."""
        super().__init__()
        self.block = DiscriminatorBlock(plan, plan.width, down=False)
        self.exit = SpectralLinear(plan.width, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Return the discriminator's output (B,) for features (B, width, ...)."""
        h = functional.relu(self.block(h))
        return self.exit(h.flatten(2).sum(2) if h.ndim > 2 else h)[:, 0]


class EncoderHead(nn.Module):
    """What the encoder has after the blocks it shares with the discriminator; compare table 7."""

    def __init__(self, plan: Plan, latent_size: int):
        """Make the layers."""
        super().__init__()
        halvings = plan.halvings(_EXIT) - _trunk_halvings(plan)
        self.blocks = nn.Sequential(
            DiscriminatorBlock(plan, plan.width, down=False),
            *(DiscriminatorBlock(plan, plan.width, down=True) for _ in range(halvings)),
            nn.Flatten(),
        )
        features = plan.width * (1 if plan.side is None else _EXIT**2)
        self.mean, self.log_variance = (
            nn.Sequential(
                SpectralLinear(features, features // 2),
                nn.ReLU(),
                SpectralLinear(features // 2, latent_size),
            )
            for _ in range(2)
        )

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, D), for features (B, width, ...)."""
        h = self.blocks(h)
        return self.mean(h), self.log_variance(h)


def _trunk_halvings(plan: Plan) -> int:
    """How often the discriminator halves the side: twice, or until it is 4 pixels."""
    return min(2, plan.halvings(_ENTRY))


def shared_blocks(plan: Plan) -> nn.Sequential:
    """Return the discriminator's blocks but the last."""
    halvings = _trunk_halvings(plan)
    return nn.Sequential(
        *(
            DiscriminatorBlock(
                plan, plan.width if index else plan.channels, down=index < halvings, first=not index
            )
            for index in range(_DISCRIMINATOR_BLOCKS - 1)
        )
    )


@torch.no_grad()
def start(module: nn.Module, generator: Generator) -> None:
    """Draw every weight from N(0, 0.02^2), biases uniformly, and the spectral vectors."""
    initialise(module, generator)
    for layer in module.modules():
        if isinstance(layer, (SpectralLinear, SpectralConv2d)):
            layer.draw(generator)
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Embedding)):
            layer.weight.normal_(0, WEIGHT_DEVIATION, generator=generator)


def averaged(network: GeneratorNetwork) -> GeneratorNetwork:
    """Return a copy whose weights are buffers: nothing but `average` changes them."""
    copy = deepcopy(network)
    for module in copy.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach().clone())
    return copy.eval()


@torch.no_grad()
def average(copy: nn.Module, network: nn.Module, share: Tensor) -> None:
    """Move the weights of `copy` towards the network's by `share` (); take its spectral vectors."""
    for mine, module in zip(copy.modules(), network.modules(), strict=True):
        for name, value in module.named_parameters(recurse=False):
            mine.get_buffer(name).lerp_(value, share)
        for name, buffer in module.named_buffers(recurse=False):
            mine.get_buffer(name).copy_(buffer)


@torch.no_grad()
def use_standing_statistics(
    network: GeneratorNetwork, passes: Iterable[tuple[Tensor, Tensor]]
) -> None:
    """Give every batch norm its statistics over several passes of (z, c), to be used from now on."""
    forget_standing_statistics(network)
    norms = [m for m in network.modules() if isinstance(m, ConditionalBatchNorm)]
    for norm in norms:
        norm.passes = []
    for z, c in passes:
        network(z, c)
    for norm in norms:
        means, variances = zip(*norm.passes or [], strict=True)
        norm.standing = torch.stack(means).mean(0), torch.stack(variances).mean(0)
        norm.passes = None


def forget_standing_statistics(network: GeneratorNetwork) -> None:
    """Have every batch norm normalise by its batch again."""
    for module in network.modules():
        if isinstance(module, ConditionalBatchNorm):
            module.standing = None
