"""Replay: an operator graph and its costs become the timeline of one step."""
