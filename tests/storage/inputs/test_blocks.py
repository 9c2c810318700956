import numpy as np

from ue_ray.storage.inputs.blocks import BLOCK_ROWS, block_plan, natural_side, stratified_rows


def test_every_class_gives_its_share_and_at_least_one():
    labels = np.array([0] * 100 + [1] * 50 + [2] * 2 + [-1] * 30)
    np.random.default_rng(1).shuffle(labels)
    rows = stratified_rows(labels, 0.2, seed=0)
    assert np.bincount(labels[rows]).tolist() == [20, 10, 1]
    assert (np.diff(rows) > 0).all()
    assert (
        rows.tolist() == stratified_rows(labels, 0.2, seed=0).tolist() != stratified_rows(labels, 0.2, seed=1).tolist()
    )


def test_all_of_it_leaves_out_only_what_has_no_class():
    labels = np.array([1, -1, 0, 1])
    assert stratified_rows(labels, 1.0, seed=3).tolist() == [0, 2, 3]


def test_blocks_cover_the_rows_once():
    rows = np.arange(0, 1000, 2)
    plan = block_plan(rows, seed=0)
    assert sorted(np.concatenate(plan).tolist()) == rows.tolist()
    assert max(len(part) for part in plan) == BLOCK_ROWS


def test_the_surrogates_size_is_the_images_own_up_to_224():
    assert natural_side([(32, 32)] * 3) == 32
    assert natural_side([(178, 218), (100, 90)]) == 218
    assert natural_side([(4000, 3000)]) == 224
    assert natural_side([]) == 224
