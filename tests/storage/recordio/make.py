"""Makes the record files of this folder with MXNet's own writer, and what MXNet's own reader says of them.

    python -m venv mx && mx/bin/pip install numpy==1.23.5 pillow 'mxnet==1.9.1' && mx/bin/python make.py

Run with Python 3.11, mxnet 1.9.1. ``expected.json`` holds a list a file, an object a record, in the file's order: its
key and place by the .idx, the number of labels that follow the header, all labels, and the SHA-256 of the image.
"""

import hashlib
import io
import json
import os
import struct
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack, unpack
from PIL import Image

HERE = Path(__file__).resolve().parent
MAGIC = struct.pack("<I", 0xCED7230A)


def jpeg(seed: int, side: int = 16) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.BILINEAR).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def with_magic(image: bytes, start: int) -> bytes:
    """``image`` and, behind its end, the magic number twice in a row and once more, where a writer must split.

    ``start``: how many bytes stand before the image in its record.
    """
    image += bytes(-(start + len(image)) % 4)
    return image + MAGIC + MAGIC + b"1234" + MAGIC + b"end"


def write(name: str, records: list[tuple[int, bytes]]) -> None:
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    writer = MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for key, record in records:
        writer.write_idx(key, record)
    writer.close()


def read(name: str) -> list[dict]:
    path = HERE / name
    reader = MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "r")
    told = []
    for key in reader.keys:
        header, image = unpack(reader.read_idx(key))
        labels = np.atleast_1d(header.label).tolist()
        sha256 = hashlib.sha256(image).hexdigest()
        told.append({"key": key, "offset": reader.idx[key], "flag": header.flag, "labels": labels, "sha256": sha256})
    return told


def faces() -> None:
    """As insightface lays out CASIA-WebFace: record 0 names the keys of the identities' records, which hold ranges."""
    identities = [3, 2, 4]
    images = [label for label, count in enumerate(identities) for _ in range(count)]
    first = len(images) + 1
    records = [(0, pack(IRHeader(0, [first, first + len(identities)], 0, 0), b""))]
    for key, label in enumerate(images, 1):
        image = with_magic(jpeg(key), 24) if key == 5 else jpeg(key)
        labels = [label, 1.0] if key == 2 else label
        number = 0xCED7230A if key == 7 else key  # the magic number in the header itself
        records.append((key, pack(IRHeader(0, labels, number, 0), image)))
    start = 1
    for label, count in enumerate(identities):
        records.append((first + label, pack(IRHeader(0, [start, start + count], first + label, 0), b"")))
        start += count
    write("faces/train.rec", records)
    (HERE / "faces" / "property").write_text(f"{len(identities)},16,16\n")


def plain() -> None:
    """As im2rec shuffles: keys in no order, one label each."""
    write("plain/val.rec", [(key, pack(IRHeader(0, float(key % 2), key, 0), jpeg(100 + key))) for key in (3, 0, 4, 1)])


def written() -> None:
    """What the output format is held against: image ``number`` is ``bytes([number]) * number``, or holds the number."""
    contents = [bytes([number]) * number for number in range(1, 6)] + [with_magic(b"image", 24)]
    write("written/part.rec", [(row, pack(IRHeader(0, float(row % 3), row, 0), c)) for row, c in enumerate(contents)])


if __name__ == "__main__":
    faces()
    plain()
    written()
    names = ("faces/train.rec", "plain/val.rec", "written/part.rec")
    expected = {name: read(name) for name in names}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(mx.__version__, sys.version.split()[0], sum(os.path.getsize(HERE / name) for name in names), "bytes")
