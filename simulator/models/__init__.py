"""Models: a description becomes a graph of operators; counts, layouts, formats and memory of a model."""
