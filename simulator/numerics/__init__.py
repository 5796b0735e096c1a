"""Numerics: the same operator graph, executed in numpy on simulated ranks to prove that it computes the right thing."""
