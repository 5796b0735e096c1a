"""Properties that every device profile must keep, whatever the stack: docs/invariants.md lists them.

Shapes are drawn once per family with a fixed seed and costed in one call per device and kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from simulator.devices.kernel_cost import kernel_cost
from simulator.devices.peaks import Device, peak_flops, roofline_seconds
from simulator.economics.energy import device_energy
from simulator.ops.work import (
    Attention,
    Elementwise,
    Gather,
    GroupedMatmul,
    IndexScores,
    Matmul,
    Term,
    TopK,
    Work,
)
from simulator.profiles.ascend import Ascend
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.profiles.library import list_names, load_device, load_runtime
from simulator.profiles.tpu import Tpu
from simulator.study.kernel_choice import choose

NAMES = list_names("device")
MANY = 10_000
FEW = 120
ROUNDING = 1e-9

Fields = dict[str, np.ndarray]


# -- shapes ----------------------------------------------------------------------------------------------------------


def draw(count: int, seed: int = 7, smallest: int = 0) -> Fields:
    """``count`` log-uniform values per dimension; with ``smallest`` 0 a tenth of them are 0 or 1."""
    rng = np.random.default_rng(seed)

    def dim(high: int) -> np.ndarray:
        values = np.floor(np.exp(rng.uniform(0.0, np.log(high), count)))
        edge = rng.random(count)
        if smallest == 0:
            values = np.where(edge < 0.05, 0.0, np.where(edge < 0.1, 1.0, values))
        return np.maximum(values, smallest)

    x = {"m": dim(65536), "n": dim(32768), "k": dim(32768), "rows": dim(65536), "batch": dim(512), "keys": dim(131072)}
    x["new"], x["few"] = np.minimum(dim(16384), x["keys"]), np.minimum(dim(8), x["keys"])
    x["active"] = np.clip(dim(256), np.minimum(x["rows"], 1.0), np.maximum(x["rows"], 0.0))
    x["heads"] = np.maximum(np.floor(2.0 ** rng.uniform(0, 7, count)), 1.0)
    x["kv_heads"] = np.minimum(x["heads"], 2.0 ** np.floor(rng.uniform(0, 4, count)))
    return x


MATRIX: dict[str, Callable[[Fields], Term]] = {
    "matmul": lambda x: Matmul(x["m"], x["n"], x["k"]),
    "matmul_8bit": lambda x: Matmul(
        x["m"], x["n"], x["k"], "fp8_block", "fp8_block_weight", rate="fp8", quantizes_a=True
    ),
    "grouped_matmul": lambda x: GroupedMatmul(x["rows"], 256, x["active"], x["n"], x["k"]),
    "uneven_groups": lambda x: GroupedMatmul(
        x["rows"], 256, x["active"], x["n"], x["k"], spread=np.log2(x["kv_heads"])
    ),
    "decode": lambda x: Attention(x["batch"], x["few"], x["keys"], x["heads"], x["kv_heads"], 128, 128),
    "prefill": lambda x: Attention(x["batch"], x["new"], x["keys"], x["heads"], x["kv_heads"], 128, 128),
    "window": lambda x: Attention(x["batch"], x["new"], x["keys"], x["heads"], x["kv_heads"], 128, 128, window=128),
    "latent": lambda x: Attention(x["batch"], x["few"], x["keys"], x["heads"], 1, 576, 512, kv_shared=True),
    "selected": lambda x: Attention(
        x["batch"], x["few"], np.minimum(x["keys"], 2048), 128, 1, 576, 512, False, kv_shared=True, selected=True
    ),
    "index_scores": lambda x: IndexScores(x["batch"], x["few"], x["keys"], 64, 128),
    "index_scores_prefill": lambda x: IndexScores(x["batch"], x["new"], x["keys"], 64, 128, paged=False),
}
OTHER: dict[str, Callable[[Fields], Term]] = {
    "top_k": lambda x: TopK(x["rows"], x["keys"], 2048),
    "rmsnorm": lambda x: Elementwise("rmsnorm", x["rows"], x["n"], 2 * x["rows"] * x["n"], 2 * x["rows"] * x["n"], 4.0),
    "silu_mul": lambda x: Elementwise(
        "silu_mul", x["rows"], x["n"], 4 * x["rows"] * x["n"], 2 * x["rows"] * x["n"], 5.0, 1.0
    ),
    "gather": lambda x: Gather(x["rows"], 2.0 * x["n"]),
}
FAMILIES = MATRIX | OTHER
SEARCHED = {"matmul", "matmul_8bit", "grouped_matmul"}  # a tile search a shape: dear on Ascend, whose search is widest


# -- devices ---------------------------------------------------------------------------------------------------------


@cache
def device(name: str) -> Device:
    return load_device(name)


def kernels(term: Term, on: Device) -> Iterator[Kernel]:
    """Every different kernel that a stack of the vendor would run ``term`` with."""
    seen = []
    for name in list_names("runtime"):
        if on.vendor in load_runtime(name).vendors:
            kernel = choose(term, on, name, {}).kernel
            if (kernel.traits, kernel.values) not in seen:
                seen.append((kernel.traits, kernel.values))
                yield kernel


def reference_kernel(term: Term, on: Device) -> Kernel:
    """The kernel of the vendor's reference stack."""
    runtimes = (load_runtime(name) for name in list_names("runtime"))
    runtime = next(r.name for r in runtimes if r.reference and on.vendor in r.vendors)
    return choose(term, on, runtime, {}).kernel


