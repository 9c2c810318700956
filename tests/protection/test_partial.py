"""Some of the classes are protected: the others pass through to the bit, or are left out, and all are counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.device import COMPUTE
from tests.protection.test_verify import recommit
from ue_ray.errors import UserError
from ue_ray.images.codec import decode
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import noise_config, open_noise
from ue_ray.protection.class_map import NO_NOISE, labels_for_artifact
from ue_ray.protection.job import resolve
from ue_ray.protection.manifest import Manifest
from ue_ray.protection.options import protect_options
from ue_ray.protection.partial import Partial
from ue_ray.protection.shard import ShardProtector
from ue_ray.protection.totals import Totals
from ue_ray.protection.verify import Verification
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Handling
from ue_ray.storage.outputs.formats import FORMATS, shared_names
from ue_ray.storage.outputs.output import Output
from ue_ray.storage.outputs.shards import ShardRecord

PEOPLE = ("ada", "bob", "eve")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """Five photos of each of three people (JPEG and PNG), a file of each that is none, and a stray photo."""
    root, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for name in PEOPLE:
        (root / name).mkdir()
        for number in range(5):
            pixels = Image.fromarray(rng.integers(0, 256, (12, 9 + number, 3), dtype=np.uint8))
            pixels.save(root / name / f"{number}.{'jpg' if number % 2 else 'png'}")
        (root / name / "notes.txt").write_text("no image")
    (root / "stray.png").write_bytes((root / "ada" / "0.png").read_bytes())
    return root


def protected(
    place: Path, source: object, partial: Partial | None, known: tuple[str, ...] = PEOPLE, **handling
) -> Output:
    """All of ``source`` in shards of six rows, by noise for the classes ``known``."""
    listing = source.list()
    output = Output(str(place))
    output.begin("refuse", {})
    config = noise_config({"method": "random", "granularity": "class-wise"}, known, images=15, side=12)
    NoiseArtifact(config).save(join(output.uri, "noise"))
    artifact = NoiseArtifact.load(join(output.uri, "noise"))
    how = Handling(**handling)
    shared = shared_names(how.format, listing.class_names, how.extension, listing.table)
    noise = open_noise(artifact, COMPUTE)
    shards = ShardProtector(
        source, listing.class_names, artifact, noise, output.uri, how, shared=shared, partial=partial
    )
    totals = Totals()
    for index, start in enumerate(range(0, len(listing), 6)):
        totals.add(shards.protect(index, listing.table.slice(start, 6)))
    facts = {
        "noise": config.to_json(),
        "artifact": {"card_sha256": artifact.digest},
        "listing_fingerprint": listing.fingerprint(),
        "class_names": listing.class_names,
        "partial": partial.to_json() if partial else None,
        **totals.facts(),
    }
    output.commit(len(listing), totals.records, facts, listing.left_out)
    return output


def faults(output: Output, source: object = None) -> list[str]:
    return list(Verification(output.uri, source).faults())


def changes(output: Output, people: Path) -> dict[str, int]:
    """The largest change of each image in the output, in 8-bit levels, by key: measured by Pillow alone."""
    listing = OutputSource(output.uri).list()
    found = {}
    for key, data in zip(listing.table["key"].to_pylist(), OutputSource(output.uri).read(listing.table), strict=True):
        before = np.asarray(Image.open(people / key).convert("RGB"), np.int16)
        found[key] = int(np.abs(decode(data).rgb - before).max())
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_the_others_pass_through_to_the_bit(format: str, people: Path, tmp_path: Path):
    source = open_source(str(people))
    output = protected(tmp_path / "out", source, Partial(("bob",)), format=format)
    manifest = Manifest(output.uri, output.manifest())
    assert (manifest.protected, manifest.passed_through, manifest.rejected, manifest.left_out) == (5, 10, 4, 0)
    assert str(manifest) == "5 protected + 10 passed through + 4 rejected = 19 inputs"
    assert manifest.class_names == list(PEOPLE)
    changed = changes(output, people)
    assert {key for key, change in changed.items() if change} == {key for key in changed if key.startswith("bob/")}
    assert len(changed) == 15
    assert max(changed.values()) <= 8
    assert faults(output) == []
    assert faults(output, source) == []


@pytest.mark.parametrize("format", FORMATS)
def test_the_others_are_left_out_and_counted(format: str, people: Path, tmp_path: Path):
    source = open_source(str(people))
    output = protected(tmp_path / "out", source, Partial(("bob", "eve"), "leave-out"), format=format)
    manifest = Manifest(output.uri, output.manifest())
    assert str(manifest) == "10 protected + 3 rejected + 6 left out = 19 inputs"
    assert {key.split("/")[0] for key in changes(output, people)} == {"bob", "eve"}
    assert set(OutputSource(output.uri).list().labels().tolist()) == {1, 2}, "the numbers of the classes stay"
    assert faults(output) == []
    assert faults(output, source) == []


def test_what_a_selection_leaves_out_is_counted_too(people: Path, tmp_path: Path):
    source = open_source(str(people), classes="ada,bob", per_class=4)
    output = protected(tmp_path / "out", source, Partial(("ada",), "leave-out"), ("ada", "bob"))
    manifest = output.manifest()
    assert manifest["left_out"] == 6 + 2 * 2 + 4
    assert manifest["inputs"] == 19 == manifest["protected"] + manifest["rejected"] + manifest["left_out"]
    assert faults(output, source) == []
    said = faults(output, open_source(str(people), classes="ada,bob"))
    assert any("other files, labels or sizes than were protected" in fault for fault in said)


def test_no_noise_is_needed_for_those_who_are_not_protected(people: Path, tmp_path: Path):
    source = open_source(str(people))
    output = protected(tmp_path / "out", source, Partial(("eve",)), known=("eve", "zoe"))
    assert faults(output, source) == []
    assert labels_for_artifact(PEOPLE, ["eve", "zoe"], {}, [False, False, True]).tolist() == [NO_NOISE, NO_NOISE, 0]
    with pytest.raises(UserError, match=r"no noise for class 'bob' \(1 of 2 classes are missing\)"):
        labels_for_artifact(PEOPLE, ["eve", "zoe"], {}, [False, True, True])


def test_a_lossy_encoding_changes_who_passes_through_and_is_not_judged(people: Path, tmp_path: Path):
    source = open_source(str(people))
    output = protected(tmp_path / "out", source, Partial(("bob",)), encoding="jpeg")
    assert output.manifest()["passed_through"] == 10
    run = {"handling": {"encoding": "jpeg"}}
    recommit(Path(output.uri), lambda manifest: manifest.update(run=run))
    assert faults(output, source) == []


def test_a_change_of_who_is_to_pass_through_is_a_fault(people: Path, tmp_path: Path):
    """An output that protects all, whose manifest says that ada and eve were to pass through."""
    source = open_source(str(people))
    output = protected(tmp_path / "out", source, None)
    assert output.manifest()["protected"] == 15

    def pretend(manifest: dict, others: str) -> None:
        manifest |= {"protected": 5, "passed_through": 10, "partial": {"only": ["bob"], "others": others}}

    recommit(Path(output.uri), lambda manifest: pretend(manifest, "pass"))
    said = faults(output, source)
    assert len(said) == 10
    assert all("/255; its class is to pass through unchanged" in fault for fault in said)
    recommit(Path(output.uri), lambda manifest: pretend(manifest, "leave-out"))
    assert sum("is of a class that is to be left out" in fault for fault in faults(output)) == 10


def test_counts_that_hide_who_was_not_protected_are_a_fault(people: Path, tmp_path: Path):
    source = open_source(str(people))
    output = protected(tmp_path / "out", source, Partial(("bob",)))
    recommit(Path(output.uri), lambda manifest: manifest.update(protected=15, passed_through=0))
    assert faults(output) == ["manifest.json: 0 passed through, but 10 are of classes that are not protected"]
    recommit(Path(output.uri), lambda manifest: manifest.update(protected=5, passed_through=9))
    assert faults(output)[:2] == [
        "manifest.json: 5 protected + 9 passed through + 4 rejected are not 19 inputs",
        "manifest.json: 5 protected + 9 passed through, but its files hold 15",
    ]
    recommit(Path(output.uri), lambda manifest: manifest.update(passed_through=10, left_out=2, inputs=21))
    assert faults(output) == []
    assert faults(output, source) == ["input: 0 images are left out of it, manifest.json has 2"]


def test_an_output_of_an_earlier_version_protects_all(people: Path, tmp_path: Path):
    source = open_source(str(people))
    output = protected(tmp_path / "out", source, None)

    def older(manifest: dict) -> None:
        for name in ("passed_through", "left_out", "partial"):
            del manifest[name]

    recommit(Path(output.uri), older)
    assert faults(output, source) == []
    assert str(Manifest(output.uri, output.manifest())) == "15 protected + 4 rejected = 19 inputs"
    record = '{"files": [], "index": 3, "protected": 5, "reasons": {}, "rejected": 1}'
    assert ShardRecord.from_json(record).samples == 6


def test_a_shard_that_is_done_is_kept_with_its_counts(people: Path, tmp_path: Path):
    source = open_source(str(people))
    listing = source.list()
    artifact = NoiseArtifact(noise_config({"method": "random"}, PEOPLE, images=15, side=12))
    partial = Partial(("ada",), "leave-out")
    shards = ShardProtector(
        source, listing.class_names, artifact, open_noise(artifact, COMPUTE), str(tmp_path), partial=partial
    )
    done = shards.protect(0, listing.table)
    assert (done.record.protected, done.record.left_out, done.record.samples) == (5, 12, 19)
    assert shards.finished(0) == done


def test_a_run_is_known_by_who_is_protected():
    cards = [
        partial.card()
        for partial in (
            Partial(("ada",)), Partial(("ada", "bob")), Partial(("ada",), "leave-out"),
            Partial(tuple(f"{number}" for number in range(40))), Partial((*(f"{number}" for number in range(39)), "x")),
        )
    ]  # fmt: skip
    assert len({json.dumps(card) for card in cards}) == 5
    assert cards[0] == {"classes": 1, "only": "ada", "others": "pass"}
    assert all(len(json.dumps(card)) < 200 for card in cards)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"others": "pass"}, "--others goes with --only: without it all classes are protected"),
        ({"only": "ada", "others": "drop"}, "unknown others 'drop': choose one of pass, leave-out"),
    ],
)
def test_options_that_say_nothing_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        protect_options(given)


def test_a_file_of_names_that_is_not_there_is_said_before_anything_starts(people: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"--only @no.txt: there is no such file"):
        resolve(str(people), str(tmp_path / "out"), {"only": "@no.txt"})
