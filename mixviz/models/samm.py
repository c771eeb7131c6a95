"""Semi-supervised AMM (SAMM): a second game, on labelled observations.

Anonymous, "Adversarially Learned Mixture Model" (ICLR 2019 submission), section 2.3 and algorithm 2.
Beside the game of the AMM, the same components and decoder, and in the paper the same discriminator,
play one in which the class is observed:

    inference   q(x, c) q(z|x, c)   (equation 4)
    synthesis   p(c) p(z|c) p(x|c, z)   (equation 11), p(c) the class frequencies of the labelled

Both games count half. q(z|x, c) shares the column of z with the unlabelled encoder.

A shared discriminator compares p with the mean of the two inference joints alone. That mean can also
be matched with the components of q(c|x) permuted against the classes, and training drives it there:
at labelled pairs (x, c) the discriminator already expects inference samples, so that the encoder
moves away from the true class. On arcs the components then were the arcs, with other labels. With
`own_discriminator` each game has to be matched by itself.
"""

from typing import ClassVar, Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor
from torch.nn import functional

from mixviz.errors import MixvizError
from mixviz.models.amm import AMM, Game, Joint
from mixviz.models.amm_config import (
    APART,
    CLUSTERS,
    KEPT,
    KEPT_REASON,
    LAPTOP,
    PRINTED,
    READ_SVHN,
    TAUGHT,
    AMMConfig,
)
from mixviz.models.config import ModelConfig, Preset, setting
from mixviz.models.networks.amm import Discriminator, initialise_normal
from mixviz.models.objectives import gaussian_draw


class SAMMConfig(AMMConfig):
    """Settings of the SAMM."""

    labelled: int = setting(
        100,
        "Labelled observations",
        "How many labels the model is shown; it sees no others.",
        paper="1000 on SVHN",
        ge=1,
        le=1_000_000,
    )
    labelled_choice: Literal["shares", "random"] = setting(
        "shares",
        "Choice of the labelled",
        "shares takes of each class as many as its share of all the data, so that p(c) is not left to "
        "the luck of the draw; random looks at no label before it has chosen.",
        paper="random",
    )
    own_discriminator: bool = setting(
        False,
        "Discriminator of its own",
        "Give the labelled game a discriminator of its own. A shared one is satisfied when both games "
        "match on average, which components permuted against the classes do.",
        paper="shared",
    )


_OWN = (
    "Each game has a discriminator of its own, without which components ended permuted against the "
    "classes on arcs. "
)
_HALVED = "Halvings of the learning rate end the oscillation of the players. "


