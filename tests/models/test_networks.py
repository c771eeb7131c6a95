"""Tests of the networks: tables A.1 to A.3 layer by layer, parameter counts, and the start."""

import math

import pytest
import torch
from torch import nn

from mixviz.errors import MixvizError
from mixviz.models.networks import architecture, initialise

GMVAES = ["gmvae-v1", "gmvae-v2"]
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
GREY, COLOUR = (1, 28, 28), (3, 32, 32)


@torch.no_grad()
def outputs(network, x):
    """Return the output shape of every linear and convolutional layer, without the batch."""
    shapes = []
    for layer in network.eval():
        x = layer(x)
        if isinstance(layer, LAYERS):
            shapes.append(tuple(x.shape[1:]))
    return shapes


def starred(network):
    """Names of the layers between the weights."""
    return [type(layer).__name__ for layer in network]


def parameters(network):
    return sum(p.numel() for p in network.parameters())


TRUNKS = {
    (2,): [(120,), (120,)],
    (7,): [(256,), (256,)],
    (1, 8, 8): [(256,), (256,)],
    GREY: [(16, 23, 23), (32, 18, 18), (64, 9, 9), (500,)],
    COLOUR: [(64, 16, 16), (128, 8, 8), (246, 4, 4), (500,)],
}


@pytest.mark.parametrize("shape", TRUNKS)
def test_trunk_shrinks_as_table_a1_says(shape):
    trunk, features = architecture("auto", shape).trunk(shape)
    assert outputs(trunk, torch.zeros(2, *shape)) == TRUNKS[shape]
    assert features == TRUNKS[shape][-1][0]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2,), [(120,), (120,), (4,)]),
        ((7,), [(256,), (256,), (14,)]),
        (GREY, [(500,), (5184,), (32, 18, 18), (16, 23, 23), (2, 28, 28)]),
        (COLOUR, [(500,), (3936,), (128, 8, 8), (64, 16, 16), (6, 32, 32)]),
    ],
)
def test_decoder_grows_as_table_a3_says(shape, expected):
    decoder = architecture("auto", shape).decoder(shape, 5, 2)
    x = torch.zeros(2, 5)
    assert outputs(decoder, x) == expected
    assert decoder(x).shape == (2, 2 * math.prod(shape))


def test_flat_convolutions_have_the_sizes_of_the_tables():
    flat = {
        shape: [
            m.in_features
            for m in architecture("auto", shape).trunk(shape)[0].modules()
            if isinstance(m, nn.Linear)
        ]
        for shape in (GREY, COLOUR)
    }
    assert flat == {GREY: [64 * 9 * 9], COLOUR: [246 * 4 * 4]}


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_starred_layers_are_normalised_and_rectified(shape):
    rows = architecture("auto", shape)
    conv = ["Conv2d", "BatchNorm2d", "ReLU"]
    dense = ["Linear", "BatchNorm1d", "ReLU"]
    up = ["ConvTranspose2d", "BatchNorm2d", "ReLU"]
    assert starred(rows.trunk(shape)[0]) == [*conv * 3, "Flatten", *dense]
    expected = [*dense * 2, "Unflatten", *up * 2, "ConvTranspose2d", "Flatten"]
    assert starred(rows.decoder(shape, 200, 1)) == expected


def test_points_have_no_normalisation():
    rows = architecture("points", (2,))
    assert starred(rows.trunk((2,))[0]) == ["Flatten", *["Linear", "ReLU"] * 2]
    assert starred(rows.decoder((2,), 2, 2)) == [*["Linear", "ReLU"] * 2, "Linear"]


@pytest.mark.parametrize(
    ("shape", "kernels"),
    [
        (GREY, [(16, 6, 1, 0), (32, 6, 1, 0), (64, 4, 2, 1)]),
        (COLOUR, [(64, 4, 2, 1), (128, 4, 2, 1), (246, 4, 2, 1)]),
    ],
)
def test_kernels_strides_and_padding_are_those_printed(shape, kernels):
    rows = architecture("auto", shape)
    down = [m for m in rows.trunk(shape)[0] if isinstance(m, nn.Conv2d)]
    up = [m for m in rows.decoder(shape, 200, 1) if isinstance(m, nn.ConvTranspose2d)]
    sizes = [(m.kernel_size[0], m.stride[0], m.padding[0]) for m in down]
    assert [(m.out_channels, *size) for m, size in zip(down, sizes, strict=True)] == kernels
    # Table A.3 lists the way back by its input channels.
    sizes = [(m.kernel_size[0], m.stride[0], m.padding[0]) for m in up]
    assert [(m.in_channels, *s) for m, s in zip(up, sizes, strict=True)] == kernels[::-1]


HEAD = {"gmvae-v1": 4, "gmvae-v2": 0}  # K = 4


