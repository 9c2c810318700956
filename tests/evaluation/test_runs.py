from dataclasses import replace

import pytest

from ue_ray.errors import UserError
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.training import TrainingPlan

RUN = VictimRun(TrainingPlan("resnet9", 3), "clean", "jpeg-50", "a", "b", 32)


def test_a_run_is_said_in_words():
    assert RUN.title == "resnet9 on clean with jpeg-50, seed 0"
    assert replace(RUN, countermeasure="none").title == "resnet9 on clean, seed 0"


def test_what_was_written_is_found_and_nothing_else(tmp_path):
    runs = VictimRuns(str(tmp_path / "report"))
    assert runs.finished(RUN) is None
    runs.write(RUN, {"final_test_accuracy": 0.5})
    assert runs.finished(RUN) == {"final_test_accuracy": 0.5}
    runs.check()
    for other in (
        replace(RUN, plan=replace(RUN.plan, epochs=4)), replace(RUN, train="c"), replace(RUN, test="c"),
        replace(RUN, side=64), replace(RUN, countermeasure="none"), replace(RUN, train_set="control"),
        replace(RUN, workers=2), replace(RUN, workers=3),
    ):  # fmt: skip
        assert runs.finished(other) is None


def test_what_is_not_asked_for_does_not_rename_older_runs():
    assert RUN.file_name == "resnet9-clean-jpeg-50-seed0-ba6b9c914aa50b57.json"
    assert replace(RUN, pair_classes=(1, 2)).file_name == "resnet9-clean-jpeg-50-seed0-daaff5f17fdfe4f1.json"


def test_a_file_that_was_cut_off_is_no_result(tmp_path):
    runs = VictimRuns(str(tmp_path))
    runs.write(RUN, {"final_test_accuracy": 0.5})
    (place,) = (tmp_path / "runs").iterdir()
    assert place.name.startswith("resnet9-clean-jpeg-50-seed0-")
    place.write_text(place.read_text()[:9])
    assert runs.finished(RUN) is None


def test_a_place_in_use_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds notes.txt, and no evaluation: choose an empty place"):
        VictimRuns(str(tmp_path)).check()
    with pytest.raises(UserError, match="cannot be written"):
        VictimRuns(str(tmp_path / "notes.txt" / "below")).check()
