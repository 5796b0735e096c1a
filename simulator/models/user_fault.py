"""Mistakes in user-written blocks, reported at their file and line."""

from __future__ import annotations

from pathlib import Path

from simulator.models.step import StepShape
from simulator.profiles import extends
from simulator.profiles.errors import Fault, ProfileError, fail
from simulator.profiles.library import load_model
from simulator.profiles.load import loaded_of
from simulator.profiles.model import Model


def fault(model: Model, path: tuple[str | int, ...], message: str, given: str = "", allowed: str = "") -> ProfileError:
    """A ProfileError at ``path`` of the model's file (of a model that came from no file: under its name)."""
    field = ".".join(map(str, path))
    loaded = loaded_of(model)
    if loaded is None:
        return fail(f"model {model.name}", 0, field, message, given, allowed)
    node = extends.resolve(loaded.files[0], "model")[0].at(path)
    name = node.child("name")
    field += f" ({name.value})" if name is not None else ""
    return fail(node.file, node.line, field, message, given, allowed)


def check(model: Model) -> None:
    """ProfileError if a block the model uses is wrong; nothing to do for a model without blocks."""
    if model.blocks:
        from simulator.models.build import describe

        describe(model, StepShape("decode", 2, 1, 4))


def faults_in(path: Path) -> tuple[Fault, ...]:
    """What is wrong with the blocks of the model file ``path``; nothing for files of any other kind."""
    try:
        entries = extends.resolve(path)[0].mapping
    except ProfileError:
        return ()  # the loader's to say
    if "blocks" not in entries or "hidden_size" not in entries:
        return ()
    try:
        check(load_model(path))
    except ProfileError as error:
        return error.faults
    return ()
