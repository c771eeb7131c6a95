"""Linear and convolutional layers whose weights are divided by their largest singular value.

Miyato et al., arXiv:1802.05957. The value is estimated by one step of the power method, whose left
vector is a buffer: it advances at each pass in training and stays as it is in evaluation.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Spectral(nn.Module):
    """What both layers share; `weight` comes from the layer."""

    weight: Tensor
    left: Tensor  # (outputs,)

    def normalised(self) -> Tensor:
        """Return the weight divided by the estimate of its largest singular value."""
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.flatten(1)  # (outputs, inputs)
            with torch.no_grad():
                right = self.left @ matrix
                right /= right.norm()
            # |W v| is u^T W v for the u that belongs to v, in value and in gradient.
            product = matrix @ right
            largest = product.norm()
            if self.training:
                self.left.copy_(product.detach() / largest.detach())
            return self.weight / largest

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Start the power method at a random direction."""
        self.left.normal_(generator=generator)
        self.left /= self.left.norm()


class SpectralLinear(_Spectral, nn.Linear):
    """Linear layer with spectral normalisation."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        """Make the layer; `draw` gives it its vector."""
        super().__init__(inputs, outputs, bias)
        self.register_buffer("left", torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (..., inputs)."""
        return functional.linear(x, self.normalised(), self.bias)


class SpectralConv2d(_Spectral, nn.Conv2d):
    """Convolution with spectral normalisation, which keeps the size of the image."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        """Make the layer; `draw` gives it its vector."""
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.register_buffer("left", torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (B, inputs, H, W)."""
        # Processors convolve few channels faster where the channels of a pixel lie together.
        weight = self.normalised().contiguous(memory_format=torch.channels_last)
        return functional.conv2d(x, weight, self.bias, padding=self.padding)
