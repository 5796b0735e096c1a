"""What a placement of experts means: the load of each rank."""

from __future__ import annotations

from simulator.models.expert_placement import Floats, Slots, slot_loads


def rank_loads(loads: Floats, placement: Slots, ranks: int) -> Floats:
    """Load of every rank: equal shares of the slots, each with its part of an expert's load."""
    return slot_loads(loads, placement).reshape(ranks, -1).sum(axis=1)
