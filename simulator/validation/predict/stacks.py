"""Name of the software stack behind the ``fw`` column of a measured row."""

from __future__ import annotations

import re

_VERSION = re.compile(r"-v?\d.*$")


def runtime_of(fw: str) -> str:
    """``fw`` without its version: "sglang-0.5.12" -> "sglang", "deepep-v1" -> "deepep"."""
    return _VERSION.sub("", fw.strip().lower())
