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
        "How networks are chosen and trained; --data and --per-class say how many images. small: ResNet-9, 12 epochs, "
        "three seeds, for a CPU and 5,000 images (of CIFAR-10: --per-class 500). medium: a wide ResNet-9, 30 epochs, "
        "for all images. paper: its networks, epochs and batches. Default: small.",
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
    seeds: Sequence[int] = option(
        "Separated by commas: each victim is trained once with each. Default: 0,1,2 for --scale small, else 0; 0 for "
        "the board.",
        (),
        parse_seeds,
    )
    recipe: str | None = option(
        "How victims are trained: paper (Appendix B) or fast (one cycle to 0.12: stronger victims). Default: fast for "
        "the board and the scales small and medium, paper for the scale paper.",
        None,
    )
    epochs: int | None = option(
        "Default: the scale's; those of --recipe, if it is not the scale's: fast 12, paper 60.", None
    )

    def __post_init__(self) -> None:
        from ue_ray.evaluation.recipes import RECIPES

        check_at_least(self, {"epochs": 1})
        super().__post_init__()
        choose(self.scale, SCALES, "scale")
        if self.recipe is not None:
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
        if self.recipe not in (None, scale.recipe):
            recipe = RECIPES[self.recipe]
            scale = replace(scale, recipe=self.recipe, epochs=recipe.epochs, learning_rate=recipe.learning_rate)
        return replace(scale, epochs=self.epochs or scale.epochs, seeds=tuple(self.seeds) or scale.seeds)

    @property
    def resolved(self) -> ReproduceOptions:
        """Returns these options with those filled in that hang on the scale, so that a record names them."""
        sizes = self.sizes
        return replace(self, recipe=sizes.recipe, epochs=sizes.epochs, seeds=sizes.seeds)
