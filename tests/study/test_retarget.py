"""The fewest devices that hold a model: one search for ``run`` and ``compare``."""

from __future__ import annotations

import pytest

from simulator.profiles import ProfileError, load_scenario
from simulator.study.deployment import assemble, deploy
from simulator.study.memory_use import fits
from simulator.study.retarget import first_deployment, place, smallest_deployment
from simulator.study.simulate import require_fit, simulate_deployment

NO_OVERRIDES: dict[str, dict[str, str]] = {}


@pytest.mark.parametrize(
    ("device", "fewest"), [("h100-sxm", 16), ("h200-sxm", 8), ("tpu-v5e", 128), ("ascend-910c", 32)]
)
def test_fewest_devices_for_deepseek_chat(device: str, fewest: int) -> None:
    """V3.2 with 256 requests of 4.6K: 16 of 80 GB, 8 of 141 GB; half as many hold it in no layout that is tried."""
    base = load_scenario("deepseek-v3.2-chat")
    found, _asked = place(base, device, NO_OVERRIDES)
    assert found.num_devices == fewest
    assert fits(found)
    first = first_deployment(base, device, NO_OVERRIDES)
    assert smallest_deployment(first).num_devices == fewest  # type: ignore[union-attr]
    assert fits(first) == (first.num_devices == fewest)


def test_run_advises_the_number_that_compare_uses() -> None:
    """Decode asks for more than prefill; the advice is for both."""
    first = first_deployment(load_scenario("deepseek-v3.2-chat"), "ascend-910c", NO_OVERRIDES)
    result = simulate_deployment(first)
    assert result.smallest_num_devices == 32
    with pytest.raises(ProfileError, match="it fits from 32 devices on"):
        require_fit(result)


def test_what_no_system_holds_has_no_fewest() -> None:
    tiny = deploy("deepseek-v3.2-chat", {"device.memory.capacity": "1 GB"})
    assert smallest_deployment(tiny) is None
    assert simulate_deployment(tiny).smallest_num_devices is None


def test_changes_of_a_profile_hold_on_larger_slices() -> None:
    base = load_scenario("deepseek-v3.2-chat")
    found, _ = place(base, "tpu-v5e", {"system": {"tiers.dcn.latency": "77 us"}})
    assert found.system.name != first_deployment(base, "tpu-v5e", NO_OVERRIDES).system.name
    assert found.system.tiers["dcn"].latency == pytest.approx(77e-6)
    assert assemble(found.scenario).system.tiers["dcn"].latency != found.system.tiers["dcn"].latency
