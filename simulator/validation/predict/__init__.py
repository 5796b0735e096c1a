"""One module per measurement family: rows of a measurement file in, predicted times out."""
