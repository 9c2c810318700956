"""Options that belong together, by name. Measured in docs/survival.md."""

from __future__ import annotations

from typing import Any

from ue_ray.errors import choose

# photos: for images that will be published, and so re-compressed and resized. Eight cells a side, whatever the photo's
# size: what a photo shrunk to 32x32 still shows, a JPEG keeps.
_COARSE = {"method": "gratings", "cells": 8}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "photos": {
        "low": {"epsilon": "8/255", **_COARSE},
        "mid": {"epsilon": "12/255", **_COARSE},
        "high": {"epsilon": "16/255", **_COARSE},
    }
}


def preset(name: str, strength: str) -> dict[str, Any]:
    """Returns a preset's values by the names of options.

    Raises UserError, listing the choices, for a name or a strength that there is not.
    """
    strengths = PRESETS[choose(name, PRESETS, "preset")]
    return dict(strengths[choose(strength, strengths, "strength", f" of preset {name}")])
