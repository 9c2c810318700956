from ue_ray.distributed.reproduce import noise_folder
from ue_ray.experiments import Recipe


def test_a_noise_of_other_pixels_has_a_folder_of_its_own():
    own, foreign = Recipe("noise", {}), Recipe("noise", {}, other=True)
    before, after = {"clean": "a", "other": "b"}, {"clean": "a", "other": "c"}
    assert noise_folder(own, before) == noise_folder(own, after) != noise_folder(own, {"clean": "d"})
    assert noise_folder(foreign, before) != noise_folder(foreign, after)
