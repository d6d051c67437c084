"""`python -m vdib.naturalise`: recordings to images or labels."""
