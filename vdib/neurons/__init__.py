"""Layers of neurons: modules that hold parameters, over the functions of `vdib.dynamics`."""
