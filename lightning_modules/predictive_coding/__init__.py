"""Recalling and predicting an input from its code."""