def seconds(term: Term, on: Device, kernel: Kernel) -> np.ndarray:
    return np.asarray(kernel_cost(term, on, kernel).seconds, dtype=np.float64)


def first_of_architecture(name: str) -> bool:
    return name == next(n for n in NAMES if device(n).architecture == device(name).architecture)


def say(term: Term, at: int) -> str:
    """The shape at one place of an array-valued term, for failure messages."""
    fields = {name: getattr(term, name) for name in term.__dataclass_fields__}
    return ", ".join(f"{name}={np.asarray(v)[at]:g}" for name, v in fields.items() if np.ndim(v))


# -- no crash, no NaN ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_shapes_have_a_finite_cost(name: str) -> None:
    """Zero- and one-sized dimensions included. Searched products: 10,000 shapes on one device per architecture."""
    on, every = device(name), draw(MANY)
    part = {field: values[:500] for field, values in every.items()}
    for family, make in FAMILIES.items():
        term = make(every if family not in SEARCHED or first_of_architecture(name) else part)
        cost = kernel_cost(term, on, reference_kernel(term, on))
        for what, values in {"seconds": cost.seconds, **cost.busy, **cost.bytes}.items():
            array = np.asarray(values, dtype=np.float64)
            assert np.isfinite(array).all(), f"{family}: {what} of {say(term, int(np.argmin(np.isfinite(array))))}"
            assert (array >= 0).all(), f"{family}: {what} of {say(term, int(np.argmin(array)))}"


# -- roofline --------------------------------------------------------------------------------------------------------


def cache_bytes(on: Device) -> float:
    return 0.0 if isinstance(on, Tpu) else on.memory.l2_capacity


def roofline(term: Term, on: Device) -> np.ndarray:
    """max(FLOPs over peak, bytes that cannot lie in L2 over bandwidth) where there is something to compute.

    At most one L2 of what a kernel reads and writes can stay in L2; weights of a product always come from memory.
    """
    work = Work((term,))
    flops = np.asarray(work.flops(), dtype=np.float64)
    arithmetic = roofline_seconds(replace_bytes(work), on)
    moved = np.maximum(work.bytes_read() + work.bytes_written() - cache_bytes(on), weight_bytes(term))
    return np.where(flops > 0, np.maximum(arithmetic, moved / on.memory.bandwidth), 0.0)


def replace_bytes(work: Work) -> Any:
    """``work`` without its bytes: what is left of the roofline is arithmetic."""

    class Arithmetic:
        matmul_flops = staticmethod(work.matmul_flops)
        bytes_read = bytes_written = staticmethod(lambda: 0.0)

    return Arithmetic


