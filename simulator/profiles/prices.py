"""Price list: USD per device-hour on one stated basis, and the power and carbon terms that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.profiles.errors import fail, nearest
from simulator.profiles.fields import GramsPerKwh, Ratio, UsdPerHour, UsdPerKwh


@dataclass(frozen=True, slots=True)
class Prices:
    """Rates of one basis (on demand, three-year rental, ownership ...).

    basis: what the rates are, in words. date: of the newest source. includes_power: the rate already pays for
    electricity and cooling. devices: canonical device name -> rate of one device. electricity, pue, carbon: of the
    site, where stated.
    """

    name: str
    basis: str
    date: str
    includes_power: bool
    devices: Mapping[str, UsdPerHour]
    electricity: UsdPerKwh | None = None
    pue: Ratio | None = None
    carbon: GramsPerKwh | None = None
    description: str = ""

    def rate(self, device: str) -> float:
        """USD per hour of one ``device``. ProfileError if this list has no price for it."""
        if device not in self.devices:
            close = nearest(device, self.devices)
            message = f"no price for {device!r}" + (f", {close}" if close else "")
            raise fail(f"prices {self.name}", 0, "devices", message, allowed=", ".join(self.devices))
        return self.devices[device]
