"""Power of one device: what it draws idle, while a kernel runs, and per unit of HBM and matrix activity.

P = idle + (tdp - idle) (active_share busy + memory_share u_hbm + matrix_share u_matrix), at most limit_share tdp.
u = achieved rate over datasheet peak. Utilisation-relative shares carry over between devices of one vendor, joules per
bit do not; memory_share (tdp - idle) / bandwidth is the J/B, matrix_share (tdp - idle) / peak the J/FLOP of a rate
class.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.profiles.fields import Ratio, Watts


@dataclass(frozen=True, slots=True)
class Power:
    """tdp: board (die, chip) power limit. idle: draw with no kernel running. Shares as in the module text."""

    tdp: Watts
    idle: Watts
    active_share: Ratio
    memory_share: Ratio
    matrix_share: Ratio
    limit_share: Ratio
