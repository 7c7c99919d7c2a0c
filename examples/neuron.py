"""One neuron, forward and backward, and its picture: the one in README.

    python examples/neuron.py

writes neuron.svg beside this script.
"""

from pathlib import Path

from tinygrad_reg import Tensor, draw
from tinygrad_reg import functional as F


def run(path: Path) -> Tensor:
    """Compute the loss of a neuron with two inputs, backpropagate, and draw what happened."""
    x = Tensor([[1.0, 2.0]], name="x")
    target = Tensor([[1.0]], name="target")
    weight = Tensor([[0.5], [-0.3]], requires_grad=True, name="weight")
    bias = Tensor([0.2], requires_grad=True, name="bias")

    loss = F.mse_loss(F.linear(x, weight, bias).tanh(), target) + F.l2_penalty(weight, 0.1)
    loss.name = "loss"
    loss.backward()

    draw(loss).save(path)
    return loss


if __name__ == "__main__":
    run(Path(__file__).with_name("neuron.svg"))
