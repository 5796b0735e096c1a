"""One-sided transfers between two endpoints, cut into blocks: issue cost against the rate of the route.

t = blocks pn(issue, block / rate). The rate belongs to the route (endpoint memories, transport, direction) and is
hardware data; the issue cost belongs to the software path. Blocks posted ahead take the longer of the two. Source:
two-parameter (alpha-beta) link model with partial overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simulator.devices.overlap import partly_overlapped
from simulator.ops.tensor import Number
from simulator.profiles.system import System

# Directions name the two endpoints: D device memory, H host memory, r = on the remote side.
LOCAL_HOST = ("H2rD", "H2rH", "rD2H", "rH2H")
ANY = "any"
POSTED_AHEAD = float("inf")  # overlap exponent: the longer of both


@dataclass(frozen=True, slots=True)
class Route:
    """A route and its rate. known: measured on this system (else the port rate stands in)."""

    rate: float
    direction: str
    known: bool

    @property
    def local_host(self) -> bool:
        """Whether the local endpoint is host memory."""
        return self.direction in LOCAL_HOST


def route_of(system: System, scope: str, transport: str, direction: str) -> Route:
    """The route's rate: measured for its scope, for any scope, for the same way between devices, else the port rate."""
    same_way = "rD2D" if direction.startswith("r") else "D2rD"
    for name in (direction, same_way):
        for reach in (scope, ANY):
            rate = system.routes.get(f"{reach}/{transport}/{name}")
            if rate is not None:
                return Route(rate, direction, name == direction)
    wanted = transport.lower()
    by_name = [tier.per_link or tier.bandwidth for name, tier in system.levels if name == wanted]
    tier = system.scale_out if scope == "cross-node" else system.scale_up
    return Route(by_name[0] if by_name else tier.bandwidth, direction, False)


def transfer_seconds(block: Number, total: Number, route: Route, values: Mapping[str, float]) -> Number:
    """Time to move ``total`` bytes in blocks of ``block`` bytes.

    values: issue (seconds per block), local_host (its factor when the local endpoint is host memory, 1 unless given),
    overlap (posted ahead unless given).
    """
    issue = values["issue"] * (values.get("local_host", 1.0) if route.local_host else 1.0)
    overlap = max(1.0, values.get("overlap", POSTED_AHEAD))
    blocks = np.maximum(1.0, np.asarray(total, dtype=np.float64) / np.asarray(block, dtype=np.float64))
    one = partly_overlapped(issue, np.asarray(block, dtype=np.float64) / route.rate, overlap)
    return blocks * one
