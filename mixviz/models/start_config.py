"""Settings of the starts from clusters, and of the teacher that carries them into a model."""

from typing import Literal

from pydantic import ValidationInfo, field_validator

from mixviz.models.config import ModelConfig, setting


class TeacherConfig(ModelConfig):
    """Settings of the teacher."""

    teacher_epochs: int = setting(
        6,
        "Epochs of the teacher",
        "Epochs in which q(c|x) is taught the clusters that were found first; the last third fades. "
        "A run that ends before them is never on its own objective alone.",
        ge=0,
        le=10_000,
    )
    teacher_augment: bool = setting(
        False,
        "Move the teacher's images",
        "Teach with images that are slightly shifted, turned and scaled; results are then those of "
        "data augmentation.",
    )
    map_blur: float = setting(
        0.0,
        "Blur before UMAP",
        "Standard deviation, in pixels, of a Gaussian blur of the images that UMAP sees, so that shapes "
        "count more than the exact place of their edges. Vectors and codes are not blurred.",
        ge=0,
        le=10,
    )
    map_neighbours: int = setting(
        20,
        "Neighbours of UMAP",
        "How many neighbours of each observation UMAP looks at, itself among them, or as many as there "
        "are; more show larger structure.",
        ge=2,
        le=500,
    )
    map_count: int = setting(
        1,
        "Maps of UMAP",
        "Maps from seeds of their own, each with a Gaussian mixture; clusters are what most of them "
        "agree on. More take longer and depend less on the seed.",
        ge=1,
        le=50,
    )

    @property
    def start(self) -> str:
        """The start that is meant: `random`, `ae-gmm`, `umap-gmm` or `ae-umap-gmm`."""
        return "random"

    @property
    def teaches(self) -> bool:
        """Whether clusters that are found first teach q(c|x)."""
        return self.uses_umap

    @property
    def uses_umap(self) -> bool:
        """Whether clusters are looked for among coordinates of UMAP."""
        return "umap" in self.start

    @property
    def among_codes(self) -> bool:
        """Whether an autoencoder's codes are clustered, or mapped, in place of the data."""
        return self.start.startswith("ae-")

    @property
    def autoencoder_epochs(self) -> int:
        """First epochs of the run, in which the model is trained as an autoencoder."""
        return 0

    @property
    def codes_epochs(self) -> int:
        """Epochs in which an autoencoder apart from the model is trained, before the run's first."""
        return 0


def _codes_need_epochs(init: str, values: ValidationInfo) -> str:
    if init.startswith("ae-") and not values.data.get("pretrain_epochs", 0):
        raise ValueError(f"{init} needs an autoencoder; take pretrain_epochs=1 or more")
    return init


class _GameStart(ModelConfig):
    """The choice of the start; `pretrain_epochs` stands before `init`, which is checked against it."""

    pretrain_epochs: int = setting(
        0,
        "Epochs of the autoencoder",
        "Epochs, before the first of the run, of a small autoencoder whose codes are clustered "
        "(ae-gmm, ae-umap-gmm); it is no part of the model.",
        ge=0,
        le=10_000,
    )
    init: Literal["random", "ae-gmm", "umap-gmm", "ae-umap-gmm"] = setting(
        "random",
        "Start",
        "Where clusters come from: training alone, from random weights, or a Gaussian mixture on an "
        "autoencoder's codes (ae-gmm), on UMAP coordinates of the data (umap-gmm) or of the codes "
        "(ae-umap-gmm).",
        paper="random",
    )

    _check = field_validator("init")(_codes_need_epochs)


class GameStartConfig(TeacherConfig, _GameStart):
    """Settings of the start of a model of several players."""

    @property
    def start(self) -> str:
        """The start that is meant."""
        return self.init

    @property
    def teaches(self) -> bool:
        """Whether clusters that are found first teach q(c|x)."""
        return self.start != "random"

    @property
    def codes_epochs(self) -> int:
        """Epochs in which an autoencoder apart from the model is trained, before the run's first."""
        return self.pretrain_epochs if self.among_codes else 0


class _Start(ModelConfig):
    """The choice of the start; `pretrain_epochs` stands before `init`, which is checked against it."""

    pretrain_epochs: int = setting(
        0,
        "Epochs of pretraining",
        "First epochs, in which encoder and decoder are trained as an autoencoder.",
        ge=0,
        le=10_000,
    )
    init: Literal["auto", "random", "ae-gmm", "umap-gmm", "ae-umap-gmm"] = setting(
        "auto",
        "Start",
        "Where clusters come from: training alone, from random weights, or a Gaussian mixture on an "
        "autoencoder's codes (ae-gmm), on UMAP coordinates of the data (umap-gmm) or of the codes "
        "(ae-umap-gmm); auto takes ae-gmm where there are epochs of pretraining, else random.",
        paper="random; ae-gmm for NVISA and VaDE",
        validate_default=True,
    )

    _check = field_validator("init")(_codes_need_epochs)


class StartConfig(TeacherConfig, _Start):
    """Settings of the start of a model of one objective."""

    @property
    def start(self) -> str:
        """The start that is meant, without `auto`."""
        if self.init == "auto":
            return "ae-gmm" if self.pretrain_epochs else "random"
        return self.init

    @property
    def autoencoder_epochs(self) -> int:
        """First epochs of the run, in which the model is trained as an autoencoder."""
        return 0 if self.start == "random" else self.pretrain_epochs
