"""Some of the classes, some of the images: the same ones in whatever order they are listed."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ue_ray.errors import UserError
from ue_ray.storage.inputs.listing import NO_LABEL, Listing, sample_ids
from ue_ray.storage.inputs.open_source import open_source, with_classes_of
from ue_ray.storage.inputs.selection import ClassChoice, Selection

NAMES = ["ada", "bob", "crane, bird", "dan"]


@pytest.fixture
def listing() -> Listing:
    """Five images of each of four classes, class after class, and a stray file at the end."""
    keys = [f"{name}/{number}" for name in NAMES for number in range(5)] + ["stray"]
    labels = [label for label in range(4) for _ in range(5)] + [NO_LABEL]
    table = pa.table({"sample_id": sample_ids(keys), "key": keys, "label": labels, "nbytes": [9] * len(keys)})
    return Listing(table, NAMES)


def keys_of(listing: Listing) -> list[str]:
    return listing.table["key"].to_pylist()


def choose(given: object, listing: Listing) -> Listing:
    return Selection(ClassChoice.of("--classes", given)).of(listing, "photos")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("bob", ["bob"]),
        ("dan, ada", ["ada", "dan"]),
        (["dan", "crane, bird"], ["crane, bird", "dan"]),
        ("crane, bird", ["crane, bird"]),
        ("first:2", ["ada", "bob"]),
    ],
)
def test_chosen_classes_are_numbered_anew_in_the_order_of_the_input(given, names, listing: Listing):
    chosen = choose(given, listing)
    assert chosen.class_names == names
    assert keys_of(chosen) == [f"{name}/{number}" for name in names for number in range(5)] + ["stray"]
    assert chosen.labels().tolist() == [label for label in range(len(names)) for _ in range(5)] + [NO_LABEL]
    assert len(chosen) + chosen.left_out == len(listing)
    assert chosen.note == f"{chosen.left_out} images are left out: --classes takes {len(names)} of 4 classes"


def test_names_come_from_a_file_one_on_each_line(listing: Listing, tmp_path: Path):
    (tmp_path / "names.txt").write_bytes("\ufeffdan\r\n\r\n crane, bird \n".encode())
    assert choose(f"@{tmp_path}/names.txt", listing).class_names == ["crane, bird", "dan"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bop", "--classes: no class is called 'bop' (did you mean bob?); the input has 4 classes: ada, bob, crane, b"),
        ("x,ada,y,z", "no class is called 'x', nor 2 more of the 4 names; the input has 4 classes"),
        ("people.txt", "no class is called 'people.txt' (a file of names is written @people.txt)"),
        ("first:5", "--classes first:5: the input has 4 classes: ada"),
        ("first:0", "--classes first:0: expected a whole number above 0, as in first:100"),
        ("first:many", "expected a whole number above 0"),
        ("", "--classes names no class: give names, @FILE or first:N"),
        (" , ", "--classes names no class"),
        ([], "--classes names no class"),
        ([1], "--classes is [1]: expected names of classes, as text"),
        ("@no.txt", "--classes @no.txt: there is no such file"),
        ("@empty.txt", "--classes @empty.txt holds no name"),
        ("@image.png", "--classes @image.png: is not text in UTF-8; expected a name on each line"),
    ],
)
def test_a_choice_that_names_nobody_is_one_line(given, said, listing: Listing, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n \n")
    Path("image.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(UserError) as caught:
        choose(given, listing)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_per_class_draws_by_the_hash_of_the_id_in_whatever_order(listing: Listing):
    """Which images, by hashlib alone."""
    drawn = Selection(per_class=2, seed=3).of(listing, "photos")
    order = np.random.default_rng(0).permutation(len(listing))
    shuffled = Listing(listing.table.take(order), NAMES)
    assert sorted(keys_of(Selection(per_class=2, seed=3).of(shuffled, "photos"))) == sorted(keys_of(drawn))

    def rank(key: str) -> bytes:
        sample_id = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return hashlib.blake2b(f"3/{sample_id}".encode(), digest_size=8).digest()

    expected = [
        key for name in NAMES for key in sorted(sorted((f"{name}/{n}" for n in range(5)), key=rank)[:2])
    ]  # in the order of the listing
    assert keys_of(drawn) == [*expected, "stray"]
    assert drawn.left_out == 12
    assert drawn.note == "12 images are left out: --per-class at most 2 images of each"
    assert keys_of(Selection(per_class=2, seed=4).of(listing, "photos")) != keys_of(drawn)


def test_more_a_class_than_there_are_leaves_nothing_out(listing: Listing):
    same = Selection(per_class=5).of(listing, "photos")
    assert (keys_of(same), same.left_out, same.note) == (keys_of(listing), 0, "")


def folder(root: Path) -> str:
    for name in ("ada", "bob", "dan"):
        (root / name).mkdir(parents=True)
        for number in range(4):
            (root / name / f"{number}.png").write_bytes(f"{name}{number}".encode())
    return str(root)


def parquet(root: Path) -> str:
    rows = [(f"{name}{number}".encode(), name) for number in range(4) for name in ("dan", "bob", "ada")]
    pq.write_table(pa.table({"image": [row[0] for row in rows], "label": [row[1] for row in rows]}), root / "x.parquet")
    return str(root / "x.parquet")


@pytest.mark.parametrize("make", [folder, parquet])
def test_every_kind_of_input_is_read_by_the_rows_that_are_selected(make, tmp_path: Path):
    source = open_source(make(tmp_path), classes="dan,ada", per_class=3)
    listing = source.list()
    assert (listing.class_names, np.bincount(listing.labels()).tolist()) == (["ada", "dan"], [3, 3])
    read = [data.decode() for data in source.read(listing.table)]
    assert [name[:3] for name in read] == [listing.class_names[label] for label in listing.labels()]
    assert listing.left_out == 6


def test_numbers_of_the_input_s_own_are_numbered_anew(tmp_path: Path):
    pq.write_table(pa.table({"image": [b"a", b"b", b"c"], "label": [0, 4, 7]}), tmp_path / "x.parquet")
    listing = open_source(str(tmp_path / "x.parquet"), classes="4,7").list()
    assert (listing.class_names, listing.labels().tolist(), listing.own_numbers) == (["4", "7"], [0, 1], False)


def test_an_output_can_be_selected_from(outputs: Path):
    for format in ("parquet", "imagefolder", "webdataset"):
        listing = open_source(str(outputs / format), classes="ada", per_class=2).list()
        assert (listing.class_names, len(listing)) == (["ada"], 2)


def test_another_selection_is_another_fingerprint(tmp_path: Path):
    place = folder(tmp_path)
    selections = [{}, {"classes": "ada,bob"}, {"classes": "ada,dan"}, {"per_class": 3}, {"per_class": 2}]
    fingerprints = [open_source(place, **selection).list().fingerprint() for selection in selections]
    assert len(set(fingerprints)) == len(selections)
    assert open_source(place, classes="bob,ada").list().fingerprint() == fingerprints[1]


def test_a_test_set_may_lack_some_of_the_classes_of_another(tmp_path: Path):
    source = open_source(folder(tmp_path))
    assert with_classes_of(source, ["bob", "eve"]).list().class_names == ["bob"]
    with pytest.raises(UserError, match=r"has none of these classes; it has 3 classes: ada, bob, dan"):
        with_classes_of(source, ["eve"]).list()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"per_class": 0}, "--per-class is 0: it must be at least 1"),
        ({"per_class_seed": 1}, "--per-class-seed is for --per-class"),
    ],
)
def test_a_draw_that_makes_no_sense_is_refused(options, said, tmp_path: Path):
    with pytest.raises(UserError, match=said):
        open_source(folder(tmp_path), **options)
