"""Calibration: fits of efficiencies and software-stack values on a folder of measurements."""
