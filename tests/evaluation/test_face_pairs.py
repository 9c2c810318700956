import numpy as np
import pytest
import torch
from torch import nn

from ue_ray.evaluation.face_pairs import draw_pairs, features, fold_accuracies, roc, score_pairs
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute

LABELS = np.repeat(np.arange(6), 5)


def test_pairs_are_half_of_one_person_and_none_is_drawn_twice():
    rows = np.flatnonzero(LABELS < 4)
    pairs, same = draw_pairs(LABELS, rows)
    assert same.sum() == len(same) / 2 == 4 * 10  # all there are of one person
    assert np.array_equal(LABELS[pairs[:, 0]] == LABELS[pairs[:, 1]], same)
    assert set(pairs.ravel()) <= set(rows)
    assert len({tuple(pair) for pair in pairs}) == len(pairs)
    again, _ = draw_pairs(LABELS, rows)
    assert np.array_equal(pairs, again)
    assert not np.array_equal(pairs, draw_pairs(LABELS, rows, seed=1)[0])


def test_the_roc_by_hand():
    similarity = np.array([0.9, 0.8, 0.8, 0.1])
    same = np.array([True, True, False, False])
    false, true = roc(similarity, same)
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]


def test_a_threshold_is_chosen_on_the_other_folds():
    same = np.arange(40) % 20 < 10  # of each fold two pairs are of one person, and two not
    assert fold_accuracies(np.where(same, 0.9, 0.2), same) == [1.0] * 10
    swapped = np.where(same, 0.9, 0.2)
    swapped[::10] = 1.1 - swapped[::10]  # the first fold is the other way round: its own threshold would know
    assert fold_accuracies(swapped, same) == [0.0] + [1.0] * 9


def test_verification_of_features_that_tell_people_apart_and_of_such_that_do_not():
    generator = torch.Generator().manual_seed(0)
    known = torch.eye(6)[LABELS] + 0.02 * torch.randn(30, 6, generator=generator)
    told = score_pairs(nn.functional.normalize(known), LABELS, np.arange(30))
    assert told.auc == told.accuracy == 1.0
    assert told.roc[0] == (0.0, 0.0)
    assert told.roc[-1] == (1.0, 1.0)
    blind = score_pairs(nn.functional.normalize(torch.randn(30, 6, generator=generator)), LABELS, np.arange(30))
    assert blind.auc == pytest.approx(0.5, abs=0.15)
    assert score_pairs(known, LABELS, np.arange(6)) is None, "too few pairs of one person"


def test_features_are_what_the_last_linear_layer_sees():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2))
    images = torch.randint(0, 256, (7, 2, 2, 3), dtype=torch.uint8)
    data = LabelledImages(images.numpy(), np.zeros(7, np.int64), list("abcdefg"))
    found = features(network, data, Compute.detect("cpu"), batch_size=3)
    expected = network[:3](images.permute(0, 3, 1, 2).float() / 255).detach()
    torch.testing.assert_close(found, nn.functional.normalize(expected))
