"""Scenarios: spellings, derived options, overrides and their refusals, writing and reading back."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.profiles import ProfileError, figures_of, load_device, load_scenario
from simulator.profiles.aliases import canonical_path, split_overrides
from simulator.profiles.dump import dump


def test_a_scenario_loads_with_aliases_and_derived_options(own: Path) -> None:
    scenario = load_scenario("small")
    assert scenario.name == "small"
    assert (scenario.parallel.tp, scenario.num_devices, scenario.parallel.dp) == (2, 2, 1)
    assert scenario.phases.prefill is not None
    assert scenario.phases.decode is not None
    assert (scenario.phases.decode.batch, scenario.phases.decode.context) == (8, 1100)
    assert scenario.slo.tpot == 0.05


@pytest.mark.parametrize(
    ("short", "vllm", "path"),
    [
        ("tp", "tensor_parallel_size", "parallel.tp"),
        ("pp", "pipeline_parallel_size", "parallel.pp"),
        ("dp", "data_parallel_size", "parallel.dp"),
        ("ep", "expert_parallel_size", "parallel.ep"),
        ("cp", "prefill_context_parallel_size", "parallel.cp"),
        ("dcp", "decode_context_parallel_size", "parallel.dcp"),
        ("batch", "max_num_seqs", "phases.decode.batch"),
        ("isl", "input_len", "phases.prefill.isl"),
        ("osl", "output_len", "phases.decode.osl"),
        ("num_speculative_tokens", "num-speculative-tokens", "speculative.num_speculative_tokens"),
    ],
)
def test_short_and_vllm_spellings_mean_the_same(short: str, vllm: str, path: str) -> None:
    assert canonical_path(short) == canonical_path(vllm) == path


def test_nested_spellings_are_normalised() -> None:
    assert canonical_path("parallel.tensor_parallel_size") == "parallel.tp"
    assert canonical_path("phases.prefill.input_len") == "phases.prefill.isl"
    assert canonical_path("decode.batch") == canonical_path("decode.max_num_seqs") == "phases.decode.batch"
    assert canonical_path("mixed.prefill.chunk") == "phases.mixed.prefill.tokens"
    assert canonical_path("slo.tpot") == "slo.tpot"


def test_overrides_reach_every_depth(own: Path) -> None:
    scenario = load_scenario(
        "small", {"tp": "4", "dp": "2", "batch": "32", "formats.kv_cache": "fp8", "slo.ttft": "1 s", "isl": "2000"}
    )
    assert (scenario.parallel.tp, scenario.parallel.dp, scenario.num_devices) == (4, 2, 8)
    assert scenario.phases.decode is not None
    assert (scenario.phases.decode.batch, scenario.phases.decode.context) == (32, 2100)
    assert scenario.formats.kv_cache == "fp8"
    assert scenario.slo.ttft == 1.0
    assert load_scenario("small").parallel.tp == 2


def test_an_overridden_layout_keeps_the_devices_unless_dp_is_set(scenario_file: Path) -> None:
    text = scenario_file.read_text().replace("tensor_parallel_size: 2", "num_devices: 8\nparallel: {tp: 2, dp: 4}")
    scenario_file.write_text(text)
    four = load_scenario("small", {"tp": "4"})
    assert (four.num_devices, four.parallel.dp) == (8, 2)
    wide = load_scenario("small", {"dp": "16"})
    assert (wide.num_devices, wide.parallel.tp) == (32, 2)
    more = load_scenario("small", {"num_devices": "16"})
    assert (more.parallel.tp, more.parallel.dp) == (2, 8)
    with pytest.raises(ProfileError, match=r"--set tp=3: parallel\.tp: tp x pp x cp = 3 does not divide num_devices 8"):
        load_scenario("small", {"tp": "3"})


def test_an_overridden_device_brings_its_own_system(own: Path) -> None:
    device = load_scenario("small", {"device": "b200-sxm"})
    assert (device.device, device.system) == ("b200-sxm", "")
    system = load_scenario("small", {"system": "hgx-b200"})
    assert (system.device, system.system) == ("", "hgx-b200")


def test_a_stated_context_gives_way_to_overridden_lengths(scenario_file: Path) -> None:
    scenario_file.write_text(scenario_file.read_text().replace("osl: 200}", "osl: 200, context: 7}"))
    decode = [load_scenario("small", o).phases.decode for o in ({}, {"isl": "2000"}, {"isl": "2000", "context": "9"})]
    assert [d.context for d in decode if d is not None] == [7, 2100, 9]


def test_replicas_follow_from_the_number_of_devices(own: Path) -> None:
    assert load_scenario("small", {"num_devices": "8"}).parallel.dp == 4


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("tpp", "4", "--set tpp=4: tpp: unknown key"),
        ("parallel.tpp", "4", "--set parallel.tpp=4: parallel.tpp: unknown key, did you mean 'tp'?"),
        ("decode.bacth", "4", "--set decode.bacth=4: phases.decode.bacth: unknown key, did you mean 'batch'?"),
        ("tp", "x", "--set tp=x: parallel.tp: unexpected value (given 'x'; allowed a whole number)"),
        ("tp", "0", "--set tp=0: parallel.tp: tp must be at least 1, not 0"),
        ("tp", "-1", "--set tp=-1: parallel.tp: negative"),
        ("tp", "true", "--set tp=true: parallel.tp: not a number"),
        ("tp", "[1,2]", "--set tp=[1,2]: parallel.tp: unexpected value (given a list"),
        ("tp", "[1,2", "--set tp=[1,2: not valid YAML"),
        ("tp", "!!python/name:os x", "tags are not accepted"),
        ("batch", "1.5", "--set batch=1.5: phases.decode.batch: unexpected value (given 1.5; allowed a whole number)"),
        ("batch", "", "--set batch=: phases.decode.batch: unexpected value (given nothing"),
        ("ep", "3", "--set ep=3: parallel.ep: ep 3 must divide tp x dp x cp = 2"),
        ("num_devices", "7", "--set num_devices=7: parallel.tp: tp x pp x cp = 2 does not divide num_devices 7"),
        ("slo.tpot", "50", "--set slo.tpot=50: slo.tpot: the unit is missing"),
        ("slo.tpot", "50 GB", "--set slo.tpot=50 GB: slo.tpot: wrong dimension: GB measures B"),
        ("expert_imbalance", ".nan", "expert_imbalance: not finite"),
        ("expert_imbalance", "0.5", "expert_imbalance: expert_imbalance must be at least 1"),
        ("formats.kv_cache", "fp7", "formats.kv_cache: unknown number format 'fp7'"),
        ("overlap", "yes", "overlap: unexpected value (given 'yes'; allowed 'none' or 'two_micro_batch')"),
        ("phases.decode.batch.x", "1", "phases.decode.batch has no fields"),
        ("a..b", "1", "not a field path"),
        ("", "1", "not a field path"),
        ("prefix_len", "5000", "--set prefix_len=5000: phases.prefill.prefix_len: prefix_len must be"),
        ("acceptance_length", "2", "speculative.num_speculative_tokens: missing"),
        ("model", "x" * 5000, "value too long"),
    ],
)
def test_a_bad_option_is_one_line_that_names_it(own: Path, option: str, value: str, says: str) -> None:
    with pytest.raises(ProfileError) as error:
        load_scenario("small", {option: value})
    text = str(error.value)
    assert says in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tensor_parallel_size: 2", "tensor_parallel_size: 2\ntp: 2", ":6: tp: given twice"),
        ("tensor_parallel_size: 2", "parallel: {tp: 2, tp_size: 2}", ":5: parallel.tp_size: given twice"),
        ("model: llama-3.1-8b\n", "", ": model: missing"),
        ("system: hgx-h100\n", "", "name a system or a device"),
        ("phases:", "phazes:", "did you mean 'phases'?"),
        ("500 ms", "500", ":9: slo.ttft: the unit is missing"),
        ("prefill: {batch: 1,", "prefill: {batch: 0,", ":7: phases.prefill.batch: batch must be at least 1, not 0"),
        ("phases:", "phases: []\nold:", ":6: phases: unexpected value (given a list; allowed a mapping)"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(scenario_file: Path, old: str, new: str, says: str) -> None:
    text = scenario_file.read_text()
    assert old in text
    scenario_file.write_text(text.replace(old, new, 1))
    with pytest.raises(ProfileError) as error:
        load_scenario("small")
    assert any(says in str(f) for f in error.value.faults), str(error.value)


K3 = {"num_speculative_tokens": "3"}
MIXED = {
    "phases.mixed.decode.batch": "16",
    "phases.mixed.decode.context": "4096",
    "phases.mixed.prefill.batch": "1",
    "phases.mixed.prefill.chunk": "2048",
}


def test_steps_beyond_one_prefill_and_one_decode(own: Path, tmp_path: Path) -> None:
    scenario = load_scenario("small", MIXED | {"max_num_batched_tokens": "512", "acceptance_rate": "0.5"} | K3)
    mixed, prefill = scenario.phases.mixed, scenario.phases.prefill
    assert mixed is not None
    assert prefill is not None
    assert (mixed.decode.batch, mixed.prefill.tokens, mixed.prefill.prefix_len) == (16, 2048, 0)
    assert prefill.chunk == 512
    assert (scenario.drafts, scenario.kept) == (3, 1.875)
    path = tmp_path / "resolved.yaml"
    path.write_text(dump(scenario))
    assert load_scenario(path) == scenario
    assert load_scenario(path, {"acceptance_length": "2"}).kept == 2


def test_batch_and_context_mean_the_mixed_step_where_nothing_else_decodes(scenario_file: Path) -> None:
    text = scenario_file.read_text()
    start = text.index("phases:")
    rest = text[text.index("\n", text.index("decode:")) :]
    mixed = "phases:\n  mixed: {decode: {batch: 4, context: 100}, prefill: {batch: 1, tokens: 64}}"
    scenario_file.write_text(text[:start] + mixed + rest)
    found = load_scenario("small", {"batch": "8", "context": "2000"}).phases
    assert found.decode is None
    assert found.mixed is not None
    assert (found.mixed.decode.batch, found.mixed.decode.context) == (8, 2000)


def test_a_dumped_scenario_reads_back_equal(own: Path, tmp_path: Path) -> None:
    scenario = load_scenario("small", {"tp": "4", "num_speculative_tokens": "3", "acceptance_length": "2.5"})
    path = tmp_path / "resolved.yaml"
    path.write_text(dump(scenario))
    assert load_scenario(path) == scenario
    assert "tpot: 50 ms" in path.read_text()


def test_an_override_on_a_figure_is_marked(own: Path) -> None:
    chip = load_device("testchip", {"memory.bandwidth": "4 TB/s"})
    assert chip.memory.bandwidth == 4e12
    figure = figures_of(chip)["memory.bandwidth"]
    assert (figure.kind, figure.source, figure.file) == (
        "estimated",
        "override",
        "--set device.memory.bandwidth=4 TB/s",
    )
    assert load_device("testchip").memory.bandwidth == 2e12


def test_overrides_are_sorted_by_the_profile_they_change() -> None:
    parts = split_overrides(
        {"tp": "4", "device": "h20", "device.memory.bandwidth": "4 TB/s", "runtime.launch": "eager"}
    )
    assert parts["scenario"] == {"tp": "4", "device": "h20"}
    assert parts["device"] == {"memory.bandwidth": "4 TB/s"}
    assert parts["runtime"] == {"launch": "eager"}
