"""Tests of the AMM's networks: tables 3 to 10 layer by layer, dropout, and the start."""

import pytest
import torch
from torch import nn

from mixviz.errors import MixvizError
from mixviz.models.networks.amm import (
    ComponentNetwork,
    Decoder,
    Discriminator,
    Dropout,
    Encoder,
    initialise_normal,
)
from mixviz.models.networks.amm_tables import CONV28, CONV32, amm_architecture

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
K, D = 10, 64
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def shapes(network, *inputs):
    """Return the output shape of every layer by name, without the batch."""
    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(
                lambda _, __, output, name=name: found.update({name: tuple(output.shape[1:])})
            )
    with torch.no_grad():
        network(*inputs)
    return found


def column(found, prefix):
    return [shape for name, shape in found.items() if name.startswith(prefix)]


def dropouts(network):
    return [m.probability for m in network.modules() if isinstance(m, Dropout)]


def kernels(stages):
    return [(s.map.kernel_size[0], s.map.stride[0]) for s in stages]


def whole(encoder):
    """Make an encoder callable as a network: both columns."""

    def forward(x):
        shared = encoder.shared(x, None)
        lead, outputs = encoder.columns.lead(shared, None)
        follow = encoder.columns.follow(shared, outputs, None)
        return encoder.z_head(lead.flatten(1)), encoder.c_head(follow.flatten(1))

    encoder.forward = forward
    return encoder.eval()


def test_table_3():
    encoder = whole(Encoder(CONV28, GREY, K, D, z_given_c=False, embed=False))
    found = shapes(encoder, torch.rand(2, *GREY))
    expected = [(32, 27, 27), (32, 13, 13), (64, 6, 6), (64, 4, 4), (128, 1, 1)]
    for prefix in ("columns.lead_stages", "columns.follow_stages"):
        assert column(found, prefix) == expected
    assert kernels(encoder.columns.lead_stages) == [(2, 1), (3, 2), (3, 2), (3, 1), (4, 1)]
    assert found["c_head"] == (2 * K,)
    assert found["z_head"] == (2 * D,)
    assert dropouts(encoder) == [0.2] * 10
    assert encoder.embedding is None


def test_table_4():
    network = ComponentNetwork(CONV28, K, D).eval()
    found = shapes(network, torch.eye(K), None)
    assert list(found.values()) == [(64,), (64,), (64,)]
    assert dropouts(network) == [0.0, 0.2]
    assert [type(m) for m in network.hidden.norms] == [nn.BatchNorm1d] * 2
    mean, log_variance = network(torch.eye(K), None)
    assert mean.shape == (K, D)
    assert (log_variance == 0).all()  # ExpN of zeros: variance 1


def test_table_5():
    decoder = Decoder(CONV28, GREY, K, D).eval()
    found = shapes(decoder, torch.eye(K), torch.rand(K, D), None)
    expected = [(128, 1, 1), (64, 4, 4), (64, 6, 6), (32, 13, 13), (32, 27, 27)]
    for prefix in ("columns.lead_stages", "columns.follow_stages"):
        assert column(found, prefix) == expected
    assert kernels(decoder.columns.lead_stages) == [(1, 1), (4, 1), (3, 1), (3, 2), (3, 2)]
    assert kernels([decoder.lead_output]) == kernels([decoder.follow_output]) == [(2, 1)]
    assert found["lead_output.map"] == found["follow_output.map"] == GREY
    assert dropouts(decoder) == [*[0.0, 0.2, 0.2, 0.2, 0.2] * 2, 0.2, 0.2]
    assert not decoder.columns.activate


def test_table_6():
    network = Discriminator(CONV28, GREY, K, D).eval()
    found = shapes(network, torch.rand(2, *GREY), torch.rand(2, K), torch.rand(2, D), None)
    expected = [(32, 27, 27), (32, 13, 13), (64, 6, 6), (64, 4, 4), (128, 1, 1)]
    assert column(found, "x_column") == expected
    assert column(found, "c_column") == column(found, "z_column") == [(64,), (64,)]
    assert network.joint.stages[0].map.in_features == 256
    assert column(found, "joint") == [(256,), (256,)]
    assert found["output.map"] == (1,)
    assert dropouts(network) == [0, 0.2, 0.2, 0.2, 0.2, 0, 0.2, 0, 0.2, 0.2, 0.2, 0.2]
    assert not [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]


def test_table_7():
    encoder = whole(Encoder(CONV32, COLOUR, K, D, z_given_c=False, embed=False))
    found = shapes(encoder, torch.rand(2, *COLOUR))
    trunk = [*[(96, 32, 32)] * 3, *[(192, 16, 16)] * 3, (384, 6, 6)]
    assert column(found, "trunk") == trunk  # before pooling
    for prefix in ("columns.lead_stages", "columns.follow_stages"):
        assert column(found, prefix) == [(192, 6, 6), (96, 6, 6)]
    assert (found["c_head"], found["z_head"]) == ((2 * K,), (2 * D,))
    assert not any(dropouts(encoder))


