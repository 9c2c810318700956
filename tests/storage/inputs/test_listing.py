import numpy as np
import pyarrow as pa
import pytest

from ue_ray.errors import UserError
from ue_ray.storage.inputs.listing import Listing, sample_id, sample_ids


def listing(labels: list[int], names: int = 3, ids: list[str] | None = None, nbytes: int = 10) -> Listing:
    keys = [f"k{row}" for row in range(len(labels))]
    columns = {
        "sample_id": pa.array(ids) if ids else sample_ids(keys),
        "key": pa.array(keys, pa.string()),
        "label": pa.array(labels, pa.int64()),
        "nbytes": pa.array([nbytes] * len(labels), pa.int64()),
    }
    return Listing(pa.table(columns), [f"class {label}" for label in range(names)])


def test_sample_id_is_a_fixed_function_of_the_key():
    assert sample_id("cat/001.png") == "64c2f569c0d7876c7c59a2a12ce54aa8"
    assert sample_id("dog/001.png") != sample_id("cat/001.png")
    assert len(sample_id("")) == 32


def test_labels_and_length():
    labels = listing([2, -1, 0]).labels()
    assert labels.dtype == np.int64
    assert labels.tolist() == [2, -1, 0]
    assert len(listing([2, -1, 0])) == 3


def test_fingerprint_sees_ids_labels_names_sizes_and_order_but_not_chunks():
    base = listing([0, 1, 2])
    chunked = Listing(pa.concat_tables([base.table.slice(0, 1), base.table.slice(1)]), base.class_names)
    assert chunked.fingerprint() == base.fingerprint()
    offset = Listing(pa.concat_tables([base.table.slice(2), base.table]).slice(1), base.class_names)
    assert offset.fingerprint() == base.fingerprint()
    others = [
        listing([0, 1, 1]),
        listing([0, 1, 2], nbytes=11),
        listing([0, 1, 2], ids=["a", "b", "c"]),
        listing([0, 1, 2], ids=["ab", "", "c"]),
        Listing(base.table.take([1, 0, 2]), base.class_names),
        Listing(base.table, ["other", *base.class_names[1:]]),
    ]
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 7


@pytest.mark.parametrize("labels", [[0, 2, -1], [1, -1]])
def test_check_passes_classes_and_samples_without_one(labels: list[int]):
    good = listing(labels)
    assert good.check("here") is good


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (listing([]), "here: holds no samples"),
        (listing([-1, -1]), "here: holds samples of no class"),
        (listing([0, 1, 3]), "here: label 3 of k2 is out of range: 3 classes, so 0 to 2"),
        (listing([0, -2]), "here: label -2 of k1 is out of range: 3 classes, so 0 to 2"),
        (listing([0, 1, 2], ids=["a", "b", "a"]), "here: sample_id a appears more than once; ids must be unique"),
    ],
)
def test_check_names_what_is_wrong_and_where(bad: Listing, message: str):
    with pytest.raises(UserError) as caught:
        bad.check("here")
    assert str(caught.value) == message


def test_a_million_rows_stay_in_arrow():
    rows = 1_000_000
    ids = pa.array(np.arange(rows)).cast(pa.string())
    table = pa.table({"sample_id": ids, "key": ids, "label": np.arange(rows) % 10, "nbytes": np.full(rows, 9)})
    large = Listing(table, list("0123456789")).check("here")
    assert len(large.fingerprint()) == 32
    assert large.table.nbytes < 100 << 20
