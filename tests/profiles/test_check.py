"""The lint, the schemas and the bundled files themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.profiles import ProfileError, list_names, load_device, load_model, load_prices, load_runtime, load_system
from simulator.profiles.check import check, check_file, files_below, provenance
from simulator.profiles.schema import schema
from simulator.profiles.search import bundled, use_folders


def test_the_bundled_profiles_are_clean() -> None:
    assert [str(f) for f in check([bundled() / "hardware_profiles", bundled() / "workloads"])] == []


@pytest.mark.parametrize(
    ("kind", "load"),
    [
        ("device", load_device), ("system", load_system), ("prices", load_prices), ("model", load_model),
        ("runtime", load_runtime),
    ],
)  # fmt: skip
def test_every_listed_name_loads_under_its_own_name(kind: str, load: object) -> None:
    names = list_names(kind)
    assert names
    for name in names:
        assert load(name).name == name  # type: ignore[operator]


def test_every_default_system_exists() -> None:
    systems = list_names("system")
    for name in list_names("device"):
        assert load_device(name).default_system in systems, name


def test_no_architecture_has_more_than_twenty_efficiencies() -> None:
    for name in list_names("device"):
        efficiencies = load_device(name).efficiencies
        assert len(type(efficiencies).__dataclass_fields__) <= 20, name


def test_faults_are_found_below_a_folder(own: Path) -> None:
    assert check([own]) == []
    (own / "hardware_profiles" / "gpu" / "bad.yaml").write_text("extends: h100-sxm\npower: {tdp: 700 W}\n")
    (own / "workloads" / "scenarios" / "bad.yaml").write_text(
        "model: no-such\nruntime: vllm\nsystem: hgx-h100\nphases: {}\n"
    )
    found = [str(f) for f in check([own])]
    assert len(found) == 2
    assert any("bad.yaml:2: power.tdp: a figure with its source is expected" in f for f in found)


def test_a_scenario_that_names_nothing_known_is_a_fault(scenario_file: Path) -> None:
    scenario_file.write_text(scenario_file.read_text().replace("llama-3.1-8b", "llama-3.1-8bb"))
    (fault,) = check_file(scenario_file)
    assert (fault.line, fault.field) == (2, "model")
    assert "did you mean 'llama-3.1-8b'" in fault.message


def test_an_architecture_may_be_incomplete_but_not_wrong(own: Path) -> None:
    folder = own / "hardware_profiles" / "gpu" / "architectures"
    folder.mkdir()
    (folder / "new.yaml").write_text(
        "sources: {s: x}\nvendor: nvidia\npower: {tdp: {value: 1 W, kind: vendor, source: s}}\n"
    )
    assert check_file(folder / "new.yaml") == []
    (folder / "new.yaml").write_text(
        "sources: {s: x}\nvendor: nvidia\npower: {tdp: {value: 1 J, kind: vendor, source: s}}\n"
    )
    assert [f.field for f in check_file(folder / "new.yaml")] == ["power.tdp"]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no such file or folder"):
        files_below([tmp_path / "no"])
    with pytest.raises(ProfileError, match="no such folder"):
        use_folders([tmp_path / "no"])


def test_the_command_lines_folders_come_first(own: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "testchip.yaml").write_text("extends: h100-sxm\n")
    use_folders([mine])
    try:
        assert load_device("testchip").core.sms == load_device("h100-sxm").core.sms
    finally:
        use_folders([])
    assert load_device("testchip").core.sms == 100


def test_provenance_counts_figures_by_kind(own: Path) -> None:
    (chip,) = provenance(["testchip"])
    assert chip.counts["estimated"] >= 1
    assert 0 < chip.estimated_share < 0.5


@pytest.mark.parametrize("kind", ["device", "system", "prices", "model", "runtime", "scenario", "kernels"])
@pytest.mark.parametrize("vendor", ["", "nvidia", "google", "huawei"])
def test_a_schema_is_json_and_closed(kind: str, vendor: str) -> None:
    text = json.dumps(schema(kind, vendor))
    assert "2020-12" in text
    assert '"additionalProperties": false' in text


def test_a_schema_states_units_and_kinds() -> None:
    document = schema("prices")
    rate = document["properties"]["devices"]["additionalProperties"]
    assert rate["x-unit"] == "USD/h"
    assert "estimated" in json.dumps(rate)


def test_an_unknown_schema_is_one_line() -> None:
    with pytest.raises(ProfileError, match="did you mean 'scenario'"):
        schema("scenarios")


def test_importing_the_room_does_not_import_pydantic() -> None:
    code = "import sys, simulator.profiles; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_loading_what_a_run_needs_is_cheap() -> None:
    code = (
        "import time; t = time.process_time()\n"
        "from simulator.profiles import *\n"
        "load_device('h100-sxm'); load_system('hgx-h100'); load_prices('rental-3yr'); load_model('deepseek-v3.2')\n"
        "load_runtime('vllm')\n"
        "import sys; sys.exit(int(1000 * (time.process_time() - t)) // 10)\n"
    )
    spent = subprocess.run([sys.executable, "-c", code], check=False).returncode
    assert spent < 150, f"{spent * 10} ms"


def test_a_file_outside_the_usual_folders_is_recognised(tmp_path: Path) -> None:
    scenario = tmp_path / "mine.yaml"
    scenario.write_text("model: llama-3.1-8b\nruntime: vllm\nsystem: hgx-h100\nphases: {decode: {batch: 1, osl: 5}}\n")
    assert [f.field for f in check_file(scenario)] == ["phases.decode.context"]
    prices = tmp_path / "prices.yaml"
    prices.write_text("basis: mine\ndate: today\nincludes_power: true\ndevices: {h100-sxm: 3 USD/h}\n")
    assert [f.field for f in check_file(prices)] == ["devices.h100-sxm"]
