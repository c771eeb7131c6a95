"""Tests of MPCC's networks: the tables, spectral norm, batch norm, the ways to condition."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mixviz.errors import MixvizError
from mixviz.models.networks.mpcc import ConditionalBatchNorm
from mixviz.models.networks.spectral import SpectralConv2d, SpectralLinear

WAYS = ["per_class", "shared", "split"]
SHAPES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (1, 20, 20), (3, 64, 64)]


def sides(network, x):
    """Return the shape of x after each block, without the batch."""
    shapes = []
    for block in network:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes


@torch.no_grad()
def test_networks_are_those_of_tables_5_to_7(make):
    model = make("mpcc", (3, 32, 32), width=3, latent_size=128)
    generator, wide = model.generator, 12
    assert generator.entry.weight.shape == (4 * 4 * wide, 128)
    assert len(generator.blocks) == 3
    assert all(block.up for block in generator.blocks)
    assert generator.exit.weight.shape == (3, wide, 3, 3)
    x = torch.zeros((2, 3, 32, 32))
    assert sides(model.shared, x) == [(wide, 16, 16), (wide, 8, 8), (wide, 8, 8)]
    h = model.shared(x)
    assert model.critic.block(h).shape == (2, wide, 8, 8)
    assert model.critic.exit.weight.shape == (1, wide)
    assert sides(model.encoder.blocks, h) == [
        (wide, 8, 8),
        (wide, 4, 4),
        (wide, 2, 2),
        (4 * wide,),
    ]
    for branch in (model.encoder.mean, model.encoder.log_variance):
        assert [tuple(layer.weight.shape) for layer in (branch[0], branch[2])] == [
            (2 * wide, 4 * wide),
            (128, 2 * wide),
        ]


def convolved(h, layer):
    """A convolution with the weight that spectral norm leaves."""
    return nn.functional.conv2d(h, layer.normalised(), layer.bias, padding=layer.padding)


@torch.no_grad()
@pytest.mark.parametrize("number", [0, 1, 2])
def test_discriminator_blocks_are_those_of_figure_4(make, seeded, number):
    """The first block pools before its 1x1 convolution and has no rectifier at its entry."""
    block = make("mpcc", (3, 32, 32), width=3).eval().shared[number]
    h = torch.randn((2, 3 if number == 0 else 12, 8, 8), generator=seeded(1))
    relu, halved = nn.functional.relu, nn.functional.avg_pool2d
    residual = convolved(h if number == 0 else relu(h), block.layers[0])
    residual = convolved(relu(residual), block.layers[1])
    if number == 0:
        expected = convolved(halved(h, 2), block.skip) + halved(residual, 2)
    elif number == 1:
        expected = halved(convolved(h, block.skip), 2) + halved(residual, 2)
    else:  # which keeps the size
        expected = h + residual
    assert_close(block(h), expected)


@torch.no_grad()
@pytest.mark.parametrize("conditioning", WAYS)
def test_generator_blocks_are_those_of_figure_4(make, seeded, conditioning):
    model = make("mpcc", (3, 32, 32), width=3, conditioning=conditioning, latent_size=24)
    block = model.generator.blocks[1].eval()
    h = torch.randn((4, 12, 8, 8), generator=seeded(1))
    condition = torch.tensor([0, 1, 2, 0])
    if conditioning != "per_class":
        size = block.norms[0].gain.in_features
        condition = torch.randn((4, size), generator=seeded(2))

    def doubled(x):
        return nn.functional.interpolate(x, scale_factor=2, mode="bilinear")

    relu = nn.functional.relu
    residual = convolved(doubled(relu(block.norms[0](h, condition))), block.layers[0])
    residual = convolved(relu(block.norms[1](residual, condition)), block.layers[1])
    assert_close(block(h, condition), convolved(doubled(h), block.skip) + residual)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_images_of_many_sizes_come_back_in_their_size(make, seeded, shape, way):
    slots = 1 if way != "split" else 5
    size = 12 * slots if shape[1] == 64 else 12
    model = make("mpcc", shape, width=1, latent_size=size, conditioning=way).eval()
    x = torch.rand((3, *shape), generator=seeded(1))
    z, log_responsibilities = model.encode(x)
    assert z.shape == (3, size)
    decoded = model.decode(z, log_responsibilities.argmax(1))
    assert decoded.shape == x.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1


@torch.no_grad()
def test_pixels_are_mapped_and_padded_with_black_inside(make, seeded):
    model = make("mpcc", (1, 28, 28), width=1)
    x = torch.rand((2, 1, 28, 28), generator=seeded(1))
    inside = model._inward(x)
    assert inside.shape == (2, 1, 32, 32)
    assert_close(inside[:, :, 2:-2, 2:-2], 2 * x - 1)
    assert inside.sum() == pytest.approx(float((2 * x - 1).sum()) - 2 * (32**2 - 28**2), rel=1e-4)
    assert_close(model._outward(inside), x)


@torch.no_grad()
def test_vectors_are_standardised_inside(make, seeded):
    model = make("mpcc", (3,))
    x = torch.randn((50, 3), generator=seeded(1)) * torch.tensor([1.0, 20.0, 0.0]) + 7
    model.prepare(x, seeded(0))
    inside = model._inward(x)
    assert_close(inside.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert_close(inside.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]))
    assert_close(model._outward(inside), x)


def test_what_does_not_fit_is_refused(make):
    with pytest.raises(MixvizError, match="network=auto"):
        make("mpcc", (2,), network="residual")
    with pytest.raises(MixvizError, match="multiple of 4"):
        make("mpcc", (1, 28, 28), latent_size=10, conditioning="split")


@torch.no_grad()
def test_weights_start_small_and_spectral_vectors_at_random(make):
    model = make("mpcc", (1, 28, 28), width=4)
    weights = torch.cat(
        [
            layer.weight.flatten()
            for layer in model.modules()
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Embedding))
        ]
    )
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
    assert abs(weights.mean()) < 1e-3
    layers = [m for m in model.modules() if isinstance(m, (SpectralLinear, SpectralConv2d))]
    for layer in layers:
        assert layer.left.norm().item() == pytest.approx(1, rel=1e-5)
    other = make("mpcc", (1, 28, 28), width=4, seed=1)
    assert not torch.equal(layers[0].left, next(other.generator.children()).left)


def test_every_layer_of_all_three_networks_has_spectral_norm(make):
    for shape in ((2,), (1, 28, 28)):
        model = make("mpcc", shape, width=1, conditioning="shared")
        for layer in model.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                assert isinstance(layer, (SpectralLinear, SpectralConv2d))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(lambda: SpectralLinear(5, 4), (2, 5)), (lambda: SpectralConv2d(3, 4, 3), (2, 3, 6, 6))],
)
def test_spectral_norm_divides_by_the_largest_singular_value(seeded, layer, shape):
    layer = layer()
    x = torch.randn(shape, generator=seeded(2))
    with torch.no_grad():
        layer.weight.normal_(generator=seeded(1))
        layer.draw(seeded(3))
        for _ in range(200):
            layer(x)
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
    assert_close(layer.normalised(), layer.weight / largest)
    # Its gradient is that of W / (u^T W v) with u and v fixed.
    weight = layer.weight.detach().flatten(1).requires_grad_()
    left, _, right = torch.linalg.svd(weight.detach())
    value = (weight / (left[:, 0] @ weight @ right[0])).square().sum()
    (expected,) = torch.autograd.grad(value, weight)
    (found,) = torch.autograd.grad(layer.normalised().square().sum(), layer.weight)
    assert_close(found.flatten(1), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_spectral_vectors_move_in_training_alone(seeded):
    layer = SpectralLinear(5, 4)
    layer.draw(seeded(3))
    before = layer.left.clone()
    layer.eval()(torch.ones(1, 5))
    assert torch.equal(layer.left, before)
    layer.train()(torch.ones(1, 5))
    assert not torch.equal(layer.left, before)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3, 3)])
@torch.no_grad()
def test_batch_norm_takes_gain_and_bias_of_the_component(seeded, shape):
    norm = ConditionalBatchNorm(4, components=3)
    h = torch.randn(shape, generator=seeded(1))
    c = torch.tensor([0, 1, 2, 2, 1, 0])
    found = norm(h, c)
    over = [0, *range(2, h.ndim)]
    mean, variance = h.mean(over, keepdim=True), h.var(over, correction=0, keepdim=True)
    normalised = (h - mean) / (variance + 1e-5).sqrt()
    for i in range(6):
        gain = 1 + norm.gain.weight[c[i]].view(4, *[1] * (h.ndim - 2))
        bias = norm.bias.weight[c[i]].view(4, *[1] * (h.ndim - 2))
        assert_close(found[i], normalised[i] * gain + bias)


@pytest.mark.parametrize("way", WAYS)
def test_components_and_latents_reach_the_generator_where_they_should(make, seeded, way):
    model = make("mpcc", (1, 28, 28), width=1, latent_size=8, conditioning=way)
    z = torch.randn((6, 8), generator=seeded(1), requires_grad=True)
    c = torch.tensor([0, 1, 2, 3, 4, 5])
    seen = []
    for block in model.generator.blocks:
        block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[1]))
    entries = []
    model.generator.entry.register_forward_hook(lambda _, inputs, __: entries.append(inputs[0]))
    model.generator(z, c)
    assert len(seen) == 3
    if way == "per_class":
        assert torch.equal(entries[0], z)
        assert all(condition is c for condition in seen)
        return
    embedded = model.generator.embedding(c)
    parts = z.split(2, dim=1) if way == "split" else [z] * 4
    assert torch.equal(entries[0], parts[0])
    for condition, part in zip(seen, parts[1:], strict=True):
        assert torch.equal(condition, torch.cat([embedded, part], dim=1))


def test_default_sizes(make):
    sizes = {(2,): 2, (7,): 12, (1, 8, 8): 12, (1, 28, 28): 24, (3, 32, 32): 24}
    for shape, size in sizes.items():
        assert make("mpcc", shape, width=1).latent_size == size
    assert math.prod(make("mpcc", (1, 28, 28), width=1).standing_noise.shape) == 16 * 50 * 24
