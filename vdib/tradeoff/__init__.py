"""Rate-distortion curves: `python -m vdib.tradeoff`."""
