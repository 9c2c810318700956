import pytest

from ue_ray.errors import UserError
from ue_ray.evaluation.options import EvaluateOptions, read_options
from ue_ray.experiments.options import ReproduceOptions


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("seeds", "0,1,0", "--seeds has 0 2 times: name each once"),
        ("victims", "resnet9, resnet9", "--victims has resnet9 2 times"),
        ("countermeasures", "none,jpeg-50,none", "--countermeasures has none 2 times"),
        ("controls", "random,random", "--controls has random 2 times"),
        ("track", "tensorboard,tensorboard", "--track has tensorboard 2 times"),
    ],
)
def test_what_is_named_twice_is_refused(option, text, said):
    with pytest.raises(UserError, match=said):
        read_options(EvaluateOptions, {option: text})
    with pytest.raises(UserError, match=said):
        read_options(EvaluateOptions, {option: [int(k) if k.isdigit() else k.strip() for k in text.split(",")]})
    if option in ("seeds", "track"):
        with pytest.raises(UserError, match=said):
            read_options(ReproduceOptions, {option: text})


def test_an_experiment_takes_the_recipes_epochs_and_learning_rate():
    paper = ReproduceOptions(recipe="paper").sizes
    assert (paper.epochs, paper.learning_rate, paper.victim) == (60, 0.025, "resnet9")
    fast = ReproduceOptions(scale="paper", recipe="fast").sizes
    assert (fast.epochs, fast.learning_rate, fast.victim) == (12, 0.12, "resnet18")
    assert ReproduceOptions(recipe="paper", epochs=3).sizes.epochs == 3
    medium = ReproduceOptions(scale="medium", recipe="fast").sizes
    assert medium.epochs == 30, "its own recipe, named, changes nothing"
    with pytest.raises(UserError, match="unknown recipe 'slow': choose one of fast, paper"):
        ReproduceOptions(recipe="slow")


@pytest.mark.parametrize(
    ("scale", "epochs", "recipe", "seeds"),
    [("small", 12, "fast", (0, 1, 2)), ("medium", 30, "fast", (0,)), ("paper", 60, "paper", (0,))],
)
def test_a_record_of_an_experiment_names_what_its_scale_says(scale, epochs, recipe, seeds):
    resolved = ReproduceOptions(scale=scale).resolved
    assert (resolved.epochs, resolved.recipe, resolved.seeds) == (epochs, recipe, seeds)
    assert ReproduceOptions(scale=scale, seeds=[4]).resolved.seeds == (4,)
    assert resolved.resolved == resolved