def weight_bytes(term: Term) -> np.ndarray:
    if isinstance(term, Matmul):
        return np.asarray(term.bytes_read()) - np.asarray(replace(term, n=0 * term.n).bytes_read())
    if isinstance(term, GroupedMatmul):
        return np.asarray(term.bytes_read()) - np.asarray(replace(term, active=0 * term.active).bytes_read())
    return np.zeros(1)


@pytest.mark.parametrize("name", NAMES)
def test_no_kernel_beats_the_roofline(name: str) -> None:
    on, shapes = device(name), draw(FEW)
    for family, make in MATRIX.items():
        term = make(shapes)
        least = roofline(term, on)
        for kernel in kernels(term, on):
            spare = seconds(term, on, kernel) - least * (1 - ROUNDING)
            assert (spare >= 0).all(), f"{kernel.runtime} {family}: {say(term, int(np.argmin(spare)))}"


# -- more hardware ---------------------------------------------------------------------------------------------------


RESOURCES: dict[type, str] = {
    Gpu: "memory.bandwidth memory.l2_capacity core.sms core.tensor_flop_per_clk core.vector_flop_per_clk "
    "core.exp_per_clk core.max_clock core.tensor_clock core.max_clock+core.tensor_clock",
    Tpu: "memory.bandwidth core.peak core.vector_op_per_clk core.clock",
    Ascend: "memory.bandwidth memory.l2_capacity memory.l2_read memory.l2_write core.cube_flop_per_clk "
    "core.vector_op_per_clk core.clock core.aic+core.aiv",
}
"""What may grow. Cube and vector cores of an Ascend come in fixed groups, so they grow together."""


def with_more(on: Device, path: str, factor: float) -> Device:
    room, _, name = path.partition(".")
    part: Any = getattr(on, room)
    old = getattr(part, name)
    new = {k: v * factor for k, v in old.items()} if hasattr(old, "items") else old * factor
    return replace(on, **{room: replace(part, **{name: new})})


def better(on: Device, factor: float) -> Iterator[tuple[str, Device]]:
    """``on`` with one of its resources enlarged; cores by whole ones (Ascend: by whole groups)."""
    for resource in RESOURCES[type(on)].split():
        enlarged, ratio = on, factor
        if "aic" in resource or "sms" in resource:
            count = on.core.aic if isinstance(on, Ascend) else on.core.sms
            ratio = np.ceil(count * factor) / count
        for path in resource.split("+"):
            enlarged = with_more(enlarged, path, ratio)
        yield resource, enlarged


# More SMs keep more blocks of the contiguous indexer in flight, whose keys then outgrow L2 together and are read again.
THRASHES = {("index_scores_prefill", "core.sms")}


@pytest.mark.parametrize("name", NAMES)
def test_more_bandwidth_flops_or_cores_are_never_slower(name: str) -> None:
    on, shapes = device(name), draw(FEW, seed=11)
    for family, make in FAMILIES.items():
        term = make(shapes)
        kernel = reference_kernel(term, on)
        before = seconds(term, on, kernel)
        for factor in (1.1, 2.0):
            for what, enlarged in better(on, factor):
                if (family, what) not in THRASHES:
                    slower = seconds(term, enlarged, kernel) - before * (1 + ROUNDING)
                    assert (slower <= 0).all(), f"{family}, {what} x {factor}: {say(term, int(np.argmax(slower)))}"


# -- more work -------------------------------------------------------------------------------------------------------

