"""Names of images: the input's own, and never a way out of the folder or onto another sample's file."""

import random
import re
import unicodedata

import pyarrow as pa
import pytest

from tests.storage.hostile import hostile_keys
from ue_ray.storage.inputs.listing import NO_LABEL, sample_id
from ue_ray.storage.outputs.names import Names, class_folders


def names_of(
    keys: list[str], extension: str = ".png", dots: bool = True, ids: list[str] | None = None, classes: str = "cats"
) -> list[str]:
    """The names below the class folder, of images that are all of one class."""
    ids = ids or [sample_id(key) for key in keys]
    table = pa.table({"sample_id": ids, "key": keys, "label": [0] * len(keys)})
    shared = Names([classes], extension, dots).shared_by(table)
    names = Names([classes], extension, dots, shared)
    return [names.name(one, key, 0).removeprefix(f"{classes}/") for one, key in zip(ids, keys, strict=True)]


def folded(name: str) -> str:
    """As file systems compare that tell neither capitals nor forms of Unicode apart."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@pytest.mark.parametrize(
    "name",
    [
        "1.png",
        "Photo.PNG",
        "my photo (1).png",
        "a.b.c.png",
        "2024/05/Familie Müller/IMG_1000.png",
        "e\u0301te\u0301.png",  # decomposed, as macOS writes it
        "写真 – Kyōto.png",
        "what\uff1f.png",  # the wide mark that stands for the one that Windows refuses
        "\u0645\u06cc\u200c\u062e.png",  # a joiner of Persian
        "👨‍👩‍👧.png",
        ".hidden.png",
        "-rf.png",
        "console.png",
        "d/" * 40 + "x.png",
        "é" * 125 + "x.png",  # 255 bytes
        "photo-" + "0" * 32 + ".png",
    ],
)
def test_a_name_stays_as_it_is(name: str):
    assert names_of([f"cats/{name}"]) == [name]
    assert not Names(["cats"], ".png").is_changed(f"cats/{name}", f"cats/{name}", 0)


@pytest.mark.parametrize(
    ("key", "extension", "name"),
    [
        ("cats/Photo.JPG", ".png", "Photo.png"),
        ("cats/Photo.JPG", ".jpg", "Photo.JPG"),
        ("cats/photo.jpeg", ".jpg", "photo.jpeg"),
        ("cats/photo.jfif", ".jpg", "photo.jpg"),
        ("cats/photo.HEIC", ".webp", "photo.webp"),
        ("cats/photo", ".png", "photo.png"),
        ("cats/John F. Kennedy", ".png", "John F. Kennedy.png"),
        ("cats/IMG_1.jpg.tiff", ".png", "IMG_1.jpg.png"),
        ("elsewhere/photo.jpg", ".png", "elsewhere/photo.png"),  # labelled by a table
        ("photo.jpg", ".png", "photo.png"),
        ("train.parquet#17", ".png", "train.parquet#17.png"),
    ],
)
def test_only_the_extension_becomes_that_of_the_encoding(key: str, extension: str, name: str):
    assert names_of([key], extension) == [name]
    assert not Names(["cats"], extension).is_changed(f"cats/{name}", key, 0)


@pytest.mark.parametrize(("key", "replaced"), [("a.PNG", ".png"), ("a.JPEG", None), ("a", "none"), ("a.b#1", "none")])
@pytest.mark.parametrize("dots", [True, False])
def test_an_extension_is_said_to_be_replaced_where_it_means_something_else(key: str, replaced: str, dots: bool):
    assert Names(["cats"], ".jpg", dots).replaced(f"cats/{key}") == replaced


@pytest.mark.parametrize(
    ("inside", "name"),
    [
        ("CON.png", "CON_.png"),
        ("aux.tar.png", "aux_.tar.png"),
        ("nul/1.png", "nul_/1.png"),
        ("COM¹.png", "COM¹_.png"),
        ("folder. /x.png", "folder/x.png"),
        ("a.png/x.png", "a.png_/x.png"),  # or a file might want that name
        ("a/../../../b.png", "a/b.png"),
        ("./x.png", "x.png"),
        ("/absolute.png", "absolute.png"),
        ("C:\\x\\y.png", "C__x_y.png"),
        ("12:30?.png", "12_30_.png"),
        ("nul\0byte.png", "nul_byte.png"),
        ("\u202egnp.png", "_gnp.png"),  # turns the text round
        ("é" * 300 + ".png", "é" * 125 + ".png"),
        ("d/" * 500 + "x.png", "d/d/d/d/x.png"),
    ],
)
def test_only_what_would_leave_or_is_refused_somewhere_is_changed(inside: str, name: str):
    assert names_of([f"cats/{inside}"]) == [name]
    assert Names(["cats"], ".png").is_changed(f"cats/{name}", f"cats/{inside}", 0)


@pytest.mark.parametrize(
    "pair",
    [
        ("photo.jpg", "photo.heic"),
        ("photo.png", "Photo.png"),
        ("A/photo.png", "a/photo.png"),
        ("e\u0301.png", "é.png"),
        ("Straße.png", "STRASSE.png"),
        ("a\u200bb.png", "ab.png"),
        ("a:b.png", "a?b.png"),
        ("photo", "photo.png"),
    ],
)
def test_names_that_some_file_system_takes_for_one_are_marked(pair: tuple[str, str]):
    keys = [f"cats/{name}" for name in (*pair, "other.jpg")]
    *marked, other = names_of(keys)
    assert other == "other.png"
    assert folded(marked[0]) != folded(marked[1])
    assert all(name.endswith(f"-{sample_id(key)}.png") for name, key in zip(marked, keys, strict=False))


@pytest.mark.parametrize("beside", ["photo.xmp", "photo.AAE", "photo.jpg.json", "photo.NEF"])
def test_what_lies_beside_a_photo_leaves_its_name_alone(beside: str):
    assert names_of(["cats/photo.jpg", f"cats/{beside}"]) == ["photo.png", f"{beside}.png"]


def test_what_has_no_label_takes_no_name():
    table = pa.table({"sample_id": ["a", "b"], "key": ["cats/1.jpg", "cats/1.heic"], "label": [0, NO_LABEL]})
    assert len(Names(["cats"], ".png").shared_by(table)) == 0


def test_a_name_that_looks_like_a_marked_one_is_no_ones_else():
    keys = ["cats/photo.jpg", "cats/photo.heic"]
    keys.append(f"cats/photo-{sample_id(keys[0])}.png")
    keys.append(f"cats/photo-{sample_id(keys[0])}-{sample_id(keys[2])}.png")
    names = names_of(keys)
    assert len(set(names)) == 4
    assert names[0] == f"photo-{sample_id(keys[0])}.png"
    assert names[2].endswith(f"-{sample_id(keys[2])}.png")


def test_a_tar_has_no_dot_before_the_extension():
    keys = ["cats/v1.2/a.b.jpg", "cats/photo.JPEG", "cats/.hidden.jpg", "cats/x.y.jpg", "cats/x_y.jpeg"]
    names = names_of(keys, ".jpg", dots=False)
    assert names[:3] == ["v1.2/a_b.jpg", "photo.jpg", "_hidden.jpg"]
    assert names[3:] == [f"x_y-{sample_id(key)}.jpg" for key in keys[3:]]


def test_ids_that_a_user_brought_are_hashed():
    ids = ["7", "../7", sample_id("other"), "x" * 5000]
    names = names_of(["cats/1.png"] * 4, ids=ids)
    assert all(re.fullmatch(r"1-([0-9a-f]{32}|[0-9a-f]{40})\.png", name) for name in names)
    assert len(set(names)) == 4


def test_class_folders_keep_their_names_and_stay_apart():
    names = ["cats", "Golden Retriever", "crane", "crane", "a/b", "a\\b", "A_b", "..", "", "x-class-0", "NUL", "été"]
    assert class_folders(names) == [
        "cats",
        "Golden Retriever",
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
@pytest.mark.parametrize("dots", [True, False])
def test_no_two_hostile_keys_share_a_name_on_any_file_system(seed: int, dots: bool):
    keys = hostile_keys(2000, seed)
    names = names_of(keys, random.Random(seed).choice([".png", ".webp"]), dots, classes="c")
    shown = {folded(name) for name in names}
    assert len(shown) == len(set(keys)) == len(keys)
    folders = {"/".join(name.split("/")[:depth]) for name in shown for depth in range(1, name.count("/") + 1)}
    assert not folders & shown
    for name in names:
        for segment in name.split("/"):
            assert segment not in ("", ".", "..")
            assert not re.search(r'[<>:"\\|?*\x00-\x1f\x7f]|[. ]$', segment), name
            assert segment.partition(".")[0].rstrip(" ").casefold() not in ("con", "nul", "aux", "com1", "lpt9")
            assert len(segment.encode()) <= 255
        assert len(name.encode()) < 850
