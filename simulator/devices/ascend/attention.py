"""Softmax attention on an Ascend device: tasks of query rows against key blocks on a cube core and its vector cores.

A task multiplies queries with keys on the cube, hands the scores to the vector cores for the softmax, and takes the
probabilities back for the second product. Without a direct path every hand-over goes through an L2 workspace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.cost import Cost
from simulator.ops.work import Attention
from simulator.profiles.ascend import Ascend
from simulator.profiles.dtypes import format_of
from simulator.profiles.kernels import Kernel

QUERY_BLOCK = 128  # query rows of a prefill task
POSITIONS = 128  # sampled query blocks of a causal sweep
SCORE_BYTES, PROBABILITY_BYTES = 4.0, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """Equal tasks of a kernel, arrays over the rows of a table.

    count: tasks. rows: query rows of one task. keys: keys of one task in whole blocks (mean over the causal sweep).
    blocks: key blocks. splittable: True where a task may be spread over idle cores along its keys.
    """

    count: np.ndarray
    rows: np.ndarray
    keys: np.ndarray
    blocks: np.ndarray
    splittable: np.ndarray


def tasks_of(term: Attention, kernel: Kernel) -> Tasks:
    """How the kernel cuts the work: traits merge_tokens, merge_rows, row_block and key_block."""
    fields = (term.batch, term.q_len, term.kv_len, term.heads, term.kv_heads, term.window)
    batch, q, kv, heads, kv_heads, window = np.broadcast_arrays(*(hw.array(x) for x in fields))
    group = heads / np.maximum(kv_heads, 1.0)
    block = float(kernel.traits.get("key_block", 128))
    merged = q <= float(kernel.traits.get("merge_tokens", 1))
    limit = float(kernel.traits.get("merge_rows", 0))
    if limit:  # tokens of one request packed with all their heads, up to ``limit`` rows
        tokens = np.maximum(1.0, np.floor(limit / np.maximum(group, 1.0)))
        tokens = np.minimum(tokens, np.maximum(q, 1.0))
        count = batch * kv_heads * np.ceil(q / tokens)
        rows = group * tokens
        span = tokens
    else:
        tokens = np.minimum(q, QUERY_BLOCK)
        count = np.where(merged, batch * kv_heads, batch * heads * np.ceil(q / QUERY_BLOCK))
        rows = np.where(merged, group * q, tokens)
        span = np.where(merged, q, tokens)
    least = float(kernel.traits.get("row_block", 1))
    rows = np.ceil(rows / least) * least
    keys = _visible(q, kv, window, span, block, bool(term.causal) and not term.selected)
    alone = (q <= 1) & (not limit)
    return Tasks(count, rows, keys, np.ceil(keys / block), alone)


def _visible(
    q: np.ndarray, kv: np.ndarray, window: np.ndarray, span: np.ndarray, block: float, causal: bool
) -> np.ndarray:
    """Keys of a task in whole blocks, averaged over the query blocks of a causal sweep."""
    capped = np.where(window > 0, np.minimum(kv, window + span), kv)
    whole = np.ceil(capped / hw.CUBE_SIDE) * hw.CUBE_SIDE  # the last block is cut to what there is
    if not causal:
        return np.asarray(whole)
    blocks = np.maximum(np.ceil(q / np.maximum(span, 1.0)), 1.0)
    position = np.floor((np.arange(POSITIONS)[:, None] + 0.5) / POSITIONS * blocks.ravel()).reshape(-1, *q.shape)
    last = np.minimum(kv - q + np.minimum((position + 1.0) * span, q), capped)
    return np.asarray(np.clip(np.ceil(last / block) * block, 0.0, whole).mean(0))


def attention_cost(term: Attention, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of an attention kernel.

    T = start + max(rounds task, HBM) + serial min(...). task = hand-over + longest stage + serial x the other stages.
    Kernel values: extra_start, task_start, score_ops, mask_ops (on top, causal), rescale_ops, serial_stages, workspace,
    stream_share (of the HBM rate), refined (score instructions left by each refinement beyond the second; trait
    refinement counts them).
    """
    e, values = device.efficiencies, kernel.values
    t = tasks_of(term, kernel)
    cores = float(kernel.traits.get("cube_cores", device.core.aic))
    stages = _stages(term, t, device, kernel)
    serial = values.get("serial_stages", e.serial_stages)
    total = sum(stages.values(), start=np.zeros_like(t.rows))
    longest = np.maximum.reduce(list(stages.values()))
    task = e.task_start + values.get("task_start", 0.0) + longest + serial * (total - longest)
    rounds = np.where(t.splittable & (t.count < cores), t.count / cores, np.ceil(t.count / cores))
    moved = np.asarray(term.kv_bytes() + term.bytes_written() + (term.bytes_read() - term.kv_bytes()), dtype=np.float64)
    hbm = moved / (hw.hbm_rate(device) * values.get("stream_share", 1.0))
    core = rounds * task
    begin = e.attention_start + values.get("extra_start", 0.0)
    seconds = begin + np.maximum(core, hbm) + serial * np.minimum(core, hbm)
    busy = {name: rounds * s for name, s in stages.items()} | {"hbm": hbm, "launch": begin + rounds * e.task_start}
    return Cost(np.where(t.count > 0, seconds, begin), busy, {"hbm": moved})


def _stages(term: Attention, t: Tasks, device: Ascend, kernel: Kernel) -> dict[str, np.ndarray]:
    """Seconds of one task's stages: cube, vector, operand load (mte2) and workspace trip (l2)."""
    e, values, f = device.efficiencies, kernel.values, device.core.clock
    qk, v = hw.array(term.qk_dim), hw.array(term.v_dim)
    rows16 = np.ceil(t.rows / hw.CUBE_SIDE) * hw.CUBE_SIDE
    cube = 2.0 * rows16 * t.keys * (qk + v) * hw.cube_seconds_per_flop(device, term.rate)
    vectors = device.core.aiv / device.core.aic
    lanes = device.core.vector_op_per_clk * vectors * f
    masked = values.get("mask_ops", 0.0) if term.causal else 0.0
    # a kernel published at several steps of refinement needs a fixed share of the instructions after each
    refined = values.get("refined", 1.0) ** max(float(kernel.traits.get("refinement", 0)) - 2.0, 0.0)
    scores = t.rows * t.keys * (values.get("score_ops", e.score_ops) * refined + masked * (hw.array(term.q_len) > 1))
    rescale = t.blocks * t.rows * v * values.get("rescale_ops", e.rescale_ops)
    width = qk + (0.0 if term.kv_shared else v)
    load = t.keys * width * format_of(term.kv_dtype).bytes / hw.stream_rate(device)
    read, write = device.memory.l2_read * f, device.memory.l2_write * f
    there_and_back = t.rows * t.keys * (SCORE_BYTES + PROBABILITY_BYTES) + t.blocks * t.rows * v * SCORE_BYTES
    share = values.get("workspace", e.workspace)
    trip = share * there_and_back * (1.0 / read + 1.0 / write) / e.l2_stream
    return {"cube": cube, "vector": (scores + rescale) / lanes, "mte2": load, "l2": np.asarray(trip)}
