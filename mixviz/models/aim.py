"""AIM: MPCC with one standard normal for a prior, which does not cluster.

Li et al., "AIM: Adversarial Inference by Matching Priors and Conditionals" (2019), as a special
case of MPCC (Astorga et al., section 5.5): of its losses there remain I and -log q(z|x~) of II.
"""

from typing import ClassVar

from torch import Generator, Tensor

from mixviz.models.config import ModelConfig, Preset
from mixviz.models.mpcc import MPCC
from mixviz.models.mpcc_config import AIM_PRESETS, AIMConfig
from mixviz.models.mpcc_prior import Prior, StandardNormal


class AIM(MPCC):
    """A GAN with a standard normal prior and an encoder that inverts it."""

    Config: ClassVar[type[ModelConfig]] = AIMConfig
    title: ClassVar[str] = "AIM"
    terms: ClassVar[tuple[str, ...]] = MPCC.terms[:3]
    conditional: ClassVar[bool] = False
    presets: ClassVar[dict[str, Preset]] = AIM_PRESETS

    def make_prior(self, generator: Generator) -> Prior:
        """Return the standard normal."""
        return StandardNormal(self.config.components, self.latent_size)

    def prior_loss(self, z: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return nothing: the prior is fixed."""
        return z.new_zeros(()), ()
