"""Where the shared measurements lie, for tests that need them; they skip with a reason when it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SILICAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def measurements() -> Path:
    """Folder of the published measurements; skips the test when it is not beside the checkout."""
    folder = SHARED / "measurements"
    if not folder.is_dir():
        pytest.skip("published measurements are not beside this checkout (set SILICAST_SHARED)")
    return folder
