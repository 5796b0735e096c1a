"""Writing results: whole or not at all, with one clear message when the place cannot be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from simulator.profiles.errors import fail


def write_atomically(target: Path, content: str | bytes) -> None:
    """Write ``content`` to ``target`` through a temporary file beside it. ProfileError: the place cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise fail(str(target), 0, "--out", f"cannot be written: {error.strerror or error}") from None


def make_folder(target: Path) -> None:
    """Create ``target`` and its parents. ProfileError: cannot be created, or is a file."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe = target / ".silicast-probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise fail(str(target), 0, "--out", f"cannot be written: {error.strerror or error}") from None
