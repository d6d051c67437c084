"""Runs and the commands that make them."""