def test_table_8():
    network = ComponentNetwork(CONV32, K, D)
    found = shapes(network, torch.eye(K), None)
    assert found == {"mean": (64,), "log_variance": (64,)}


def test_table_9():
    decoder = Decoder(CONV32, COLOUR, K, D).eval()
    found = shapes(decoder, torch.eye(K), torch.rand(K, D), None)
    expected = [(512, 1, 1), (256, 4, 4), (256, 6, 6), (128, 13, 13), (128, 15, 15)]
    for prefix in ("columns.lead_stages", "columns.follow_stages"):
        assert column(found, prefix) == expected
    assert kernels(decoder.columns.lead_stages) == [(1, 1), (4, 1), (3, 1), (3, 2), (3, 1)]
    assert found["lead_output.map"] == COLOUR
    assert not any(dropouts(decoder))


def test_table_10():
    network = Discriminator(CONV32, COLOUR, K, D).eval()
    found = shapes(network, torch.rand(2, *COLOUR), torch.rand(2, K), torch.rand(2, D), None)
    x = [*[(96, 32, 32)] * 3, *[(192, 16, 16)] * 3, (384, 6, 6), (192, 6, 6), (96, 6, 6)]
    assert column(found, "x_column") == x
    assert column(found, "c_column") == column(found, "z_column") == [(96,), (96,)]
    assert network.joint.stages[0].map.in_features == 288
    assert column(found, "joint") == [(288,), (288,)]
    expected = [0, 0, 0, 0.1, 0, 0, 0.1, 0, 0, 0, 0.1, 0, 0.1, 0.1, 0.1, 0.1]
    assert dropouts(network) == expected


def seasoned(network, seeded):
    """Let a network answer with statistics of batch norms, and weights, that change what passes."""
    noise = seeded(3)
    initialise_normal(network, 0.2, noise)
    for norm in network.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.running_mean.normal_(generator=noise)
            norm.running_var.uniform_(0.5, 2.0, generator=noise)
    return network.eval().double()


def leak(x):
    return torch.where(x > 0, x, 0.2 * x)


def of_both(columns):
    """Layers of the follower, y, and of the leader, z, each with its norm."""
    return zip(
        columns.follow_stages,
        columns.follow_norms,
        columns.lead_stages,
        columns.lead_norms,
        strict=True,
    )


def normal(x, norm):
    mean, deviation = norm.running_mean, (norm.running_var + norm.eps).sqrt()
    shape = (1, -1, *[1] * (x.ndim - 2))
    return (x - mean.view(shape)) / deviation.view(shape)


@torch.no_grad()
@pytest.mark.parametrize(("rows", "shape"), [(CONV28, GREY), (CONV32, COLOUR)])
def test_encoder_computes_tables_3_and_7(seeded, rows, shape):
    encoder = seasoned(whole(Encoder(rows, shape, K, D, z_given_c=False, embed=False)), seeded)
    x = torch.rand((2, *shape), generator=seeded(1)).double()
    h = x
    for number, (stage, norm) in enumerate(
        zip(encoder.trunk.stages, encoder.trunk.norms, strict=True), 1
    ):
        h = stage.map(h)
        h = nn.functional.max_pool2d(h, 2) if number in (3, 6) else h
        h = leak(normal(h, norm))
    y = z = h
    layers = of_both(encoder.columns)
    for number, (y_stage, y_norm, z_stage, z_norm) in enumerate(layers, 1):
        z = z_stage.map(z)
        y = y_stage.map(y) + z
        if rows is CONV32 and number == 2:  # Avg6, which is linear
            y, z = y.mean((2, 3), keepdim=True), z.mean((2, 3), keepdim=True)
        y, z = leak(normal(y, y_norm)), leak(normal(z, z_norm))
    z_found, y_found = encoder(x)
    torch.testing.assert_close(z_found, encoder.z_head(z.flatten(1)))
    torch.testing.assert_close(y_found, encoder.c_head(y.flatten(1)))


@torch.no_grad()
@pytest.mark.parametrize(("rows", "shape"), [(CONV28, GREY), (CONV32, COLOUR)])
def test_decoder_computes_tables_5_and_9(seeded, rows, shape):
    decoder = seasoned(Decoder(rows, shape, K, D), seeded)
    c, code = torch.eye(K).double(), torch.randn((K, D), generator=seeded(1)).double()
    y, z = c[:, :, None, None], code[:, :, None, None]
    for y_stage, y_norm, z_stage, z_norm in of_both(decoder.columns):
        z = z_stage.map(z)
        y = normal(y_stage.map(y) + z, y_norm)  # which no rectifier follows
        z = leak(normal(z, z_norm))
    expected = (decoder.lead_output.map(z) + decoder.follow_output.map(y)).sigmoid()
    torch.testing.assert_close(decoder(c, code, None), expected)


