"""Training steps: forward and backward of one micro-batch, the pipeline schedule over them, and gradient traffic."""
