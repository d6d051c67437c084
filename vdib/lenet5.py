"""The judge: a LeNet-5 that says which digit a naturalised image shows.

It was trained on real MNIST training images 12,000 to 59,999 only: everything else in the project
(N-MNIST, MNIST-DVS, the shipped digits, MNIST's own validation and test images) lies outside.
`python -m vdib.judge` measures it, and trains it again.

Shapes: B batch, images 28 x 28, ten classes.
"""

from importlib.resources import files

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

TRAINED_ON = (12_000, 60_000)
"""Of MNIST's training images, from the first number to before the second."""


class LeNet5(nn.Module):
    """Two convolutions and three dense layers, 61,706 weights.

        28 x 28 -> 6 @ 28 x 28 -> pool 14 x 14 -> 16 @ 10 x 10 -> pool 5 x 5 -> 120 -> 84 -> 10

    Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998,
    https://doi.org/10.1109/5.726791, with today's ReLU, max-pooling, full second convolution and
    softmax output in place of its tanh, subsampling, sparse connections and RBF units.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense1 = nn.Linear(400, 120)
        self.dense2 = nn.Linear(120, 84)
        self.readout = nn.Linear(84, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the ten digits.

        Args:
            image: (B, 28, 28) in [0, 1].

        Raises:
            ValueError: another shape.
        """
        if image.dim() != 3 or image.shape[1:] != (28, 28):
            raise ValueError(f"image: got {tuple(image.shape)}, expected (B, 28, 28)")
        x = (image[:, None] - 0.1307) / 0.3081  # MNIST's mean and deviation    (B, 1, 28, 28)
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 16, 5, 5)
        x = F.relu(self.dense1(x.flatten(1)))  # (B, 120)
        x = F.relu(self.dense2(x))  # (B, 84)
        logits: Tensor = self.readout(x)  # (B, 10)
        return logits


def load_judge() -> LeNet5:
    """The shipped judge, in eval mode and without gradients of its weights.

    Takes nothing from the global random generator.

    >>> load_judge()(torch.zeros(2, 28, 28)).shape
    torch.Size([2, 10])
    """
    weights = safetensors.torch.load((files("vdib") / "judge.safetensors").read_bytes())
    with torch.device("meta"):
        judge = LeNet5()
    judge.load_state_dict(weights, assign=True)
    return judge.eval().requires_grad_(False)
