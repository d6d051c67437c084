"""Spikes to natural signals."""
