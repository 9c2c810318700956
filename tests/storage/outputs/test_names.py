"""Names of exported files: kept where harmless, and never a way out of the folder or onto another sample's file."""

import random
import re
import unicodedata

import pytest

from tests.storage.hostile import hostile_keys
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.outputs.names import class_folders, export_name


def name_of(key: str, class_name: str = "cats", extension: str = ".png") -> str:
    return export_name(key, sample_id(key), class_name, extension)


@pytest.mark.parametrize("inside", ["1.png", "a-b_c.png", "2024/05/photo.png", "a/b/c/d/e.png", "console.png"])
def test_plain_names_are_kept(inside: str):
    assert name_of(f"cats/{inside}") == inside


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("cats/photo.jpg", "photo"),  # photo.png may exist too
        ("cats/photo", "photo"),
        ("cats/Photo.png", "Photo"),  # photo.png may exist too
        ("cats/my photo (1).png", "my_photo_1"),
        ("cats/a.b.c.png", "a_b_c"),
        ("cats/été.png", "été"),
        ("cats/e\u0301te\u0301.png", "été"),  # decomposed
        ("cats/写真.webp", "写真"),
        ("dogs/photo.png", "dogs/photo"),  # not below its class
        ("photo.png", "photo"),
        ("train.parquet#17", "train_parquet_17"),
        ("cats/CON.png", "CON_"),
        ("cats/aux.png", "aux_"),
        ("cats/nul/1.png", "nul_/1"),
        ("cats/.hidden.png", "hidden"),
        ("cats/-rf.png", "rf"),
        ("cats/trailing. .png", "trailing"),
        ("cats/a/../../../b.png", "a/b"),
        ("cats//absolute.png", "absolute"),
        ("cats/C:\\x\\y.png", "C_x_y"),
        ("cats/a\uff0fb\u2215c.png", "a_b_c"),  # look-alikes of a slash
        ("cats/\uff0e\uff0e/x.png", "x"),  # look-alikes of dots
        ("cats/nul\0byte.png", "nul_byte"),
        ("cats/\u202egnp.png", "gnp"),  # turns the text round
        ("cats/...png", "image"),
        ("cats/" + "é" * 300 + ".png", "é" * 50),
        ("cats/" + "d/" * 40 + "x.png", "d/d/d/d/x"),
    ],
)
def test_other_names_keep_what_is_readable_and_end_in_the_sample_id(key: str, kept: str):
    assert name_of(key) == f"{kept}-{sample_id(key)}.png"


def test_a_name_that_looks_marked_is_marked():
    key = f"cats/photo-{sample_id('cats/photo.jpg')}.png"
    assert name_of(key) != name_of("cats/photo.jpg")
    assert name_of(key).endswith(f"-{sample_id(key)}.png")


def test_ids_that_a_user_brought_are_hashed():
    names = [export_name("cats/1.png", own, "cats", ".png") for own in ("7", "../7", sample_id("other"), "x" * 5000)]
    assert all(re.fullmatch(r"1-([0-9a-f]{32}|[0-9a-f]{40})\.png", name) for name in names)
    assert len(set(names)) == 4


def test_class_folders_are_cleaned_and_stay_apart():
    names = ["cats", "Golden Retriever", "crane", "crane", "a/b", "a\\b", "A_b", "..", "", "x-class-0", "NUL", "été"]
    assert class_folders(names) == [
        "cats",
        "Golden_Retriever",
        "crane-class-2",
        "crane-class-3",
        "a_b-class-4",
        "a_b-class-5",
        "A_b-class-6",
        "class-class-7",
        "class-class-8",
        "x-class-0-class-9",
        "NUL_",
        "été",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_no_two_hostile_keys_share_a_name_on_any_file_system(seed: int):
    keys = hostile_keys(2000, seed)
    names = [name_of(key, "c", random.Random(seed).choice([".png", ".webp"])) for key in keys]
    folded = {unicodedata.normalize("NFKC", name).casefold() for name in names}
    assert len(folded) == len(set(keys)) == len(keys)
    folders = {"/".join(name.split("/")[:depth]) for name in folded for depth in range(1, name.count("/") + 1)}
    assert not folders & folded
    for name in names:
        segments = name.split("/")
        assert all(re.fullmatch(r"[^\W_][\w-]*(\.(png|webp))?", segment) for segment in segments), name
        assert all(len(segment.encode()) <= 200 for segment in segments)
        assert len(name.encode()) < 700
