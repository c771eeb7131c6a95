"""Networks that NVISA adds to a trunk and a decoder: q(z|c,x) for all c at once, NVIL's baseline."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class ComponentEncoder(nn.Module):
    """Two layers of q(z|c,x) on the features of x, for all components in one pass.

    A linear layer on the features beside a one-hot c is a linear map of the features plus one free
    vector for each c, so the K inputs (x, c) share everything but one addition.
    """

    def __init__(self, features: int, components: int, latent_size: int, mean_field: bool):
        super().__init__()
        self.components = components
        self.from_x = nn.Linear(features, features)
        self.from_component = None if mean_field else nn.Linear(components, features, bias=False)
        self.output = nn.Linear(features, 2 * latent_size)

    def forward(self, features: Tensor) -> Tensor:
        """Means and unbounded standard deviations side by side, for (B, F): (B, K, 2 D)."""
        hidden = self.from_x(features)[:, None]  # (B, 1, F)
        if self.from_component is not None:
            hidden = hidden + self.from_component.weight.T  # (B, K, F)
        return self.output(functional.relu(hidden)).expand(-1, self.components, -1)

    def without_component(self, features: Tensor) -> Tensor:
        """Outputs for (B, F) where no component is given, as in an autoencoder: (B, 2 D)."""
        output: Tensor = self.output(functional.relu(self.from_x(features)))
        return output

    @torch.no_grad()
    def change_axes(self, axes: Tensor) -> None:
        """Multiply the means by a matrix (D, D), whose inverse the reader of z must apply."""
        rows = slice(len(axes))
        self.output.weight[rows] = axes @ self.output.weight[rows]
        self.output.bias[rows] = axes @ self.output.bias[rows]


def baseline(shape: tuple[int, ...], units: int = 100) -> nn.Module:
    """C_psi(x) + b of NVIL, for (B, *shape): (B, 1); the last layer's bias is b."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), units), nn.Tanh(), nn.Linear(units, 1)
    )
