"""Training: the step time of pre-training from the same operators."""
