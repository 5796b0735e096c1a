"""How micro-batches fill a pipeline of stages, and what a whole training step takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a training job on ``devices`` devices.

    sequences: per step. micro_batch: sequences a pipeline handles at once. virtual_stages: model chunks a stage holds
    (interleaved schedule). ValueError: the sizes do not divide.
    """

    devices: int
    sequences: int
    micro_batch: int
    seq_len: int
    tp: int = 1
    pp: int = 1
    cp: int = 1
    virtual_stages: int = 1

    def __post_init__(self) -> None:
        ranks = self.tp * self.pp * self.cp
        if self.devices % ranks:
            raise ValueError(f"tp x pp x cp = {ranks} must divide the {self.devices} devices")

    @property
    def replicas(self) -> int:
        """Data-parallel replicas."""
        return self.devices // (self.tp * self.pp * self.cp)

    @property
    def micro_batches(self) -> float:
        """Micro-batches one pipeline runs in a step."""
        return max(self.sequences / (self.replicas * self.micro_batch), 1.0)

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return self.sequences * self.seq_len


def pipeline_seconds(plan: Plan, micro_batch_seconds: float) -> float:
    """Seconds of all micro-batches, filling and draining included.

    micro_batch_seconds: forward and backward of one micro-batch through the whole model on one pipeline. With m micro-batches, p
    stages and v chunks a stage: (m + (p - 1) / v) micro_batch_seconds / p.
    Source: Narayanan et al., Efficient large-scale language model training on GPU clusters (arXiv 2104.04473), section 2.2.
    """
    bubble = (plan.pp - 1) / plan.virtual_stages
    return (plan.micro_batches + bubble) * micro_batch_seconds / plan.pp


def optimizer_seconds(parameters: float, bandwidth: float, bytes_per_parameter: float = 26.0) -> float:
    """Adam on the ``parameters`` a rank updates: gradient read, two moments and the fp32 master copy read and written, weight out.

    Source: mixed-precision Adam: 4 read + 3 x (4 + 4) moments and master + 2 written, less what fuses = 26 B a parameter.
    """
    return parameters * bytes_per_parameter / bandwidth


def gradient_seconds(gradient_bytes: float, replicas: int, bandwidth: float) -> float:
    """Reduce-scatter of gradients and all-gather of weights over ``replicas`` ranks at ``bandwidth`` bytes per second a rank."""
    if replicas <= 1:
        return 0.0
    return 2.0 * gradient_bytes * (replicas - 1) / replicas / bandwidth
