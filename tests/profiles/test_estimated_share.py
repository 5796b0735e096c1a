"""How much of each device rests on estimates: listed, bounded where measurements exist, and shown by ``compare``."""

from __future__ import annotations

import json

from simulator.profiles import list_names, load_device
from simulator.profiles.check import provenance
from simulator.profiles.error_bands import load_error_bands
from tests.cli.command import silicast

MOST_OF_A_MEASURED_DEVICE = 0.40
MOST_OF_ANY_DEVICE = 0.90


def listing() -> dict[str, tuple[int, int]]:
    """Device -> (estimated figures, all figures)."""
    found = provenance(list_names("device"))
    return {p.name: (p.counts["estimated"], sum(p.counts.values())) for p in found}


def test_every_device_lists_its_share_of_estimates() -> None:
    shares = listing()
    assert set(shares) == set(list_names("device"))
    measured = load_error_bands().measured_devices
    for device, (estimated, figures) in shares.items():
        most = MOST_OF_A_MEASURED_DEVICE if device in measured else MOST_OF_ANY_DEVICE
        table = "\n".join(f"{d:16s} {e:3d} of {n:3d} = {e / n:4.0%}" for d, (e, n) in sorted(shares.items()))
        assert figures >= 15, device
        assert estimated <= most * figures, f"{device} rests on too many estimates\n{table}"


def test_announced_parts_are_marked() -> None:
    shares = listing()
    for device in ("rubin-r200", "tpu-8t", "tpu-8i", "ascend-960"):
        estimated, figures = shares[device]
        assert estimated >= 0.2 * figures, device
        assert load_device(device).name == device


def test_compare_shows_the_share() -> None:
    outcome = silicast("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm,rubin-r200", "--format", "json")
    share = {r["device"]: r["estimated_share_pct"] for r in json.loads(outcome.stdout)["rows"]}
    assert 0 < share["h200-sxm"] < 20 < share["rubin-r200"] <= 100
    assert "est." in silicast("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm").stdout
