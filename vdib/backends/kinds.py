"""Codes for the parts of a layer, one per way in which a kernel treats them.

Apart from the kernels, as those of one device must load where the compiler of another's is missing.
"""

NO_FILTER, EXPONENTIAL_PAIR, BANK, TAPPED_PAIR = range(4)
NO_FEEDBACK, EXPONENTIAL, FINITE = range(3)
NO_FIRE, THRESHOLD, BERNOULLI, CONCRETE = range(4)
NO_NOISE, GIVEN, ADDRESSED = range(3)
NO_SLOPE, BOXCAR, SIGMOID, ARCTAN, FAST_SIGMOID, GAUSSIAN, ESCAPE, BY_CHANCE, SOFT = range(9)
