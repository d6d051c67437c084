"""`python -m vdib.naturalise`: recordings, or spike trains, to images or labels."""
