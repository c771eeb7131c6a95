"""The order of observations in an epoch, and the mean of its steps: the same for runs and estimators."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixviz.models.base import Terms
from mixviz.training.device import stream


def shuffled_batches(
    count: int, size: int, seed: int, epoch: int, device: torch.device
) -> Sequence[Tensor]:
    """Indices of the batches of one epoch, `size` each; what is left over waits for another epoch.

    The order depends on the seed and the epoch alone. With fewer observations than `size` all are
    one batch.
    """
    order = torch.randperm(count, generator=stream(seed, "order", epoch)).to(device)
    size = min(size, count)
    return order[: count // size * size].split(size)


def mean_of_steps(steps: Sequence[Terms]) -> dict[str, float]:
    """Means of the terms over the steps that have those of the last; waits for the device."""
    names = steps[-1].keys()
    alike = [terms for terms in steps if terms.keys() == names]
    values = torch.stack([value for terms in alike for value in terms.values()])
    means = values.view(len(alike), -1).mean(0).tolist()
    return dict(zip(names, means, strict=True))
