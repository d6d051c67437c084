"""`python -m vdib.live`: events as they come to images, seen while they are made."""
