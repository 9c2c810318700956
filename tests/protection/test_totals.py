"""The sum of a run's shards is the same in any order, and small."""

from ue_ray.protection.shard import Change, ShardResult
from ue_ray.protection.totals import LISTED, Totals
from ue_ray.storage.outputs.shards import ShardRecord


def result(index: int) -> ShardResult:
    return ShardResult(
        ShardRecord(index, 600, 2, (), {"empty file": 2}),
        Change(index / 255, 30, 40, 50),
        {"gray": 1},
        examples={"empty file": f"bad{index}"},
        renamed={f"{index}/{row:03}?": f"{index}/{row:03}_" for row in range(600)},
        extensions={".jpg -> .png": 600},
    )


def total(*order: int) -> Totals:
    totals = Totals()
    for index in order:
        totals.add(result(index))
    return totals


def test_the_facts_are_the_same_in_any_order():
    facts = total(0, 1, 2).facts()
    assert facts == total(2, 0, 1).facts()
    assert facts["max_abs_delta"] == 2 / 255
    assert facts["surviving_share"] == 0.75
    assert facts["notes"] == {"gray": 3}
    names = facts["names"]
    assert (names["extensions"], names["changed"], len(names["first"])) == ({".jpg -> .png": 1800}, 1800, LISTED)
    assert next(iter(names["first"].items())) == ("0/000?", "0/000_")


def test_rejections_are_counted_with_an_example():
    assert total(0, 1).rejections() == ["4 empty file (such as bad1)"]
    assert total(0, 1).protected == 1200
