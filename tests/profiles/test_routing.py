"""The routing section of a scenario: defaults, files of loads, refusals, the linter."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.profiles import ProfileError, load_scenario
from simulator.profiles.check import check
from simulator.profiles.dump import dump
from simulator.profiles.routing import Routing


def with_routing(scenario_file: Path, text: str, model: str = "llama-3.1-8b") -> None:
    body = scenario_file.read_text().replace("llama-3.1-8b", model)
    scenario_file.write_text(f"{body}\nrouting: {text}\n")


def test_routing_is_balanced_unless_a_scenario_says_otherwise(own: Path) -> None:
    assert load_scenario("small").routing == Routing()
    zipf = load_scenario("small", {"routing.distribution": "zipf", "routing.exponent": "0.5"}).routing
    assert (zipf.distribution, zipf.exponent, zipf.placement) == ("zipf", 0.5, "auto")


def test_engine_spellings_of_redundant_experts(own: Path) -> None:
    for name in ("redundant_experts", "num_redundant_experts", "ep-num-redundant-experts"):
        assert load_scenario("small", {name: "8"}).parallel.redundant_experts == 8


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("loads.csv", "3\n1\n2\n2\n"),
        ("loads.csv", "expert,tokens\n1,1\n0,3\n3,2\n2,2\n"),
        ("loads.json", "[3, 1, 2, 2]"),
        ("loads.json", '{"loads": [3, 1, 2, 2]}'),
    ],
)
def test_loads_come_from_a_file_beside_the_scenario(scenario_file: Path, name: str, text: str) -> None:
    (scenario_file.parent / name).write_text(text)
    with_routing(scenario_file, f"{{distribution: loads, loads: {name}}}")
    assert load_scenario("small").routing.loads == (3, 1, 2, 2)


def test_a_dumped_scenario_holds_the_loads_themselves(scenario_file: Path, tmp_path: Path) -> None:
    (scenario_file.parent / "loads.csv").write_text("3\n1\n2\n2\n")
    with_routing(scenario_file, "{distribution: loads, loads: loads.csv}")
    scenario = load_scenario("small")
    (tmp_path / "again.yaml").write_text(dump(scenario))
    assert load_scenario(tmp_path / "again.yaml") == scenario


@pytest.mark.parametrize(
    ("routing", "says"),
    [
        ("{distribution: zpf}", "routing.distribution: unexpected value (given 'zpf'"),
        ("{distribution: zipf, exponent: 11}", "routing.exponent: exponent must lie in 0 .. 10, not 11"),
        ("{distribution: loads}", "routing: loads: distribution loads needs one weight per expert"),
        ("{loads: [1, 2]}", "routing.loads: given, but distribution is 'balanced'"),
        ("{distribution: loads, loads: [1, -2]}", "routing.loads: weights must be at least 0"),
        ("{distribution: loads, loads: [0, 0]}", "routing.loads: weights must be at least 0 and not all 0"),
        ("{distribution: loads, loads: [1, .nan]}", "routing.loads.1: not finite"),
        ("{distribution: loads, loads: [1, x]}", "routing.loads.1"),
        ("{distribution: loads, loads: nowhere.csv}", "routing.loads: no such file (given 'nowhere.csv'"),
        ("{distribution: zipf, placement: random}", "routing.placement: unexpected value"),
        ("{distribution: zipf, seed: -1}", "routing.seed: negative"),
        ("{distribution: zipf}\nexpert_imbalance: 1.2", "expert_imbalance: routing zipf says it too"),
    ],
)
def test_a_bad_routing_names_its_field(scenario_file: Path, routing: str, says: str) -> None:
    with_routing(scenario_file, routing)
    with pytest.raises(ProfileError) as error:
        load_scenario("small")
    assert any(says in str(f) for f in error.value.faults), str(error.value)
    assert all("small.yaml:" in str(f) for f in error.value.faults)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("loads.csv", "3\nx\n", "loads.csv:2: not a weight"),
        ("loads.csv", "1,2,3\n", "loads.csv:1: not a weight"),
        ("loads.json", "[1, 2", "loads.json:1: not valid JSON"),
        ("loads.json", '{"weights": [1]}', "loads.json: loads: not a list of weights"),
    ],
)
def test_a_bad_file_of_loads_is_named(scenario_file: Path, name: str, text: str, says: str) -> None:
    (scenario_file.parent / name).write_text(text)
    with_routing(scenario_file, f"{{distribution: loads, loads: {name}}}")
    with pytest.raises(ProfileError) as error:
        load_scenario("small")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("loads", "says"),
    [
        ("[1, 2, 3]", "routing.loads: 3 weights, but the model has 8 experts"),
        (
            "[9, 1, 1, 1, 1, 1, 1, 1]",
            "one expert has 56.2% of the load; a token chooses 2 different ones, so at most 50.0%",
        ),
    ],
)
def test_the_linter_compares_loads_with_the_model(scenario_file: Path, loads: str, says: str) -> None:
    with_routing(scenario_file, f"{{distribution: loads, loads: {loads}}}", "mixtral-8x7b")
    faults = check([scenario_file])
    assert [says in str(f) for f in faults] == [True]
    with_routing(scenario_file, "", "")
    fine = scenario_file.with_name("fine.yaml")
    fine.write_text(
        scenario_file.read_text().split("\nrouting")[0]
        + "\nrouting: {distribution: loads, loads: [1, 1, 2, 1, 1, 1, 1, 1]}\n"
    )
    assert check([fine]) == []