# (family, dimensions that grow together, tolerance). A longer context is a longer cache, with the same new tokens.
GROWTH = (
    ("matmul", ("m",), 0.0),
    ("matmul", ("n",), 0.0),
    ("matmul", ("k",), 0.0),
    ("matmul_8bit", ("m",), 0.0),
    ("matmul_8bit", ("n",), 0.0),
    ("matmul_8bit", ("k",), 0.0),
    ("grouped_matmul", ("rows",), 0.08),  # ragged groups: one row block more, each with fewer rows
    ("grouped_matmul", ("n",), 0.0),
    ("grouped_matmul", ("k",), 0.0),
    ("decode", ("batch",), 0.0),
    ("decode", ("keys",), 0.0),
    ("prefill", ("batch",), 0.0),
    ("prefill", ("keys",), 0.0),
    ("prefill", ("new", "keys"), 0.05),  # Ascend: a query block more, each with fewer rows
    ("window", ("keys",), 0.25),  # a window that starts inside a key tile touches one tile more
    ("latent", ("batch",), 0.0),
    ("latent", ("keys",), 0.0),
    ("selected", ("batch",), 0.0),
    ("selected", ("keys",), 0.0),
    ("index_scores", ("batch",), 0.0),
    ("index_scores", ("keys",), 0.0),
    ("top_k", ("rows",), 0.0),
    ("top_k", ("keys",), 0.0),
    ("rmsnorm", ("rows",), 0.0),
    ("rmsnorm", ("n",), 0.0),
    ("silu_mul", ("rows",), 0.0),
    ("silu_mul", ("n",), 0.0),
    ("gather", ("rows",), 0.0),
    ("gather", ("n",), 0.0),
)
ALIGNED = 512  # elements; Ascend reads rows that are no multiple of 512 bytes more slowly, so only aligned ones compare


def aligned(shapes: Fields) -> Fields:
    """Products with n and k in whole 512-byte rows, prefills longer than the few tokens that kernels treat as decode."""
    whole = {d: np.ceil(shapes[d] / ALIGNED) * ALIGNED for d in ("n", "k")}
    new = np.maximum(shapes["new"], 32.0)
    return shapes | whole | {"new": new, "keys": np.maximum(shapes["keys"], new)}


@pytest.mark.parametrize("name", NAMES)
def test_more_work_is_never_faster_than_the_stated_step(name: str) -> None:
    on, shapes = device(name), aligned(draw(FEW, seed=13, smallest=1))
    factor = np.random.default_rng(17).uniform(1.0, 2.0, FEW)
    for family, dims, tolerance in GROWTH:
        term = FAMILIES[family](shapes)
        kernel = reference_kernel(term, on)
        added = np.maximum(np.ceil(shapes[dims[0]] * (factor - 1.0) / ALIGNED) * ALIGNED, 1.0)
        if family not in ("matmul", "matmul_8bit", "grouped_matmul") or dims[0] not in ("n", "k"):
            added = np.ceil(shapes[dims[0]] * (factor - 1.0))
        grown = FAMILIES[family](shapes | {d: shapes[d] + added for d in dims})
        spare = seconds(grown, on, kernel) / seconds(term, on, kernel) - (1 - tolerance)
        assert (spare >= -ROUNDING).all(), f"{family}, more {dims}: {say(term, int(np.argmin(spare)))}"


# -- energy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_energy_splits_into_its_causes_and_keeps_the_power_limit(name: str) -> None:
    on = device(name)
    rng = np.random.default_rng(5)
    span = 10.0 ** rng.uniform(-6, 1, MANY)
    busy, utilised = span * rng.uniform(0, 1.2, MANY), rng.uniform(0, 1.5, MANY)
    peaks = peak_flops(on)
    flops = {rate: utilised / len(peaks) * span * peak for rate, peak in peaks.items()}
    moved = rng.uniform(0, 1.5, MANY) * span * on.memory.bandwidth
    energy = device_energy(on.power, span, busy, moved, on.memory.bandwidth, flops, peaks)
    parts = list(energy.split().values())
    assert all((np.asarray(p) >= 0).all() for p in parts)
    np.testing.assert_allclose(sum(parts), energy.total, rtol=1e-12)
    assert (energy.total <= on.power.tdp * span * (1 + ROUNDING)).all()
    assert (energy.total >= on.power.idle * span * (1 - ROUNDING)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_shapes_cost_the_same_in_any_company(name: str) -> None:
    """A scenario's cost does not depend on its neighbours in the array, nor on how often it occurs there."""
    on, shapes = device(name), draw(FEW, seed=19)
    for make in FAMILIES.values():
        term = make(shapes)
        kernel = reference_kernel(term, on)
        together = seconds(term, on, kernel)
        again = make({d: np.tile(v, 3) for d, v in shapes.items()})
        np.testing.assert_array_equal(seconds(again, on, kernel), np.tile(together, 3))
        np.testing.assert_array_equal(seconds(make({d: v[:1] for d, v in shapes.items()}), on, kernel), together[:1])
