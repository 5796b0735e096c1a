"""Studies: simulate, compare and sweep deployments."""
