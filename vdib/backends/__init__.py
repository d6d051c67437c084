"""The same dynamics compiled, and weights that skip silence: a second implementation, one door."""
