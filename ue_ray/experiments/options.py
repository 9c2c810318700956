"""What a user may say of an experiment: flags of ``ue-ray reproduce``, keywords of ``ue_ray.reproduce``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ue_ray.errors import UserError, check_at_least, choose, flag, listed, option, parse_seeds
from ue_ray.evaluation.options import VictimOptions, check_sequence
from ue_ray.experiments.base import SCALES, Scale
from ue_ray.experiments.board import COUNTERMEASURES, METHODS
from ue_ray.noise.methods import noise_config
from ue_ray.storage.inputs.options import SourceOptions

BOARD = {"methods": str, "countermeasures": str, "noise_seeds": int}  # options of the board alone, and what they hold


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions(VictimOptions, SourceOptions):
    """All options of an experiment. Raises UserError for a value that makes no sense."""

    scale: str = option(
        "small: ResNet-9 and 10 epochs, for a CPU and some thousand images. paper: its networks, epochs and batches. "
        "Default: small.",
        "small",
    )
    data: str = option(
        "A built-in data set (mnist5k, cifar10, cifar100, svhn, lfw, celeba, imagenet); a folder with train.parquet "
        "and test.parquet, or with folders train and test; or a folder of class folders (people), of each of which a "
        "fifth is tested on. Default: mnist5k.",
        "mnist5k",
    )
    test_split: str | None = option("Of a data set with splits: the one to test on. Default: test.", None)
    other: str | None = option("transfer: the other data set, as --data.", None)
    class_map: str | None = option('transfer: a JSON file, {"class of --data": "class of --other", ...}.', None)
    methods: Sequence[str] | None = option(
        "board: its rows by commas, each METHOD or METHOD:OPTION=VALUE:... with options of protect, such as "
        f"gratings:cells=8:epsilon=12/255. Default: {', '.join(METHODS)}.",
        None,
        listed,
    )
    countermeasures: Sequence[str] | None = option(
        f"board: its columns by commas, as for evaluate. Default: {', '.join(COUNTERMEASURES)}.", None, listed
    )
    noise_seeds: Sequence[int] | None = option(
        "board: each noise is made once with each, by commas. Default: 0,1.", None, parse_seeds
    )
    epsilon: str | float = option("The budget, where an experiment does not set it. Default: 8/255.", "8/255")
    views: str | None = option("As for protect.", None)
    recipe: str = option(
        "How victims are trained: paper (Appendix B; docs/paper.md records it) or fast (one cycle to 0.12, 12 epochs: "
        "stronger victims). Default: fast for the board, else paper.",
        "paper",
    )
    epochs: int | None = option("Default: the scale's; 12 for the recipe fast.", None)

    def __post_init__(self) -> None:
        from ue_ray.evaluation.recipes import RECIPES

        check_at_least(self, {"epochs": 1})
        super().__post_init__()
        choose(self.scale, SCALES, "scale")
        choose(self.recipe, RECIPES, "recipe")
        for name, kind in BOARD.items():
            if (values := getattr(self, name)) is not None:
                check_sequence(self, name, kind)
                if not values:
                    raise UserError(f"{flag(name)} is empty: name at least one")
        noise = {"epsilon": self.epsilon} | ({} if self.views is None else {"views": self.views})
        noise_config(noise, ("any", "other"), images=2, side=32)

    @property
    def sizes(self) -> Scale:
        """The scale, with what the recipe says, and the epochs that are asked for."""
        from ue_ray.evaluation.recipes import RECIPES

        scale = SCALES[self.scale]
        if self.recipe == "fast":
            fast = RECIPES["fast"]
            scale = replace(scale, epochs=fast.epochs, learning_rate=fast.learning_rate)
        return scale if self.epochs is None else replace(scale, epochs=self.epochs)