@torch.no_grad()
@pytest.mark.parametrize(("rows", "shape"), [(CONV28, GREY), (CONV32, COLOUR)])
def test_discriminator_computes_tables_6_and_10(seeded, rows, shape):
    network = seasoned(Discriminator(rows, shape, K, D), seeded)
    noise = seeded(1)
    x, c, z = (torch.rand((4, *size), generator=noise).double() for size in (shape, (K,), (D,)))
    h = x
    for number, stage in enumerate(network.x_column.stages, 1):
        h = stage.map(h)
        if rows is CONV32 and number in (3, 6):
            h = nn.functional.max_pool2d(h, 2)
        if rows is CONV32 and number == 9:
            h = h.mean((2, 3), keepdim=True)
        h = leak(h)
    parts = [h.flatten(1)]
    for value, column_of in ((c, network.c_column), (z, network.z_column)):
        h = value
        for stage in column_of.stages:
            h = leak(stage.map(h))
        parts.append(h)
    h = torch.cat(parts, 1)
    for stage in network.joint.stages:
        h = leak(stage.map(h))
    torch.testing.assert_close(network(x, c, z, None), network.output.map(h)[:, 0].float())


@torch.no_grad()
def test_components_compute_table_4(seeded):
    network = seasoned(ComponentNetwork(CONV28, K, D), seeded)
    c = h = torch.eye(K).double()
    for stage, norm in zip(network.hidden.stages, network.hidden.norms, strict=True):
        h = leak(normal(stage.map(h), norm))
    torch.testing.assert_close(network(c, None)[0], network.mean(h))


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("factorisation", ["z_given_c", "c_given_z"])
@pytest.mark.parametrize("name", ["amm", "samm"])
def test_convolutional_models_take_a_step(make, seeded, name, shape, factorisation):
    model = make(name, shape, components=3, factorisation=factorisation).train()
    if model.semi_supervised:
        model.supervise(torch.rand((3, *shape), generator=seeded(2)), torch.arange(3))
    model.make_optimizers()
    x = torch.rand((4, *shape), generator=seeded(1))
    terms = model.training_step(x, seeded(1))
    assert all(value.isfinite() for value in terms.values())
    with torch.no_grad():
        model.eval()
        assert model.decode(model.encode(x)[0]).shape == x.shape


def test_auto_takes_the_tables_that_fit():
    assert amm_architecture("auto", GREY) is CONV28
    assert amm_architecture("auto", COLOUR) is CONV32
    assert amm_architecture("auto", (2,)) is amm_architecture("points", (2,))
    for shape in ((7,), (1, 8, 8), (1, 28, 32)):
        assert amm_architecture("auto", shape) is amm_architecture("small", shape)


@pytest.mark.parametrize("name", ["conv28", "conv32"])
@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (1, 28, 32)])
def test_convolutions_refuse_other_sizes(name, shape):
    with pytest.raises(MixvizError, match=r"needs images of .* use network=auto") as caught:
        amm_architecture(name, shape)
    assert "\n" not in str(caught.value)


def test_dropout_draws_its_masks_from_the_generator(seeded):
    dropout, x = Dropout(0.3).train(), torch.ones(200, 300)
    before = torch.get_rng_state()
    first, again, other = (dropout(x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sorted(first.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert first.mean().item() == pytest.approx(1, abs=0.02)
    assert dropout.eval()(x, seeded(1)) is x


def test_dropout_is_part_of_training_alone(make, seeded):
    model = make("amm", GREY, components=3).train()
    x = torch.rand((4, *GREY), generator=seeded(1))
    triple = (x, torch.eye(3)[[0, 1, 2, 0]], torch.rand(4, D))
    one, other = (model.discriminator(*triple, seeded(seed)) for seed in (1, 2))
    assert not torch.equal(one, other)
    model.eval()
    one, other = (model.discriminator(*triple, seeded(seed)) for seed in (1, 2))
    assert torch.equal(one, other)


def test_weights_start_normal_and_biases_at_zero(make, seeded):
    model = make("amm", COLOUR, components=K)
    weights, biases = [], []
    for layer in model.modules():
        if isinstance(layer, LAYERS):
            weights.append(layer.weight.detach().flatten())
            biases.append(layer.bias.detach())
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
    values = torch.cat(weights)
    assert values.std().item() == pytest.approx(0.02, rel=0.01)
    assert values.mean().item() == pytest.approx(0, abs=1e-4)
    assert (torch.cat(biases) == 0).all()
    twin = make("amm", COLOUR, components=K)
    initialise_normal(twin, 0.02, seeded(1))
    initialise_normal(model, 0.02, seeded(1))
    one, two = model.state_dict(), twin.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
