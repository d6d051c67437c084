"""Learning to encode and decode time with spiking neural networks.

A stochastic-threshold spiking encoder and an artificial decoder, trained together through the
variational directed information bottleneck (Skatchkovsky, Simeone & Jang, "Learning to
Time-Decode in Spiking Neural Networks Through the Information Bottleneck", NeurIPS 2021,
https://arxiv.org/abs/2106.01177).
"""

import os
from pathlib import Path

# `datasets/`, `lightning_modules/` and `configs/` lie beside this package in a checkout and inside
# it once installed; a checkout finds them as `vdib.datasets` and so on through this search path.
if not (Path(__file__).parent / "datasets").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

# PyTorch's threads must not spin while they wait, or they keep the kernels' threads off the cores.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
