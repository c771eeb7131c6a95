"""Helpers of the model tests: seeded generators, small smooth models, and arcs to train on."""

import pytest
import torch
from torch import nn

from mixviz.data import load
from mixviz.models import build, create, model_class
from mixviz.models.networks import initialise


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small matrices are faster on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def seeded():
    """Return a function from a seed to a fresh generator."""
    return lambda seed: torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def make(seeded):
    """Return a function that builds a model by name, as the program does."""

    def made(name, shape=(2,), seed=0, **settings):
        config = build(model_class(name).Config, settings)
        return create(name, config, shape, seeded(seed))

    return made


@pytest.fixture(scope="session")
def smooth(make, seeded):
    """Return a function that builds a GMVAE in double precision with a few Tanh units a network.

    Its components are well apart, so that its responsibilities are far from uniform.
    """

    def made(name, shape=(2,), seed=0, units=3, **settings):
        settings = {"components": 3, "latent_size": 2, "style_size": 2, **settings}
        model = make(name, shape, seed, **settings)

        def network(inputs, outputs):
            return nn.Sequential(
                nn.Flatten(), nn.Linear(inputs, units), nn.Tanh(), nn.Linear(units, outputs)
            )

        latent, style = model.latent_size, model.style_size
        model.trunk = nn.Sequential(nn.Flatten(), nn.Linear(shape[0], units), nn.Tanh())
        model.streams = nn.Linear(units, model.streams.out_features)
        # Without Flatten: w comes with several leading dimensions.
        model.mixture = network(style, 2 * settings["components"] * latent)[1:]
        model.decoder = network(latent, model.decoder[-1].out_features)
        model.double()
        initialise(model, seeded(seed))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2)
        return model

    return made


@pytest.fixture(scope="session")
def arcs():
    """Return training points of arcs as a tensor (10000, 2)."""
    return torch.from_numpy(load("arcs", "train").x)


@pytest.fixture(scope="session")
def arcs_test():
    """Return test points of arcs as a tensor (10000, 2)."""
    return torch.from_numpy(load("arcs", "test").x)


@pytest.fixture(scope="session")
def trained(make, seeded, arcs):
    """Return both GMVAEs after a short training on arcs, by name; tests must not change them."""

    def train(name, steps, **settings):
        model = make(name, components=5, learning_rate=3e-3, **settings)
        model.make_optimizers()
        draws = seeded(1)
        for _ in range(steps):
            batch = arcs[torch.randint(len(arcs), (200,), generator=draws)]
            model.training_step(batch, draws)
        return model.eval()

    return {
        "gmvae-v1": train("gmvae-v1", 400, eta=1, alpha=0),
        "gmvae-v2": train("gmvae-v2", 400, z_prior_floor=1.0),
    }
