import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.hostile import bombs, mutations, png, seeds
from ue_ray.errors import ReadFailure, RunError
from ue_ray.images.codec import ImageError, Picture, decode, encode
from ue_ray.images.sandbox import Decoder, decode_files

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


class DeadlyDecoder(Decoder):
    child = "tests.images.deadly_child"


def image(number: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (side, side + number % 5, 3), dtype=np.uint8)


def said(results):
    """The reason of each error, and True for a picture."""
    return [str(result) if isinstance(result, ImageError) else isinstance(result, Picture) for result in results]


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


@pytest.fixture(scope="module")
def deadly():
    with DeadlyDecoder(seconds=0.5) as one:
        yield one


def test_pictures_come_back_whole_and_in_order(decoder):
    images = [image(number, side=1 + number % 40) for number in range(200)]
    results = list(decoder.decode_all(encode(pixels) for pixels in images))
    assert all((result.rgb == pixels).all() for result, pixels in zip(results, images, strict=True))
    assert results[0].rgb.flags.writeable
    assert results[0].alpha is None
    assert (results[0].notes, results[0].metadata) == ((), {})


def test_the_child_gives_what_decode_gives(decoder):
    files = list(seeds().values())
    for options in ({}, {"keep_metadata": True}):
        for data, result in zip(files, decoder.decode_all(files, **options), strict=True):
            expected = decode(data, **options)
            assert (result.rgb == expected.rgb).all()
            assert (result.alpha is None) == (expected.alpha is None)
            assert result.alpha is None or (result.alpha == expected.alpha).all()
            assert (result.notes, result.metadata) == (expected.notes, expected.metadata)


def test_what_is_no_picture_is_an_error_in_its_place(decoder):
    good = encode(image(0))
    files = [ReadFailure("gone"), good, b"", b"text", good[:50], ReadFailure("no access"), good]
    assert said(decoder.decode_all(files)) == [
        *("gone", True, "empty file", "not an image of a known format", "truncated image", "no access", True)
    ]
    assert list(decoder.decode_all([])) == []
    assert said(decoder.decode_all([good], max_pixels=63)) == ["more than 63 pixels"]


def test_a_file_that_kills_takes_nothing_with_it(deadly):
    good = encode(image(0))
    killed = "killed the decoder twice"
    files = [good, b"kill", good, good, b"kill", b"kill", good]
    assert said(deadly.decode_all(files)) == [True, killed, True, True, killed, killed, True]


@pytest.mark.parametrize("way", [b"hang", b"stop"])
def test_a_file_that_stalls_takes_nothing_with_it(deadly, way):
    good = encode(image(0))
    assert said(deadly.decode_all([good, way, good])) == [True, "took longer than 0.5 s to decode", True]


def test_a_file_that_takes_too_much_memory_is_rejected():
    good = encode(image(0))
    with Decoder(memory=1 << 28) as small:
        reasons = said(small.decode_all([good, png(8000, 8000, pixels=b""), good]))
    assert reasons == [True, "needed more than 0.25 GiB to decode", True]


def test_a_child_killed_from_outside_costs_no_file():
    files = [encode(image(number, side=700)) for number in range(6)]  # more than a socket holds
    with Decoder() as one:
        results = one.decode_all(files)
        first = next(results)
        os.kill(one.pid, signal.SIGKILL)
        rest = list(results)
    assert all((result.rgb == image(number, 700)).all() for number, result in enumerate([first, *rest]))


def test_nothing_of_the_child_reaches_the_console(deadly, capfd):
    assert said(deadly.decode_all([b"shout"])) == ["not an image of a known format"]
    assert capfd.readouterr() == ("", "")


def test_a_child_that_cannot_start_is_one_clear_line():
    class Missing(Decoder):
        child = "tests.no_such_child"

    with pytest.raises(RunError, match=r"does not start: .*no_such_child") as caught:
        list(Missing().decode_all([b"x"]))
    assert "\n" not in str(caught.value)


def test_a_closed_decoder_starts_again_when_it_is_needed():
    one = Decoder()
    assert one.pid is None
    for _ in range(2):
        assert said(one.decode_all([encode(image(1))])) == [True]
        one.close()
        one.close()
        assert one.pid is None


def test_readers_that_stop_early_interleave_or_share_do_not_mix_answers():
    left, right = [encode(image(n)) for n in range(30)], [encode(image(n)) for n in range(30, 60)]
    abandoned = decode_files(left)
    next(abandoned)
    abandoned.close()
    for n, (one, other) in enumerate(zip(decode_files(left), decode_files(right), strict=True)):
        assert (one.rgb == image(n)).all()
        assert (other.rgb == image(30 + n)).all()
    found = {}

    def read(start):
        found[start] = list(decode_files(left if start == 0 else right))

    threads = [threading.Thread(target=read, args=(start,)) for start in (0, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for start, results in found.items():
        assert all((result.rgb == image(start + n)).all() for n, result in enumerate(results))


@linux
def test_the_child_is_small_and_alone(decoder):
    next(decoder.decode_all([encode(image(0))]))
    status = Path(f"/proc/{decoder.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    assert resident < 120 << 10  # KiB
    maps = Path(f"/proc/{decoder.pid}/maps").read_text()
    assert "torch" not in maps
    assert "pyarrow" not in maps
    opened = {os.readlink(path) for path in Path(f"/proc/{decoder.pid}/fd").iterdir()}
    assert {name.split(":")[0] for name in opened} <= {"/dev/null", "socket"}
    assert len(opened) == 2  # one socket


@linux
@pytest.mark.parametrize("doing", ["idle", "hang"])
def test_the_child_ends_when_its_parent_is_killed(doing):
    code = f"""
import threading
from tests.images.test_sandbox import DeadlyDecoder
one = DeadlyDecoder(seconds=0.5)
list(one.decode_all([b"x"]))
print(one.pid, flush=True)
if {doing == "hang"}:
    one.seconds = 600
    one._answers.raw._sock.settimeout(600)  # a parent that would wait
    list(one.decode_all([b"hang"]))
threading.Event().wait()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = Path("/proc") / parent.stdout.readline().strip()
    assert running(child)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(child)


def running(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


PEAK = 300 << 20  # bytes: the most that any file below, of at most 4 million pixels, may make the child hold


@linux
def test_hostile_files_cost_neither_the_process_nor_memory():
    good = seeds()
    random = np.random.default_rng(7)
    files = [changed for data in good.values() for changed in mutations(data, list(good.values()), 50, random)]
    assert len(good) >= 15
    assert len(files) >= 1000
    files += bombs().values()
    with Decoder(seconds=10) as decoder:
        assert said(decoder.decode_all(good.values(), keep_metadata=True)) == [True] * len(good)
        pid = decoder.pid
        results = list(decoder.decode_all(files, max_pixels=4_000_000, keep_metadata=True))
        assert len(results) == len(files)
        assert all(isinstance(result, Picture | ImageError) for result in results)
        assert not [reason for reason in said(results) if "decoder twice" in str(reason) or "longer" in str(reason)]
        assert decoder.pid == pid  # never died, never stalled
        peak = int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) << 10
    assert peak < PEAK
    errors = [result for result in results if isinstance(result, ImageError)]
    assert len(errors) > 300
    assert all("\n" not in str(error) for error in errors)
    assert len({str(error) for error in errors}) < 100
