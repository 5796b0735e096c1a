"""Loading devices: good files give SI values with provenance, each fault costs one line that says where and what."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from simulator.profiles import ProfileError, figures_of, load_device, load_model, load_prices, load_system
from simulator.profiles.load import load_as
from simulator.profiles.prices import Prices


def refusal(path: Path | str) -> str:
    with pytest.raises(ProfileError) as error:
        load_device(path)
    text = str(error.value)
    assert len(error.value.faults) == 1, text
    assert "\n" not in text
    return text


def test_a_device_loads_in_si_units(device_file: Path) -> None:
    chip = load_device("testchip")
    assert chip.memory.bandwidth == 2e12
    assert chip.memory.l2_capacity == 40 * 2**20
    assert chip.core.sms == 100
    assert isinstance(chip.core.sms, int)
    assert chip.architecture == "hopper"
    assert load_device("testchip") is chip
    assert load_device(device_file) is chip


def test_figures_know_their_file_and_line(device_file: Path) -> None:
    figures = figures_of("testchip")
    own, inherited = figures["memory.bandwidth"], figures["core.exp_per_clk"]
    assert device_file.read_text().splitlines()[own.line - 1].strip().startswith("bandwidth: {value: 2 TB/s")
    assert own.file.endswith("testchip.yaml")
    assert (own.value, own.text, own.unit, own.kind, own.citation) == (2e12, "2 TB/s", "B/s", "vendor", "a datasheet")
    assert inherited.file.endswith("hopper.yaml")
    assert figures["memory.l2_capacity"].note == "a guess"


def test_every_number_of_a_device_has_a_figure(own: Path) -> None:
    chip = load_device("testchip")
    figures = figures_of(chip)

    def numbers(value: object, path: str) -> dict[str, float]:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            items = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        elif isinstance(value, dict):
            items = value
        else:
            return {path: value} if isinstance(value, (int, float)) else {}
        found: dict[str, float] = {}
        for name, item in items.items():
            found |= numbers(item, f"{path}.{name}".lstrip("."))
        return found

    assert {path: figures[path].value for path in numbers(chip, "")} == numbers(chip, "")


def test_a_changed_copy_has_no_provenance(own: Path) -> None:
    copy = dataclasses.replace(load_device("testchip"), name="other")
    with pytest.raises(ProfileError, match="no provenance"):
        figures_of(copy)


def test_a_changed_file_is_read_again(device_file: Path) -> None:
    before = load_device("testchip")
    device_file.write_text(device_file.read_text().replace("value: 2 TB/s", "value: 2.5 TB/s"))
    assert load_device("testchip").memory.bandwidth == 2.5e12
    assert before.memory.bandwidth == 2e12


LINE = "bandwidth: {value: 2 TB/s, kind: vendor, source: sheet}"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (LINE, "bandwidth: 2 TB/s", ":12: memory.bandwidth: a figure with its source is expected (given '2 TB/s'"),
        (LINE, "bandwidth: 2e12", ":12: memory.bandwidth: a figure with its source is expected"),
        (LINE, "bandwidth: [2 TB/s]", ":12: memory.bandwidth: a figure with its source is expected (given a list"),
        (
            "2 TB/s",
            "2e12",
            ":12: memory.bandwidth: the unit is missing (given '2e12'; allowed a number with one of B/s",
        ),
        ("2 TB/s", "2 TB", ":12: memory.bandwidth: wrong dimension: TB measures B"),
        ("2 TB/s", "2 TiB/s", ":12: memory.bandwidth: bandwidths are decimal: write TB/s, not TiB/s"),
        ("2 TB/s", "-2 TB/s", ":12: memory.bandwidth: negative"),
        ("2 TB/s", ".nan", ":12: memory.bandwidth: not a number"),
        ("2 TB/s", ".inf", ":12: memory.bandwidth: not a number"),
        ("2 TB/s", "fast", ":12: memory.bandwidth: not a number with a unit"),
        ("2 TB/s", "", ":12: memory.bandwidth: not a number with a unit (given"),
        ("2 TB/s", "[2 TB/s]", ":12: memory.bandwidth: not a number with a unit (given"),
        ("  bandwidth: {value: 2 TB", "  bandwith: {value: 2 TB", "did you mean 'bandwidth'?"),
        ("memory:\n", "memmory:\n", "unknown key, did you mean 'memory'?"),
        ("value: 100,", "value: 100.5,", ":7: core.sms: not a whole number (given '100.5'"),
        ("value: 100,", "value: -100,", ":7: core.sms: negative"),
        ("value: 100,", "value: 100 SM,", ":7: core.sms: a count has no unit"),
        ("{value: 100, kind: vendor", "{value: 100, kind: guess", ":7: core.sms.kind: unknown kind (given 'guess'"),
        ("{value: 100, kind: vendor, ", "{value: 100, ", ":7: core.sms.kind: the figure has no kind"),
        (
            "{value: 100, kind: vendor, source: sheet}",
            "{value: 100, kind: vendor}",
            ":7: core.sms.source: the figure has no",
        ),
        (
            "{value: 100, kind: vendor, source: sheet}",
            "{value: 100, kind: vendor, source: x}",
            "core.sms.source: unknown",
        ),
        ("value: 100,", "value: 100, sauce: x,", ":7: core.sms.sauce: unknown key of a figure, did you mean 'source'?"),
        ("value: 100,", "value: 100, rows: -1,", ":7: core.sms.rows: not a count"),
        ('sheet: "a datasheet"', "sheet: {a: b}", ":3: sources.sheet: a citation is expected"),
        ("extends: architectures/hopper", "extends: architectures/hoper", ":1: extends: no such profile"),
        ("extends: architectures/hopper", "extends: [a, b]", ":1: extends: one profile name is expected"),
        ("extends: architectures/hopper", "extends: testchip", ":1: extends: cyclic"),
        ("extends: architectures/hopper", "extends: /etc/passwd", ":1: extends: no such profile"),
        ("name: testchip", "name: [testchip]", ":4: name: unexpected value (given a list; allowed a text)"),
        ("name: testchip", "vendor: nvidea", ":4: vendor: unknown vendor, did you mean 'nvidia'?"),
        ("default_system: hgx-h100\n", "", "default_system: missing"),
        ("  idle: {value: 60 W, kind: vendor, source: sheet}\n", "", "power.idle: missing"),
    ],
)
def test_a_fault_costs_one_line(device_file: Path, old: str, new: str, says: str) -> None:
    text = device_file.read_text()
    assert old in text
    device_file.write_text(text.replace(old, new, 1))
    told = refusal("testchip")
    assert says in told
    assert told.startswith(str(device_file))


def test_a_misspelt_key_is_one_fault_not_two(device_file: Path) -> None:
    device_file.write_text(device_file.read_text().replace("  tdp:", "  tpd:"))
    with pytest.raises(ProfileError) as error:
        load_device("testchip")
    assert [f.field for f in error.value.faults] == ["power.tpd"]


def test_all_faults_of_a_file_are_listed_in_order(device_file: Path) -> None:
    text = device_file.read_text().replace("2 TB/s", "2").replace("500 W", "500 J").replace("value: 100,", "value: x,")
    device_file.write_text(text)
    with pytest.raises(ProfileError) as error:
        load_device("testchip")
    assert [f.field for f in error.value.faults] == ["core.sms", "memory.bandwidth", "power.tdp"]
    assert len(str(error.value).splitlines()) == 3


def test_a_missing_vendor_is_named(own: Path) -> None:
    (own / "loose.yaml").write_text("name: loose\n")
    assert "vendor: missing (allowed nvidia, google, huawei)" in refusal("loose")


@pytest.mark.parametrize("name", ["h100sxm", "H100-SXM", "testchp"])
def test_an_unknown_name_lists_close_ones(own: Path, name: str) -> None:
    text = refusal(name)
    assert "did you mean" in text
    assert "allowed" in text


@pytest.mark.parametrize("name", ["", ".", "..", "../gpu/h100-sxm", "a\x00b", "x" * 5000])
def test_odd_names_are_refused_without_a_traceback(own: Path, name: str) -> None:
    with pytest.raises(ProfileError):
        load_device(name)


def test_a_path_that_does_not_exist_says_so(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "no.yaml")
    assert "is a folder" in refusal(tmp_path)


def test_prices_and_systems_load(own: Path) -> None:
    prices = load_prices("rental-3yr")
    assert prices.rate("h100-sxm") == prices.devices["h100-sxm"] > 0
    with pytest.raises(ProfileError, match="no price for 'h100', did you mean 'h100-sxm'"):
        prices.rate("h100")
    assert load_system("hgx-h100").device == "h100-sxm"


def test_prices_refuse_another_dimension(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "sources: {s: list}\nbasis: b\ndate: 2026-03\nincludes_power: true\n"
        "devices: {h100-sxm: {value: 3 USD, kind: vendor, source: s}}\n"
    )
    with pytest.raises(ProfileError, match=r"p.yaml:5: devices.h100-sxm: wrong dimension: USD measures USD"):
        load_as(Prices, path)


def test_a_model_answers_to_its_published_name() -> None:
    assert load_model("deepseek-ai/DeepSeek-R1").name == "deepseek-r1"
    assert load_model("deepseek-r1-0528").name == "deepseek-r1"
    with pytest.raises(ProfileError, match="unknown model 'deepsek-r1', did you mean 'deepseek-r1'"):
        load_model("deepsek-r1")


def test_provenance_outlives_many_overridden_loads(own: Path) -> None:
    chip = load_device("testchip")
    for sms in range(1, 40):
        load_device("testchip", {"core.sms": str(sms)})
    assert figures_of(chip)
    assert load_device("testchip") is chip
