"""What a tar holds and where, by its headers: nothing is unpacked, and of large files nothing is read.

ustar, GNU and PAX, as in POSIX.1-2024 (``pax``) and the manual of GNU tar, "Basic Tar Format".
"""

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from ue_ray.errors import UserError
from ue_ray.storage.local import LocalStore
from ue_ray.storage.store import Store

BLOCK = tarfile.BLOCKSIZE
AHEAD = 1 << 20  # fetched at a time, while members are small: a request takes as long as so many bytes
NEAR = 16 << 10  # fetched behind a large member: the next header, and what little files come before the next large one
LARGE, LARGE_LOCALLY = 128 << 10, 64 << 10  # a member of so many bytes is passed over, not read
LARGEST = 1 << 62  # bytes of a member; what says more is no number of bytes
MOST_EXTENDED = 1 << 20  # of an extended header: a name, in the main; more is damage

_ZEROS = bytes(BLOCK)
_HIGH = bytes(range(128, 256))
_LENGTH = re.compile(rb"(\d{1,9}) ")  # of a PAX record, itself counted
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
_HAS_NO_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
_MORE_SPARSE, _MORE_SPARSE_STILL = 482, 504  # where a GNU sparse header, and each that goes on with it, says so


class Kind(Enum):
    """What a member is. Only a FILE can be read at its offset."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPARSE = "sparse file"  # stored without its holes
    OTHER = "no file"  # a device, a pipe, a volume's label
    CUT = "cut"  # the tar ends inside it
    DAMAGED = "damaged"  # no header where one should be; nothing behind it can be found


@dataclass(frozen=True, slots=True)
class Member:
    """``offset`` and ``size``, in bytes, are where its content lies in the object that holds the tar.

    ``name`` is as stored (bytes that are not UTF-8 are spelled out), without a leading ``./``. A DAMAGED member has no
    name; its size is what is left of the tar.
    """

    name: str
    offset: int
    size: int
    kind: Kind = Kind.FILE


class TarIndex:
    """The members of one tar, in order, from its headers alone.

    ``name`` is the tar's in ``store``; ``start`` and ``stop`` say which bytes of it are the tar: all but for a tar that
    is a member of another. Reading is by ranges, one request a MiB where members are small.

    ``whole``: whether the marks of a tar's end were found, known when all members have been given.

    Iterating raises UserError for what is no tar (compressed, say), OSError for what cannot be read; a damaged or cut
    tar ends in a member that says so.
    """

    def __init__(self, store: Store, name: str = "", start: int = 0, stop: int | None = None) -> None:
        self.store = store
        self.name = name
        self.start = start
        self.stop = (store.info(name).size or 0) if stop is None else stop
        self.whole = False
        self._held, self._held_at = b"", start
        self._ahead = AHEAD
        self._large = LARGE_LOCALLY if isinstance(store, LocalStore) else LARGE

    def __iter__(self) -> Iterator[Member]:
        at = self.start
        extended: dict[str, str] = {}
        first = True
        while at < self.stop:
            block = self._bytes(at, min(BLOCK, self.stop - at))
            if block == _ZEROS[: len(block)]:  # the end; or another tar follows, where tars were joined by ``cat``
                self.whole = True
                at += len(block)
                continue
            try:
                header = _header(block)
            except _NoHeader:
                if first:
                    raise UserError(f"{self.where}: {_no_tar(block)}") from None
                yield Member("", at, self.stop - at, Kind.DAMAGED)
                return
            first = self.whole = False
            at += BLOCK
            if header.type in _EXTENDED:
                if header.size > MOST_EXTENDED or at + header.size > self.stop:
                    yield Member("", at - BLOCK, self.stop - at + BLOCK, Kind.DAMAGED)
                    return
                extended |= _EXTENDED[header.type](self._bytes(at, header.size))
                at += _blocks(header.size)
                continue
            member, following = self._member(header, at, extended)
            extended = {}
            yield member
            if member.kind is Kind.CUT:
                return
            self._ahead = NEAR if following - at > self._large else AHEAD
            at = following

    @property
    def where(self) -> str:
        """The tar, for a message."""
        return self.store.path(self.name)

    def content(self, member: Member) -> bytes:
        """The bytes of a member, a small one: nothing is fetched again if it is the last that was given."""
        return self._bytes(member.offset, member.size)

    def _member(self, header: "_Header", at: int, extended: Mapping[str, str]) -> tuple[Member, int]:
        """The member whose content begins at ``at``, and where the next header is."""
        name = extended.get("path", header.name)
        kind = _kind(header.type, name, extended)
        size = 0 if header.type in _HAS_NO_DATA else _size(extended, header.size)
        if header.type == tarfile.GNUTYPE_SPARSE:
            more, place = header.more, at
            while more and place + BLOCK <= self.stop:
                more, place = bool(self._bytes(place, BLOCK)[_MORE_SPARSE_STILL]), place + BLOCK
            at = place
        if at + size > self.stop:
            kind = Kind.CUT
        return Member(_plain(name), at, size, kind), at + _blocks(size)

    def _bytes(self, at: int, count: int) -> bytes:
        """Bytes of the object, out of what is held or fetched with more than was asked for."""
        begin = at - self._held_at
        if begin < 0 or begin + count > len(self._held):
            count_fetched = min(max(count, self._ahead), self.stop - at)
            self._held, self._held_at, begin = self.store.read_range(self.name, at, count_fetched), at, 0
        return self._held[begin : begin + count]


class _NoHeader(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class _Header:
    """One block: ``type`` is tar's letter, ``size`` of what follows, ``more``: a GNU sparse header that goes on."""

    name: str
    type: bytes
    size: int
    more: bool


