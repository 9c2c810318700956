"""Options that belong together, by name. Measured in docs/survival.md."""

from __future__ import annotations

from typing import Any

from ue_ray.errors import choose

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
    """Returns a preset's values by the names of options.

    Raises UserError, listing the choices, for a name or a strength that there is not.
    """
    strengths = PRESETS[choose(name, PRESETS, "preset")]
    return dict(strengths[choose(strength, strengths, "strength", f" of preset {name}")])
