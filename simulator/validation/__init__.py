"""Validation: predict, error tables and calibration against published measurements."""