def _header(block: bytes) -> _Header:
    """Reads a header; ``tarfile.TarInfo.frombuf`` does so too, in three times the time. Raises _NoHeader."""
    if not _is_header(block):
        raise _NoHeader
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:  # GNU has other things where POSIX has the folder
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return _Header(_text(name), block[156:157], _number(block[124:136]), bool(block[_MORE_SPARSE]))


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or, above 8 GiB, a bit and the number itself. Raises _NoHeader."""
    if field[0] == 0x80:
        if (number := int.from_bytes(field[1:], "big")) > LARGEST:
            raise _NoHeader
        return number
    digits = field.partition(b"\0")[0].strip() or b"0"
    if digits.translate(None, b"01234567"):
        raise _NoHeader
    return int(digits, 8)


def _is_header(block: bytes) -> bool:
    """Whether a block's bytes add up to the sum that is stored in it; or did so for some old programs, signed."""
    if len(block) < BLOCK:
        return False
    stored, others = _number(block[148:156]), block[:148] + block[156:]
    total = sum(others) + 8 * ord(" ")
    return stored == total or stored == total - 256 * (len(others) - len(others.translate(None, _HIGH)))


def _no_tar(block: bytes) -> str:
    for magic, compression in _COMPRESSED.items():
        if block.startswith(magic):
            return compressed(compression)
    return "is no tar"


def compressed(what: str) -> str:
    """Why a compressed tar cannot be read, and what to do: a part of a message."""
    return f"is compressed ({what}), so that no image in it can be reached by itself; unpack it to a plain .tar"


def _kind(type: bytes, name: str, extended: Mapping[str, str]) -> Kind:
    if type == tarfile.GNUTYPE_SPARSE or (extended and any(key.startswith("GNU.sparse.") for key in extended)):
        return Kind.SPARSE
    if type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
        return Kind.FOLDER if type == tarfile.AREGTYPE and name.endswith("/") else Kind.FILE
    if type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
        return Kind.LINK
    return Kind.FOLDER if type in (tarfile.DIRTYPE, b"D") else Kind.OTHER


def _long_name(data: bytes) -> dict[str, str]:
    return {"path": _text(data.partition(b"\0")[0])}


def _records(data: bytes) -> dict[str, str]:
    """The records ``length keyword=value`` of a PAX header; none of what is behind a damaged one."""
    records: dict[str, str] = {}
    at = 0
    while match := _LENGTH.match(data, at):
        end = at + int(match[1])
        if not match.end() < end <= len(data):
            break
        keyword, _, value = data[match.end() : end - 1].partition(b"=")
        records[_text(keyword)] = _text(value)
        at = end
    if "GNU.sparse.name" in records:
        records["path"] = records["GNU.sparse.name"]
    return records


def _nothing(data: bytes) -> dict[str, str]:
    return {}


_EXTENDED = {
    tarfile.GNUTYPE_LONGNAME: _long_name,
    tarfile.GNUTYPE_LONGLINK: _nothing,
    tarfile.XHDTYPE: _records,
    tarfile.SOLARIS_XHDTYPE: _records,
    tarfile.XGLTYPE: _nothing,  # of all members that follow: nothing in it says which they are or where
}
"""What a header says of the member that follows it, by its type."""


def _size(extended: Mapping[str, str], size: int) -> int:
    said = extended.get("size", "")
    return min(int(said), LARGEST) if said.isascii() and said.isdigit() and len(said) < 20 else size


def _plain(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
