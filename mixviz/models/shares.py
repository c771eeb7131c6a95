"""A batch in shares: what lets several processes compute together what one would have computed.

Every process holds all weights and sees its share of each batch. Noise is drawn for the whole batch from
the same stream in each of them; means over the batch that the objective is not linear in, and the
gradients, are averaged over the processes.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor


class Share:
    """What one of `count` processes computes of every batch: here everything, alone."""

    index = 0
    count = 1

    def mean(self, mean: Tensor) -> Tensor:
        """Mean over the whole batch of what is, in this process, a mean over its share.

        Its gradient is that of this process's share; averaged over the processes it is the whole's.
        """
        return mean

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give every process the mean of all processes' gradients."""


class SharedStream(torch.Generator):
    """A random stream of which a process uses what falls on its share of each batch."""

    share = Share()


def random_values(
    fill: Callable[..., Tensor],
    shape: Sequence[int],
    generator: torch.Generator,
    like: Tensor,
    batch: int = 0,
) -> Tensor:
    """Draw values for a batch, or for this process's share of it.

    Parameters
    ----------
    fill
        `Tensor.normal_`, `Tensor.uniform_` or another that fills a tensor from a generator.
    shape
        Of the values for this process; dimension `batch` counts its observations.
    like
        Tells device and precision.
    """
    share = generator.share if isinstance(generator, SharedStream) else Share()
    size = shape[batch]
    whole = [*shape[:batch], size * share.count, *shape[batch + 1 :]]
    values = fill(torch.empty(whole, device=like.device, dtype=like.dtype), generator=generator)
    return values.narrow(batch, size * share.index, size)
