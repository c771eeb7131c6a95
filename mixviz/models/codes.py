"""Codes of a small autoencoder that is no part of a model, among which its clusters are looked for.

It serves the models of several players, whose training has no stage in which encoder and decoder are
one autoencoder.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mixviz.errors import MixvizError
from mixviz.models.networks import initialise
from mixviz.models.networks.autoencoder import autoencoder, layers

_BATCH = 200
_HIGHEST_RATE = 2e-3  # of the one cycle of learning rates
_AT_ONCE = 2_000  # observations encoded in one pass


@torch.enable_grad()
def learned_codes(
    x: Tensor, epochs: int, generator: Generator, report: Callable[[str, float], None]
) -> Tensor:
    """Train an autoencoder on data (N, *shape) by squared error and return their codes (N, D).

    Parameters
    ----------
    report
        Is told the task and the share of it that is done, after each step; it may raise to end it.

    Raises
    ------
    MixvizError
        When codes are not finite.
    """
    shape = tuple(x.shape[1:])
    chosen = layers("auto", shape)
    # PyTorch's layers draw a start of their own from the global generator before ours replaces it.
    with torch.random.fork_rng(devices=[]):
        encoder, decoder = autoencoder(chosen.units, shape, chosen.latent_size, 1, 1)
    both = nn.ModuleList([encoder, decoder]).to(x)
    initialise(both, generator)
    offset = x.mean(0)
    scale = (x - offset).std(correction=0) + 1e-6
    steps = epochs * -(-len(x) // _BATCH)
    adam = torch.optim.Adam(both.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, _HIGHEST_RATE, total_steps=steps)
    task = f"Autoencoder, {epochs:,} epochs, whose codes are clustered then"
    done = 0
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator, device=x.device)
        for rows in order.split(_BATCH):
            batch = (x[rows] - offset) / scale
            loss = functional.mse_loss(decoder(encoder(batch)), batch.flatten(1))
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            schedule.step()
            done += 1
            report(task, 0.99 * done / steps)
    with torch.no_grad():
        codes = torch.cat([encoder((part - offset) / scale) for part in x.split(_AT_ONCE)])
    if not bool(codes.isfinite().all()):
        raise MixvizError(
            "The autoencoder of the start diverged; scale the data, or take init=random."
        )
    return codes
