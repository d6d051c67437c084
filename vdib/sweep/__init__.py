"""`python -m vdib.sweep`: many runs, as one study."""
