"""Pieces of large objects: in order, each read once, a lost one alone."""

import os
from pathlib import Path

import pytest

from ue_ray.errors import ReadFailure
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs import pieces
from ue_ray.storage.inputs.pieces import read_pieces
from ue_ray.storage.store import OutOfReach, Store


class Counted:
    """A local store that counts what is read of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.blame = store.blame
        self.ranges: list[tuple[str, int, int]] = []

    def read_range(self, name: str, start: int, count: int) -> bytes:
        self.ranges.append((name, start, count))
        return self.store.read_range(name, start, count)


@pytest.fixture
def store(tmp_path: Path) -> Counted:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(os.urandom(3 << 20))
    return Counted(open_store(str(tmp_path)))


def expected(store: Counted, wanted: list[tuple[str, int, int]]) -> list[bytes]:
    return [store.store.read(name)[offset : offset + size] for name, offset, size in wanted]


def test_neighbours_come_in_one_request_and_all_in_order(store: Counted):
    wanted = [(name, n * 10_000, 9_000) for name in "ab" for n in range(300)]
    assert list(read_pieces(store, *zip(*wanted, strict=True))) == expected(store, wanted)
    assert sorted(store.ranges) == [("a", 0, 2_999_000), ("b", 0, 2_999_000)]


def test_pieces_that_lie_apart_are_read_by_themselves(store: Counted):
    wanted = [("a", 2_000_000, 10), ("a", 0, 10), ("b", 5, 0), ("a", 1_000_000, 10), ("a", 1_000_000, 10)]
    assert list(read_pieces(store, *zip(*wanted, strict=True))) == expected(store, wanted)
    assert sum(count for _, _, count in store.ranges) == 40


def test_what_is_read_at_once_is_bounded(store: Counted, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pieces, "SPAN_BYTES", 50_000)
    wanted = [("a", n * 10_000, 10_000) for n in range(250)] + [("a", 2_500_000, 70_000)]
    assert list(read_pieces(store, *zip(*wanted, strict=True))) == expected(store, wanted)
    assert max(count for _, _, count in store.ranges) == 70_000, "a large one stands alone"
    assert len(store.ranges) == 51


def test_a_piece_behind_the_end_takes_no_other_with_it(store: Counted):
    wanted = [("a", 0, 10), ("a", (3 << 20) - 5, 10), ("b", 0, 3)]
    store.store.write("a", store.store.read("a"))
    first, lost, last = read_pieces(store, *zip(*wanted, strict=True))
    assert (first, last) == tuple(expected(store, [wanted[0], wanted[2]]))
    assert isinstance(lost, ReadFailure)
    found = list(read_pieces(store, ["gone", "b"], [0, 0], [1, 1]))
    assert isinstance(found[0], ReadFailure)
    assert isinstance(found[1], bytes)


def test_a_store_that_is_gone_stops_the_work(tmp_path: Path):
    with pytest.raises(OutOfReach):
        list(read_pieces(open_store(str(tmp_path / "gone")), ["a"], [0], [1]))
