"""Two dense and two spiking layers as the peers' own documentation builds them.

    pip install -e ".[bench]"

Each builder takes the sizes and returns a module from spikes `(T, B, N_x)` to spikes of the second
layer `(T, B, N_y)`, and is told the advice of its library that makes it fast: weights for all steps
in one product, multi-step modules where there are any. Neurons are leaky integrate-and-fire, which
is less than ours do: no second filter, no noise, no refractory feedback beyond the reset.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Builder = Callable[[int, int, int], Callable[[Tensor], Tensor]]


def spikingjelly(num_inputs: int, num_hidden: int, num_readout: int) -> nn.Module:
    """Multi-step mode, PyTorch backend (the others need a GPU)."""
    from spikingjelly.activation_based import functional, layer, neuron

    net = nn.Sequential(
        layer.Linear(num_inputs, num_hidden, bias=False),
        neuron.LIFNode(),
        layer.Linear(num_hidden, num_readout, bias=False),
        neuron.LIFNode(),
    )
    functional.set_step_mode(net, "m")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            functional.reset_net(self.net)
            out: Tensor = self.net(x)
            return out

    return Net()


def snntorch(num_inputs: int, num_hidden: int, num_readout: int) -> nn.Module:
    """`Leaky` in a loop over steps."""
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(num_inputs, num_hidden, bias=False)
            self.second = nn.Linear(num_hidden, num_readout, bias=False)
            self.hidden, self.readout = snn.Leaky(beta=0.9), snn.Leaky(beta=0.9)

        def forward(self, x: Tensor) -> Tensor:
            for weights, neuron in ((self.first, self.hidden), (self.second, self.readout)):
                potential, spikes = neuron.init_leaky(), []
                for current in weights(x).unbind(0):
                    spike, potential = neuron(current, potential)
                    spikes.append(spike)
                x = torch.stack(spikes)
            return x

    return Net()


def norse(num_inputs: int, num_hidden: int, num_readout: int) -> nn.Module:
    """`LIF` over sequences."""
    import norse.torch as norse_torch

    return norse_torch.SequentialState(  # type: ignore[no-any-return]
        nn.Linear(num_inputs, num_hidden, bias=False),
        norse_torch.LIF(),
        nn.Linear(num_hidden, num_readout, bias=False),
        norse_torch.LIF(),
    )


def sinabs(num_inputs: int, num_hidden: int, num_readout: int) -> nn.Module:
    """`LIF` over sequences, batch first."""
    import sinabs.layers as layers

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(num_inputs, num_hidden, bias=False),
                layers.LIF(tau_mem=10.0),
                nn.Linear(num_hidden, num_readout, bias=False),
                layers.LIF(tau_mem=10.0),
            )

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.net:
                if hasattr(layer, "reset_states"):
                    layer.reset_states()
            out: Tensor = self.net(x.transpose(0, 1)).transpose(0, 1)
            return out

    return Net()


PEERS: dict[str, Builder] = {
    "SpikingJelly": spikingjelly,
    "snnTorch": snntorch,
    "norse": norse,
    "sinabs": sinabs,
}
