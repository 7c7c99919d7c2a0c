"""What a user writes with types: a model, a training step, NumPy's functions on tensors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinygrad_reg import Tensor, draw, grad, nn, no_grad, optim, scope, seed, value_and_grad
from tinygrad_reg import functional as F

Floats = npt.NDArray[np.float32]


class Block(nn.Module):
    """A hidden layer that adds to its input."""

    def __init__(self, width: int) -> None:
        self.layer = nn.Linear(width, width)
        self.scale = nn.Parameter(np.ones(width, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layer(x).tanh() * self.scale
        return x + np.maximum(hidden, 0)


class Classifier(nn.Module):
    """A few blocks, and logits."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        self.blocks = nn.Sequential(nn.Linear(features, width), nn.BatchNorm1d(width), Block(width))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor | Floats) -> Tensor:
        with scope("body"):
            hidden = self.blocks(x)
        return self.head(hidden)


def step(
    model: Classifier, optimizer: optim.Optimizer, x: Floats, y: npt.NDArray[np.int64]
) -> float:
    loss = F.cross_entropy(model(x), y) + F.l2_penalty(model.weights(), 1e-3)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.item())


def entropy(logits: Tensor) -> Tensor:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    p = shifted.exp() / shifted.exp().sum(axis=-1, keepdims=True)
    return -(p * p.log()).sum(axis=-1).mean()


def main() -> list[float]:
    seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((32, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = Classifier(4, 8, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = [step(model, optimizer, x, y) for _ in range(20)]

    first: Tensor = model.blocks[0].weight
    norms = [np.linalg.norm(p.numpy()) for p in model.parameters()]
    with no_grad():
        logits = model.eval()(x)
        right = np.mean(logits.argmax(axis=1) == y)
    squashed = np.exp(-first)
    total = (squashed * squashed).sum()
    slope = grad(lambda w: (w**2).sum())(first.detach())
    value, both = value_and_grad(lambda p: (p["w"] * p["b"]).sum())({"w": first.numpy(), "b": 2.0})
    dot: str = draw(entropy(model(Tensor(x)))).to_dot()
    assert len(dot) > 100
    assert len(norms) == 9
    assert 0 <= right <= 1
    assert total.item() > 0
    assert slope.shape == first.shape
    assert np.isfinite(value.item())
    assert both["b"].shape == ()
    return losses


if __name__ == "__main__":
    print(main()[-1])