@pytest.mark.parametrize("name", GMVAES)
def test_parameters_of_the_points_network(make, name):
    model = make(name, (2,), components=4)
    assert parameters(model.trunk) == (2 * 120 + 120) + (120 * 120 + 120)
    outs = 2 * 2 + 2 * 2 + HEAD[name]
    assert parameters(model.streams) == 120 * outs + outs
    assert parameters(model.mixture) == (2 * 120 + 120) + (120 * 16 + 16)
    assert parameters(model.decoder) == (2 * 120 + 120) + (120 * 120 + 120) + (120 * 4 + 4)


@pytest.mark.parametrize("name", GMVAES)
def test_parameters_of_the_grey_images_network(make, name):
    model = make(name, GREY, components=4)
    convolutions = (1 * 16 * 36 + 16) + (16 * 32 * 36 + 32) + (32 * 64 * 16 + 64)
    normalisation = 2 * (16 + 32 + 64) + 2 * 500
    assert parameters(model.trunk) == convolutions + normalisation + (5184 * 500 + 500)
    outs = 2 * 200 + 2 * 150 + HEAD[name]
    assert parameters(model.streams) == 500 * outs + outs
    outs = 2 * 4 * 200
    assert parameters(model.mixture) == (150 * 500 + 500) + (500 * outs + outs)
    dense = (200 * 500 + 500) + 2 * 500 + (500 * 5184 + 5184) + 2 * 5184
    convolutions = (64 * 32 * 16 + 32) + (32 * 16 * 36 + 16) + (16 * 1 * 36 + 1)
    assert parameters(model.decoder) == dense + convolutions + 2 * (32 + 16)


@pytest.mark.parametrize(("likelihood", "channels"), [("bernoulli", 3), ("gaussian", 6)])
def test_parameters_of_the_colour_images_network(make, likelihood, channels):
    model = make("gmvae-v2", COLOUR, components=4, likelihood=likelihood)
    convolutions = (3 * 64 * 16 + 64) + (64 * 128 * 16 + 128) + (128 * 246 * 16 + 246)
    normalisation = 2 * (64 + 128 + 246) + 2 * 500
    assert parameters(model.trunk) == convolutions + normalisation + (3936 * 500 + 500)
    dense = (200 * 500 + 500) + 2 * 500 + (500 * 3936 + 3936) + 2 * 3936
    convolutions = (246 * 128 * 16 + 128) + (128 * 64 * 16 + 64) + 64 * channels * 16 + channels
    assert parameters(model.decoder) == dense + convolutions + 2 * (128 + 64)


def test_sizes_of_the_tables_give_way_to_settings(make):
    model = make("gmvae-v2", (2,), components=4, latent_size=3, style_size=5)
    assert model.streams.out_features == 2 * 3 + 2 * 5
    assert model.components().means.shape == (4, 3)


@pytest.mark.parametrize("name", ["conv28", "conv32"])
@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (1, 28, 32)])
def test_convolutions_refuse_other_sizes(name, shape):
    with pytest.raises(MixvizError, match=r"needs images of .* use network=auto") as caught:
        architecture(name, shape)
    assert "\n" not in str(caught.value)


def every_layer():
    return nn.Sequential(
        nn.Conv2d(3, 40, 5),
        nn.BatchNorm2d(40),
        nn.ConvTranspose2d(40, 30, 4),
        nn.Flatten(),
        nn.Linear(480, 200),
        nn.BatchNorm1d(200),
        nn.Linear(200, 100, bias=False),
    )


def test_initialise_depends_on_the_generator_alone(seeded):
    networks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed + len(networks))
        networks.append(every_layer())
        before = torch.get_rng_state()
        initialise(networks[-1], seeded(seed))
        assert torch.equal(before, torch.get_rng_state())
    first, again, other = (n.state_dict() for n in networks)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for name in ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias", "6.weight"):
        assert not torch.equal(first[name], other[name])


def test_initialise_is_uniform_within_the_fan_in(seeded):
    network = every_layer()
    initialise(network, seeded(1))
    # PyTorch counts the fan-in of a transposed convolution by its output channels.
    for at, fan_in in ((0, 3 * 25), (2, 30 * 16), (4, 480), (6, 200)):
        bound = 1 / math.sqrt(fan_in)
        weight = network[at].weight.detach().flatten()
        assert weight.abs().max().item() <= bound
        assert weight.abs().max().item() > 0.99 * bound
        error = bound / math.sqrt(3 * len(weight))
        assert abs(weight.mean().item()) < 5 * error
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        if network[at].bias is not None:
            assert 0 < network[at].bias.abs().max().item() <= bound


def test_initialise_agrees_with_pytorch_in_distribution(seeded):
    torch_network = every_layer()
    network = every_layer()
    initialise(network, seeded(1))
    for (name, one), two in zip(
        network.named_parameters(), torch_network.parameters(), strict=True
    ):
        assert one.std().item() == pytest.approx(two.std().item(), rel=0.35, abs=1e-6), name


def test_initialise_resets_normalisation(seeded):
    network = every_layer()
    with torch.no_grad():
        network[1].weight.fill_(3)
        network[1].bias.fill_(3)
    initialise(network, seeded(1))
    assert (network[1].weight == 1).all()
    assert (network[1].bias == 0).all()
