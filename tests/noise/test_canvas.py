import numpy as np
import torch

from ue_ray.noise.canvas import lay, spread, spread_patch


def test_a_delta_of_the_images_size_is_not_touched():
    delta = torch.rand(2, 3, 8, 8)
    assert spread(delta, 8, 8) is delta


def test_a_patch_lies_somewhere_whole_with_nothing_around_it():
    delta = torch.ones(2, 3, 4, 4, requires_grad=True)
    places = set()
    for seed in range(40):
        laid = spread_patch(delta, 16, 12, 0.5, seed)
        assert laid.shape == (2, 3, 16, 12)
        assert (laid[0, 0] > 0).sum() == 8 * 6
        assert torch.equal(laid[0], laid[1])
        places.add(tuple(int(axis[0]) for axis in torch.nonzero(laid[0, 0], as_tuple=True)))
    assert len(places) > 20
    assert {0, 8} <= {top for top, _ in places}
    (gradient,) = torch.autograd.grad(spread_patch(delta, 16, 12, 0.5, 0).sum(), delta)
    assert (gradient > 0).all()


def test_a_samples_place_is_its_own():
    levels = np.ones((2, 3, 3), np.int16)
    one, other = (lay(levels, 8, 9, 0, name) for name in ("a", "b"))
    assert one.shape == (8, 9, 3)
    assert one.sum() == other.sum() == 18
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(lay(levels, 8, 9, 0, "a"), one)
    assert not np.array_equal(lay(levels, 8, 9, 1, "a"), one)
    assert lay(levels, 2, 3, 0, "a") is levels
