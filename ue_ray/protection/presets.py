"""Recipes by name: options of ``protect_dataset.py`` that belong together. Measured in docs/survival.md."""

from __future__ import annotations

from typing import Any

from ue_ray.errors import UserError

# photos: for images that will be published, and so re-compressed and resized. Delta lives on 16x16, whatever their
# size: what a photo shrunk to 32x32 still shows, a JPEG keeps. Grayscale takes the colours, in which most of such a
# delta is; from 12/255 on there is enough left for brightness, and there it is crafted for that.
_GRAYS = {"canvas": 16, "views": "crop,grayscale,grayscale", "max_rounds": 30}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "photos": {
        "low": {"epsilon": "8/255", "canvas": 16, "views": "crop,flip,jpeg,resize", "max_rounds": 30},
        "mid": {"epsilon": "12/255", **_GRAYS},
        "high": {"epsilon": "16/255", **_GRAYS},
    }
}


def preset(name: str, strength: str) -> dict[str, Any]:
    """The option values of a preset, by ``ProtectConfig``'s names, as the command line would give them.

    Raises UserError, listing the choices, for a name or a strength that there is not.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    if strength not in PRESETS[name]:
        raise UserError(f"unknown strength {strength!r} of preset {name}: choose one of {', '.join(PRESETS[name])}")
    return dict(PRESETS[name][strength])
