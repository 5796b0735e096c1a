"""Kernel tables: matching, architecture overrides, stand-ins for unknown stacks, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.profiles import NoKernelError, ProfileError, kernel_file, load_kernels, load_runtime
from simulator.profiles.check import check, check_file
from simulator.profiles.kernels import canonical_runtime, families

GEMM = """\
sources: {fit: a fit}
kernels:
  - match: {dtype: [bfloat16, fp16], kernel: "torch_*", tp: 8}
    traits: {split_k: true}
    values: {launch_floor: {value: 2.6 us, kind: calibrated, source: fit, rows: 120}}
    architectures: {blackwell: {values: {launch_floor: {value: 1.9 us, kind: calibrated, source: fit}}}}
  - match: {dtype: fp8}
    values:
      launch_floor: {value: 3 us, kind: calibrated, source: fit}
      share: {value: "0.5", kind: estimated, source: fit}
"""


@pytest.fixture
def stack(own: Path) -> Path:
    """A user's own runtime with one family file."""
    folder = own / "workloads" / "runtimes" / "mystack"
    folder.mkdir(parents=True)
    (folder / "testfamily.yaml").write_text(GEMM)
    (folder / "runtime.yaml").write_text("vendors: [nvidia]\naliases: [my-other-stack]\nclosest: [vllm]\n")
    return folder


def test_the_first_kernel_that_matches_wins(stack: Path) -> None:
    table = load_kernels("mystack", "testfamily")
    torch = table.select("hopper", dtype="fp16", kernel="torch_flow", tp=8.0, layout="ignored")
    assert torch.values == {"launch_floor": 2.6e-6}
    assert torch.traits == {"split_k": True}
    assert table.select("blackwell", dtype="fp16", kernel="torch_flow", tp=8).values == {"launch_floor": 1.9e-6}
    assert table.select("hopper", dtype="fp8").values == {"launch_floor": 3e-6, "share": 0.5}


def test_overrides_of_kin_hold_until_a_nearer_one_replaces_them(stack: Path) -> None:
    value = "{{value: {} us, kind: calibrated, source: fit}}".format
    (stack / "kin.yaml").write_text(
        "sources: {fit: a fit}\n"
        "kernels:\n"
        f"  - values: {{launch_floor: {value(9)}, block_fixed: {value(9)}, side: {value(9)}}}\n"
        "    architectures:\n"
        f"      ampere: {{traits: {{max_splits: 1}}, values: {{launch_floor: {value(3)}, block_fixed: {value(3)}}}}}\n"
        f"      ada: {{values: {{launch_floor: {value(2)}}}}}\n"
        "      blackwell_rtx: {traits: {max_splits: 64}}\n"
    )
    table = load_kernels("mystack", "kin")
    assert table.select("hopper").values == pytest.approx({"launch_floor": 9e-6, "block_fixed": 9e-6, "side": 9e-6})
    ada, rtx = table.select("ada"), table.select("blackwell_rtx")
    assert ada.values == rtx.values == pytest.approx({"launch_floor": 2e-6, "block_fixed": 3e-6, "side": 9e-6})
    assert ada.traits == {"max_splits": 1}
    assert rtx.traits == {"max_splits": 64}


def test_a_fact_that_is_not_given_does_not_match(stack: Path) -> None:
    table = load_kernels("mystack", "testfamily")
    with pytest.raises(NoKernelError, match="no testfamily kernel serves these facts"):
        table.select("hopper", dtype="fp16", kernel=None)


def test_versions_and_aliases_name_the_same_stack(stack: Path) -> None:
    assert canonical_runtime("MyStack-1.2.0rc3") == "mystack"
    assert canonical_runtime("my_other_stack v0.1") == "mystack"
    assert canonical_runtime("trtllm-1.3.0rc20") == canonical_runtime("TensorRT-LLM") == "trtllm"