class SAMM(AMM):
    """AMM that is shown the classes of a few observations."""

    Config: ClassVar[type[ModelConfig]] = SAMMConfig
    title: ClassVar[str] = "SAMM"
    semi_supervised: ClassVar[bool] = True
    presets: ClassVar[dict[str, Preset]] = {
        "samm-arcs-laptop": Preset(
            "Arcs, 50 labels",
            "arcs",
            {
                **LAPTOP,
                "labelled": 50,
                "own_discriminator": True,
                "penalty_weight": 0.1,
                "learning_rate": 1e-3,
                "halve_every": 20,
                "epochs": 80,
            },
            "The arcs are thin: a discriminator held to slope 1 cannot see their edges. "
            + _OWN
            + _HALVED
            + APART,
        ),
        "samm-digits-laptop": Preset(
            "8x8 digits, 100 labels",
            "digits",
            {
                **LAPTOP,
                "components": 10,
                "labelled": 100,
                "own_discriminator": True,
                "learning_rate": 1e-3,
                "halve_every": 75,
                "epochs": 300,
                "batch_size": 100,
            },
            "Slopes of 8x8 images are steeper, so that the penalty weighs less than the paper's on "
            "MNIST. " + _OWN + _HALVED + APART,
        ),
        "samm-mnist-laptop": Preset(
            "MNIST in minutes: dense network, 100 labels",
            "mnist",
            {
                **LAPTOP,
                **CLUSTERS,
                **KEPT,
                "teacher_epochs": 6,
                "components": 10,
                "labelled": 100,
                "network": "small",
                "epochs": 10,
                "batch_size": 100,
            },
            "Dense layers instead of the paper's convolutions: ten times as fast. "
            + TAUGHT.format("under k-means in these minutes")
            + KEPT_REASON
            + APART,
        ),
        "samm-svhn-paper": Preset(
            "Table 2: SVHN, 1000 labels",
            "svhn",
            {
                "components": 10,
                "labelled": 1000,
                "labelled_choice": "random",
                "penalty_weight": 0.01,
                "assignment": "bayes",
                "epochs": 100,
                "batch_size": 100,
            },
            PRINTED + READ_SVHN,
        ),
    }
    config: SAMMConfig
    labelled_x: Tensor  # (n, *shape)
    labels: Tensor  # (n,)
    labelled_discriminator: Discriminator | None  # that of the labelled game, where it has its own

    def __init__(self, config: SAMMConfig, shape: tuple[int, ...], generator: Generator):
        """Build the networks; `supervise` brings the labelled observations."""
        super().__init__(config, shape, generator)
        self.labelled_discriminator = None
        if config.own_discriminator:
            self.labelled_discriminator = self.make_discriminator()
            initialise_normal(self.labelled_discriminator, config.weight_deviation, generator)
        self.register_buffer("labelled_x", torch.empty(0, *shape), persistent=False)
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64), persistent=False)

    def supervise(self, x: Tensor, labels: Tensor) -> None:
        """Keep the labelled observations, and take p(c) from them.

        Raises
        ------
        MixvizError
            When there are more classes than components.
        """
        classes = int(labels.max()) + 1
        if classes > self.config.components:
            raise MixvizError(
                f"These data have {classes} classes and the model has {self.config.components} "
                f"components; set components={classes} or more."
            )
        self.labelled_x, self.labels = x, labels
        counts = torch.bincount(labels, minlength=self.config.components)
        self.class_frequencies.copy_(counts / counts.sum())

    def find_clusters(self, x: Tensor, generator: Generator, codes: Tensor | None = None) -> None:
        """Find clusters, and give each the component of a class: those that agree best with the labels."""
        super().find_clusters(x, generator, codes)
        if not len(self.responsibilities):
            return
        apart = torch.cdist(self.labelled_x.flatten(1), x.flatten(1))  # (n, N)
        found = self.responsibilities[apart.argmin(1)]  # (n, K), of the labelled themselves
        classes = functional.one_hot(self.labels, self.config.components).to(found)
        _, clusters = linear_sum_assignment((classes.T @ found).cpu(), maximize=True)
        self.responsibilities = self.responsibilities[:, torch.from_numpy(clusters).to(x.device)]

    def games(self, x: Tensor, generator: Generator) -> list[Game]:
        """Sample both games, as many labelled observations as unlabelled ones.

        Where none are labelled (a stored model that only answers), the game is the AMM's.
        """
        games = super().games(x, generator)
        if not len(self.labels):
            return games
        chosen = torch.randint(
            len(self.labels), (len(x),), generator=generator, device=self.labels.device
        )
        q = self.labelled_inference(self.labelled_x[chosen], self.labels[chosen], generator)
        p = self.synthesis(len(x), generator)
        return [*games, Game(q, p, self.labelled_discriminator or self.discriminator)]

    def labelled_inference(self, x: Tensor, labels: Tensor, generator: Generator) -> Joint:
        """Sample z given x (B, *shape) and its class (B,)."""
        encoder, columns = self.encoder, self.encoder.columns
        c = functional.one_hot(labels, self.config.components).to(x.dtype)
        shared, shift = encoder.shared(x, generator), encoder.shift(c)
        if self.z_given_c:
            with torch.no_grad():  # the labelled game does not move the column of c
                _, outputs = columns.lead(shared, generator)
            features = columns.follow(shared, outputs, generator, shift)
        else:
            features, _ = columns.lead(shared, generator, shift)
        _, _, z = gaussian_draw(encoder.z_head(features.flatten(1)), generator)
        return Joint(x, c, z)

    def _players(self) -> dict[str, list[torch.nn.Module]]:
        players = super()._players()
        if self.labelled_discriminator is not None:
            players["discriminator"].append(self.labelled_discriminator)
        return players
