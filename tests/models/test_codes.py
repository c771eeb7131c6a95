"""Tests of the autoencoder whose codes are clustered before a game begins."""

import pytest
import torch

from mixviz.errors import MixvizError
from mixviz.models.codes import learned_codes


@pytest.fixture(scope="module")
def plane():
    """300 points on a plane in six dimensions that lie at very different places, and their coordinates."""
    noise = torch.Generator().manual_seed(0)
    at = torch.randn((300, 2), generator=noise)
    axes = torch.linalg.qr(torch.randn((6, 6), generator=noise))[0][:2]
    return torch.tensor([0.0, 1000.0, -200.0, 3.0, 0.0, 50.0]) + 5 * at @ axes, at


def silent(task, share):
    pass


def explained(codes, wanted):
    """Share of the variance of `wanted` that a linear map of the codes explains."""
    design = torch.cat([codes, torch.ones(len(codes), 1)], 1)
    left = wanted - design @ torch.linalg.lstsq(design, wanted).solution
    return 1 - (left.square().sum() / (wanted - wanted.mean(0)).square().sum()).item()


def test_codes_keep_what_the_data_vary_in(plane):
    x, at = plane
    codes = learned_codes(x, 60, torch.Generator().manual_seed(1), silent)
    assert codes.shape == (300, 10)
    assert explained(codes, at) > 0.97


def test_images_become_codes_and_draws_come_from_the_generator_alone():
    x = torch.rand((50, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    codes, before = [], torch.get_rng_state()
    learned_codes(x, 1, torch.Generator().manual_seed(1), silent)
    assert torch.equal(before, torch.get_rng_state())
    for _ in range(2):
        torch.rand(7)
        codes.append(learned_codes(x, 2, torch.Generator().manual_seed(1), silent))
    assert codes[0].shape == (50, 10)
    assert torch.equal(*codes)
    other = learned_codes(x, 2, torch.Generator().manual_seed(2), silent)
    assert not torch.equal(codes[0], other)


def test_codes_that_are_not_finite_are_refused(plane):
    x = plane[0].clone()
    x[0, 0] = torch.inf
    with pytest.raises(MixvizError, match="scale the data"):
        learned_codes(x, 1, torch.Generator().manual_seed(1), silent)


def test_says_how_far_it_is_and_can_be_left(plane):
    said = []

    def leave(task, share):
        said.append(share)
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned_codes(plane[0], 5, torch.Generator().manual_seed(1), leave)
    assert said == pytest.approx([0.099, 0.198, 0.297])  # of ten steps, the rest for what follows
