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
    assert (ReproduceOptions().sizes.epochs, ReproduceOptions().sizes.learning_rate) == (10, 0.05)
    fast = ReproduceOptions(recipe="fast")
    assert (fast.sizes.epochs, fast.sizes.learning_rate, fast.sizes.victim) == (12, 0.12, "resnet9")
    assert ReproduceOptions(recipe="fast", epochs=3).sizes.epochs == 3
    with pytest.raises(UserError, match="unknown recipe 'slow': choose one of fast, paper"):
        ReproduceOptions(recipe="slow")