def test_an_unknown_stack_is_replaced_and_says_so(stack: Path) -> None:
    kernel = load_kernels("nobodys-engine", "testfamily").select("hopper", dtype="fp8")
    assert kernel.runtime == "mystack"
    assert kernel.substituted_for == "nobodys-engine"
    assert load_kernels("mystack-2.0", "testfamily").substituted_for == ""


def test_a_missing_family_comes_from_the_closest_stack(stack: Path) -> None:
    vllm_families = families("vllm")
    if not vllm_families:
        pytest.skip("the bundled vllm runtime has no kernel families")
    table = load_kernels("mystack", vllm_families[0])
    assert (table.runtime, table.substituted_for) == ("vllm", "mystack")


def test_a_stack_of_another_vendor_does_not_stand_in(stack: Path) -> None:
    with pytest.raises(NoKernelError, match="on google devices"):
        load_kernels("nobodys-engine", "testfamily", vendor="google")


def test_an_unknown_family_lists_the_known(stack: Path) -> None:
    with pytest.raises(ProfileError, match="did you mean 'testfamily'"):
        load_kernels("mystack", "testfamly")
    with pytest.raises(ProfileError):
        load_kernels("mystack", "../testfamily")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "values: {launch_floor: {value: 2.6 us, kind: calibrated, source: fit, rows: 120}}",
            "values: {a: 2.6 us}",
            ":5: ",
        ),
        ("2.6 us", "2.6 parsec", "unknown unit 'parsec'"),
        ("2.6 us", "-2.6 us", "negative; only values called *_offset may be"),
        ("  - match: {dtype: fp8}", "  - macht: {dtype: fp8}", "did you mean 'match'?"),
        ("kernels:", "kernel:", "did you mean 'kernels'?"),
        ("kind: estimated, source: fit}", "kind: estimated, source: fitt}", "unknown source"),
        ("traits: {split_k: true}", "traits: [split_k]", "a mapping is expected (given a list)"),
    ],
)
def test_a_bad_kernel_file_names_the_line(stack: Path, old: str, new: str, says: str) -> None:
    path = stack / "testfamily.yaml"
    assert old in GEMM
    path.write_text(GEMM.replace(old, new, 1))
    assert any(says in str(f) and str(f).startswith(str(path)) for f in check_file(path)), check_file(path)
    with pytest.raises(ProfileError) as error:
        load_kernels("mystack", "testfamily")
    assert not isinstance(error.value, NoKernelError)


def test_more_than_eight_values_are_refused(stack: Path) -> None:
    many = ", ".join(f"v{i}: {{value: {i} us, kind: calibrated, source: fit}}" for i in range(9))
    (stack / "testfamily.yaml").write_text(f"sources: {{fit: f}}\nkernels:\n  - values: {{{many}}}\n")
    with pytest.raises(ProfileError, match=r"too many values \(given 9; allowed at most 8\)"):
        load_kernels("mystack", "testfamily")


def test_the_serving_stacks_state_their_host_costs() -> None:
    for name in ("vllm", "sglang", "trtllm", "jax", "cann"):
        runtime = load_runtime(name)
        assert runtime.host is not None
        assert 0 < runtime.host.sequence < runtime.host.step < 5e-3


def test_a_table_knows_the_place_of_its_figures(stack: Path) -> None:
    figure = load_kernels("mystack", "testfamily").figures()["kernels.0.values.launch_floor"]
    assert (figure.line, figure.rows, figure.citation) == (5, 120, "a fit")


def test_a_value_measures_the_same_in_every_stack(stack: Path) -> None:
    other = stack.parent / "otherstack"
    other.mkdir()
    (other / "testfamily.yaml").write_text(GEMM.replace("3 us", "3 GB"))
    (fault,) = check_file(other / "testfamily.yaml")
    assert "no runtime.yaml beside it" in fault.message
    (other / "runtime.yaml").write_text("vendors: [nvidia]\n")
    (fault,) = check([stack.parent])
    assert fault.field == "kernels.1.values.launch_floor"
    assert "wrong dimension: launch_floor is in" in fault.message


