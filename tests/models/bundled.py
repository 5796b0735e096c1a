"""Bundled models, loaded once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from simulator.profiles import load_model
from simulator.profiles.model import Model

FILES = (Path(__file__).resolve().parents[2] / "workloads" / "models").glob("*.yaml")
# the closed forms know the built-in parts only
NAMES = sorted(p.stem for p in FILES if "\nblocks:" not in p.read_text())


@cache
def model(name: str) -> Model:
    """The bundled model ``name``."""
    return load_model(name)
