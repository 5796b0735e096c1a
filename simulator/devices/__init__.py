"""Devices: core models of each maker, memory and power; work terms in, Cost out, arrays all the way."""
