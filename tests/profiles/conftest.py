"""A user's own profile folder with one small device and scenario in the bundled layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.profiles import search
from tests.profiles.samples import DEVICE, SCENARIO


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder on the search path with one device (testchip) and one scenario (small)."""
    (tmp_path / "hardware_profiles" / "gpu").mkdir(parents=True)
    (tmp_path / "workloads" / "scenarios").mkdir(parents=True)
    (tmp_path / "hardware_profiles" / "gpu" / "testchip.yaml").write_text(DEVICE)
    (tmp_path / "workloads" / "scenarios" / "small.yaml").write_text(SCENARIO)
    monkeypatch.setenv(search.ENVIRONMENT, str(tmp_path))
    return tmp_path


@pytest.fixture
def device_file(own: Path) -> Path:
    """The device's file."""
    return own / "hardware_profiles" / "gpu" / "testchip.yaml"


@pytest.fixture
def scenario_file(own: Path) -> Path:
    """The scenario's file."""
    return own / "workloads" / "scenarios" / "small.yaml"
