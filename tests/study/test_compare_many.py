"""Many devices are dealt to the cores: each gets the row it gets alone."""

from __future__ import annotations

from simulator.study.compare import FEW, compare

MANY = ("h200-sxm", "b200-sxm", "tpu-v7x", "ascend-910c", "gb200", "h100-sxm")


def test_rows_are_those_of_each_device_alone() -> None:
    assert len(MANY) >= 2 * FEW
    together = {row["device"]: row for row in compare("deepseek-v3.2-chat", MANY).rows}
    for device in MANY[:3]:
        (alone,) = compare("deepseek-v3.2-chat", [device]).rows
        assert together[device] == alone
