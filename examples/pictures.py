"""What backpropagation looks like: a gallery, in the order in which one would teach it.

    python examples/pictures.py                              # all of them, into runs/pictures
    python examples/pictures.py --only neuron --format html  # one, as a page that can be played
    python examples/pictures.py --readme                     # README's, into examples/pictures

Each function is a picture, and says what there is to see.  For one of your own, copy one of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from command import UsageError, command, output_folder
from sklearn.datasets import load_digits

from tinygrad_reg import Tensor, draw, draw_backward, nn
from tinygrad_reg import functional as F
from tinygrad_reg.drawing import Drawing

# --- The chain rule ------------------------------------------------------------------------------


def neuron() -> Drawing:
    """One neuron: numbers go down to the loss, gradients come back up by the rule on each edge.

    The weight is used twice, by the neuron and by the penalty, so its gradient is a sum of two.
    """
    x = Tensor([[1.0, 2.0]], name="x")
    target = Tensor([[1.0]], name="target")
    weight = Tensor([[0.5], [-0.3]], requires_grad=True, name="weight")
    bias = Tensor([0.2], requires_grad=True, name="bias")
    loss = F.mse_loss(F.linear(x, weight, bias).tanh(), target) + F.l2_penalty(weight, 0.1)
    loss.name = "loss"
    return draw(loss, gradients=True, formulas=True)


def reuse() -> Drawing:
    """b = a + a uses a twice: a gradient of 1 comes back along each edge, and they add up to 2."""
    a = Tensor(3.0, requires_grad=True, name="a")
    b = a + a
    b.name = "b"
    return draw(b, gradients=True, formulas=True)


# --- A box, closed and open ----------------------------------------------------------------------


def softmax_cross_entropy() -> Tensor:
    """The loss of an example of class 1 (of 0, 1, 2) that looks more like class 0."""
    logits = Tensor([[2.0, 1.0, -1.0]], requires_grad=True, name="logits")
    loss = F.cross_entropy(logits, np.array([1]))
    loss.name = "loss"
    return loss


def cross_entropy_closed() -> Drawing:
    """Softmax cross-entropy: the gradient of the logits is softmax - target."""
    return draw(softmax_cross_entropy(), depth=0, gradients=True)


def cross_entropy_open() -> Drawing:
    """The same box, open: softmax - target is written nowhere, it comes out of six simple rules."""
    return draw(softmax_cross_entropy(), gradients=True, formulas=True)


# --- The backward pass is a graph ----------------------------------------------------------------


def batch_norm() -> Drawing:
    """Batch norm forward and backward: only the first of five outputs is asked for, and yet each of
    the five examples gets a gradient, through the mean and the variance.

    Each box is an operation together with its derivative: black arrows bring values down, purple
    ones gradients up.
    """
    z = Tensor([[0.0], [2.0], [3.0], [4.0], [6.0]], requires_grad=True, name="z")  # μ = 3, σ = 2
    gamma = Tensor([2.0], requires_grad=True, name="γ")
    beta = Tensor([1.0], requires_grad=True, name="β")
    normalised = F.batch_norm(z, None, None, gamma, beta, training=True, eps=0)
    first = normalised[0, 0]
    first.name = "first"
    return draw_backward(first, side="both", collapse=lambda box: box.pair or None)


def second_order() -> Drawing:
    """x³ at 10: what computed the slope 3 x² = 300 is a graph, too (white), so the same rules find
    the slope of the slope, 6 x = 60 (purple)."""
    x = Tensor(10.0, requires_grad=True, name="x")
    y = x**3
    y.backward(Tensor(1.0, name="∂y/∂y"), create_graph=True)
    slope = x.grad
    slope.name = "slope"
    return draw_backward(slope, x, side="both")


# --- Networks ------------------------------------------------------------------------------------


def dropout() -> Drawing:
    """Dropout: each example loses units of its own, and the mask that stopped the numbers stops the
    gradients; the unit that both examples lose teaches its weights nothing (the zeros in W1, W2).

    What is kept counts twice, as p = ½, so that what is expected stays the same.
    """
    x = Tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]], name="x")
    w1 = Tensor([[1.0, 4.0, 7.0], [2.0, 5.0, 8.0], [3.0, 6.0, 9.0]], requires_grad=True, name="W1")
    w2 = Tensor([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], requires_grad=True, name="W2")
    hidden = x @ w1
    hidden.name = "hidden"
    y = F.dropout(hidden, p=0.5, mask=[[1, 0, 1], [0, 0, 1]]) @ w2
    y.name = "y"
    return draw(y.sum(), gradients=True)


def digits() -> Drawing:
    """A first step as in train_digits.py, boxes closed: one colour from the last layer to the first
    is a healthy network, in which gradients neither vanish nor explode."""
    rng = np.random.default_rng(0)
    pixels, labels = load_digits(return_X_y=True)
    standardised = (pixels - pixels.mean(axis=0)) / pixels.std()
    x = Tensor(standardised[:32].astype(np.float32), name="pixels")
    layers: list[nn.Module] = []
    for fan_in, size in (64, 128), (128, 128):
        layers += nn.Linear(fan_in, size, bias=False, rng=rng), nn.BatchNorm1d(size)
        layers += nn.ReLU(), nn.Dropout(0.2, rng=rng)
    model = nn.Sequential(*layers, nn.Linear(128, 10, rng=rng))
    loss = F.cross_entropy(model(x), labels[:32]) + F.l2_penalty(model.weights(), 1e-3)
    loss.name = "loss"
    return draw(loss, gradients=True, collapse=lambda box: box.name != "Sequential")


class Residual(nn.Module):
    """x + tanh(x W + b): what a layer adds to its input."""

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        self.layer = nn.Linear(width, width, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x).tanh()


def residual() -> Drawing:
    """Twelve residual blocks, drawn once: the gradient goes back through each layer and past it, so
    it reaches the first block as large as it was after the last."""
    rng = np.random.default_rng(0)
    blocks = [Residual(8, rng) for _ in range(12)]
    model = nn.Sequential(nn.Linear(4, 8, rng=rng), *blocks, nn.Linear(8, 3, rng=rng))
    x = Tensor(rng.normal(size=(16, 4)).astype(np.float32), name="x")
    loss = F.cross_entropy(model(x), rng.integers(3, size=16))
    loss.name = "loss"
    open_boxes = "Sequential", "Residual"
    return draw(loss, gradients=True, fold=True, collapse=lambda box: box.name not in open_boxes)


# --- How not to begin ----------------------------------------------------------------------------


def begin_with_zero(*names: str) -> Drawing:
    """The first step of a network with one hidden layer, some of whose parameters are zero."""
    start = {
        "W1": [[1.0, -1.0, -0.5], [0.5, 1.0, 1.0]],
        "b1": [1.0, 0.0, 1.0],
        "W2": [[1.0, -1.0], [0.5, 1.0], [-1.0, 0.5]],
        "b2": [0.5, 0.0],
    }
    w1, b1, w2, b2 = (
        Tensor(np.zeros_like(value) if name in names else value, requires_grad=True, name=name)
        for name, value in start.items()
    )
    x = Tensor([[1.0, 2.0], [-1.0, 1.0], [3.0, 1.0]], name="x")
    logits = F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)
    loss = F.cross_entropy(logits, np.array([0, 1, 1]))
    loss.name = "loss"
    return draw(loss, depth=0, gradients=True)


def zero_everything() -> Drawing:
    """All zero: only b2 has a gradient (grey is none), and so it stays in every step; b2 can learn
    how frequent the classes are, and no more."""
    return begin_with_zero("W1", "b1", "W2", "b2")


def zero_first_layer() -> Drawing:
    """W1 and b1 zero: the gradient gets as far as the relu and dies there, as relu'(0) = 0; W2 gets
    none, as all that it multiplies is zero.  Again only b2 ever learns."""
    return begin_with_zero("W1", "b1")


def zero_last_layer() -> Drawing:
    """W2 and b2 zero: both have a gradient, W1 and b1 none, as nothing goes back through W2 = 0.
    But from the second step on W2 is not zero, so this network does learn."""
    return begin_with_zero("W2", "b2")


# --- The gallery ---------------------------------------------------------------------------------

PICTURES = {
    picture.__name__: picture
    for picture in (
        neuron,
        reuse,
        cross_entropy_closed,
        cross_entropy_open,
        batch_norm,
        second_order,
        dropout,
        digits,
        residual,
        zero_everything,
        zero_first_layer,
        zero_last_layer,
    )
}
README = "neuron", "second_order", "zero_first_layer"
HERE = Path(__file__).parent


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Draw what the command line asks for; exit with one line if that cannot be done."""
    parser = argparse.ArgumentParser(description="Draw what backpropagation looks like.")
    add = parser.add_argument
    add("--out", metavar="DIR", default="runs/pictures", help="folder to write to, %(default)s")
    add("--only", metavar="NAME", nargs="+", default=PICTURES, help=", ".join(PICTURES))
    add("--format", metavar="FORMAT", nargs="+", default=["svg"], help="svg, png, pdf, html, dot")
    add("--readme", action="store_true", help="rewrite the pictures of README, and no others")
    options = parser.parse_args(argv)
    if options.readme:
        options.out, options.only, options.format = str(HERE / "pictures"), README, ["svg"]
    for name in options.only:
        if name not in PICTURES:
            raise UsageError(f"--only: no picture is called {name!r}, only {', '.join(PICTURES)}")
    names = [f"{name}.{format}" for name in options.only for format in options.format]
    out = output_folder(options.out, *names)
    for name in options.only:
        picture = PICTURES[name]
        drawing = picture()
        for format in options.format:
            path = out / f"{name}.{format}"
            try:
                drawing.save(path)
            except ValueError as error:
                raise UsageError(str(error)) from error
            print(f"{path}: {sentence(picture)}")


def sentence(picture: Callable[[], Drawing]) -> str:
    """The first paragraph of its docstring, in one line."""
    return " ".join((picture.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    main()
