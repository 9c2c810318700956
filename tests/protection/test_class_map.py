import json

import pytest

from ue_ray.errors import UserError
from ue_ray.protection.class_map import labels_for_artifact, read_class_map

KNOWN = ("airliner", "Siamese cat", "dog")


def test_classes_are_matched_by_the_map_and_else_by_name():
    assert labels_for_artifact(["dog", "airliner"], KNOWN, {}).tolist() == [2, 0]
    class_map = {"cat": "Siamese cat", "lynx": "Siamese cat"}
    assert labels_for_artifact(["cat", "dog", "lynx"], KNOWN, class_map).tolist() == [1, 2, 1]


@pytest.mark.parametrize("known", ["n02690373", "airliner", "n02690373 airliner"])
def test_a_class_of_imagenet_may_be_called_by_its_number_its_words_or_both(known):
    assert labels_for_artifact(["airplane"], ["n01440764", known], {"airplane": "n02690373 airliner"}).tolist() == [1]
    assert labels_for_artifact([known], ["plane"], {"n02690373 airliner": "plane"}).tolist() == [0]
    with pytest.raises(UserError, match="no noise for class 'n02690373 airliner'"):
        labels_for_artifact(["airplane"], ["tench"], {"airplane": "n02690373 airliner"})


@pytest.mark.parametrize(
    ("class_map", "said"),
    [
        ({}, r"no noise for class 'cat' \(1 of 2 classes are missing\): it was crafted on airliner, Siamese cat, dog;"),
        ({"cat": "tiger"}, "no noise for class 'tiger'"),
        ({"cat": "dog", "ship": "dog"}, "the images have no class 'ship': they have dog, cat"),
    ],
)
def test_a_class_without_noise_and_a_map_of_other_classes_are_refused(class_map, said):
    with pytest.raises(UserError, match=said):
        labels_for_artifact(["dog", "cat"], KNOWN, class_map)


def test_a_map_is_a_json_object_of_names(tmp_path):
    place = tmp_path / "map.json"
    place.write_text(json.dumps({"cat": "Siamese cat"}))
    assert read_class_map(str(place)) == {"cat": "Siamese cat"}
    for text, said in [("{", "is no JSON"), ('["cat"]', "must be an object"), ('{"cat": 3}', "must be an object")]:
        place.write_text(text)
        with pytest.raises(UserError, match=said):
            read_class_map(str(place))
    with pytest.raises(UserError, match="there is no such file"):
        read_class_map(str(tmp_path / "none.json"))