def test_a_runtime_answers_to_its_other_names(stack: Path) -> None:
    assert load_runtime("My-Other-Stack").name == "mystack"
    assert load_runtime("TensorRT-LLM").name == "trtllm"
    with pytest.raises(ProfileError, match="unknown runtime 'vlm', did you mean 'vllm'"):
        load_runtime("vlm")


SHARED = """\
sources: {fit: a fit}
shared:
  node: {value: 2 us, kind: calibrated, source: fit, rows: 7}
kernels:
  - match: {dtype: fp8}
    values: {launch_floor: node}
    architectures: {blackwell: {values: {quantize_start: node}}}
  - values: {launch_floor: node, share: {value: "0.5", kind: estimated, source: fit}}
"""


def test_kernels_may_name_one_shared_figure(stack: Path) -> None:
    path = stack / "testfamily.yaml"
    path.write_text(SHARED)
    table = load_kernels("mystack", "testfamily")
    assert table.select("hopper", dtype="fp8").values == {"launch_floor": 2e-6}
    assert table.select("blackwell", dtype="fp8").values == {"launch_floor": 2e-6, "quantize_start": 2e-6}
    assert table.select("hopper", dtype="bf16").values == {"launch_floor": 2e-6, "share": 0.5}
    assert {f.line for at, f in table.figures().items() if "share" not in at.rpartition(".")[2]} == {3}
    assert set(kernel_file.written_in(path)) == {"shared.node", "kernels.1.values.share"}


def test_a_shared_figure_that_is_not_there_is_named(stack: Path) -> None:
    path = stack / "testfamily.yaml"
    path.write_text(SHARED.replace("launch_floor: node,", "launch_floor: nodes,"))
    faults = [f for f in check_file(path) if "no shared figure" in f.message]
    assert [f.line for f in faults] == [8]
    assert "node" in faults[0].allowed


def library(stack: Path, text: str) -> None:
    """A kernel library "lib" beside the stack."""
    folder = stack.parent.parent / "kernel_libraries"
    folder.mkdir(exist_ok=True)
    (folder / "lib.yaml").write_text(text)


LIBRARY = "sources: {fit: a fit}\ntestfamily:\n  step: {value: 3 us, kind: calibrated, source: fit, rows: 9}\n"


def test_kernels_may_run_with_a_value_of_a_library(stack: Path) -> None:
    library(stack, LIBRARY)
    path = stack / "testfamily.yaml"
    path.write_text(SHARED.replace("quantize_start: node", "quantize_start: lib.testfamily.step"))
    table = load_kernels("mystack", "testfamily")
    assert table.select("blackwell", dtype="fp8").values == pytest.approx(
        {"launch_floor": 2e-6, "quantize_start": 3e-6}
    )
    assert set(kernel_file.written_in(path)) == {"shared.node", "kernels.1.values.share"}
    library(stack, LIBRARY.replace("3 us", "4 us"))
    assert load_kernels("mystack", "testfamily").select("blackwell", dtype="fp8").values["quantize_start"] == 4e-6
    assert not check([stack.parents[1]])


@pytest.mark.parametrize(
    ("reference", "allowed"), [("lib.testfamily.stop", "lib.testfamily.step"), ("lab.testfamily.step", "lib")]
)
def test_a_value_that_no_library_has_is_named(stack: Path, reference: str, allowed: str) -> None:
    library(stack, LIBRARY)
    path = stack / "testfamily.yaml"
    path.write_text(SHARED.replace("quantize_start: node", f"quantize_start: {reference}"))
    (fault,) = check_file(path)
    assert (fault.message, fault.line) == ("no kernel library has this figure", 7)
    assert allowed in fault.allowed


def test_a_library_holds_figures_only(stack: Path) -> None:
    library(stack, LIBRARY + "  stop: 4 us\nother: 3\n")
    faults = check_file(stack.parent.parent / "kernel_libraries" / "lib.yaml")
    assert {f.field for f in faults} == {"testfamily.stop", "other"}
