"""Serving: engines under load, from step times to request metrics."""
