"""Sequences with something to be said at every step: a curve, the next symbol of a text."""
