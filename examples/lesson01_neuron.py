"""What does backpropagation do in one neuron, and why must it go back in the right order?

    python examples/lesson01_neuron.py

A neuron computes o = tanh(w₁ x₁ + w₂ x₂ + b).  Going back from the loss (o - t)², each operation
multiplies what arrives by its own derivative, and hands it on to its inputs: that is the chain
rule, and with numbers this small one can do it by hand.  The picture has all of them.

Where a value is used twice, the parts that come back add up, and the sum must be complete before it
is handed on.  So a node waits until everything that used it has had its turn: that is reverse
topological order.  Two sweeps that do not wait are tried on b = a + a, c = b + b.
"""

from __future__ import annotations

from math import tanh

from ladder import Claim, Numbers, lesson

from tinygrad_reg import Tensor, draw
from tinygrad_reg.drawing import Drawing

START = {"x1": 2.0, "x2": -1.0, "w1": 0.5, "w2": 1.0, "b": 0.25}
TARGET = 1.0


def neuron() -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and what it was computed from."""
    leaf = {name: Tensor(value, requires_grad=True, name=name) for name, value in START.items()}
    o = (leaf["w1"] * leaf["x1"] + leaf["w2"] * leaf["x2"] + leaf["b"]).tanh()
    o.name = "o"
    loss = (o - TARGET) ** 2
    loss.name = "loss"
    return loss, leaf


def by_hand(x1: float, x2: float, w1: float, w2: float, b: float) -> dict[str, float]:
    """The same derivatives with pencil and paper: z is what goes into tanh."""
    o = tanh(w1 * x1 + w2 * x2 + b)
    dz = 2 * (o - TARGET) * (1 - o * o)  # ∂loss/∂o · ∂o/∂z
    return {"x1": dz * w1, "x2": dz * w2, "w1": dz * x1, "w2": dz * x2, "b": dz}


# --- The order -----------------------------------------------------------------------------------

GRAPH = {"c": ("b", "b"), "b": ("a", "a"), "a": ()}  # sums: every local derivative is 1


def hand_on_at_every_arrival(node: str, grad: dict[str, float]) -> dict[str, float]:
    """Wrong: whatever has come so far is handed on each time that something comes."""
    for x in GRAPH[node]:
        grad[x] = grad.get(x, 0.0) + grad[node]
        hand_on_at_every_arrival(x, grad)
    return grad


def hand_on_at_first_arrival(node: str, grad: dict[str, float]) -> dict[str, float]:
    """Wrong, too: what comes later is added, but no longer handed on."""
    for x in GRAPH[node]:
        first = x not in grad
        grad[x] = grad.get(x, 0.0) + grad[node]
        if first:
            hand_on_at_first_arrival(x, grad)
    return grad


def run(quick: bool = False, seed: int = 0, seeds: int = 1) -> Numbers:
    """Nothing here is random, and all of it is quick."""
    loss, leaf = neuron()
    loss.backward()
    a = Tensor(3.0, requires_grad=True)
    b = a + a
    c = b + b
    c.backward()
    return {
        "gradients": {name: t.grad.item() for name, t in leaf.items()},
        "by hand": by_hand(**START),
        "dc/da": a.grad.item(),
        "at every arrival": hand_on_at_every_arrival("c", {"c": 1.0})["a"],
        "at first arrival": hand_on_at_first_arrival("c", {"c": 1.0})["a"],
    }


def claims(numbers: Numbers) -> list[Claim]:
    engine, hand = numbers["gradients"], numbers["by hand"]
    worst = max(abs(engine[name] - hand[name]) for name in hand)
    order = numbers["dc/da"], numbers["at every arrival"], numbers["at first arrival"]
    return [
        Claim(
            "Each gradient of a neuron is a product of local derivatives.",
            "[CS4342], computing each gradient term",
            "all 5 as by hand, to 1e-15",
            f"largest difference {worst:.0e}",
            worst <= 1e-15,
        ),
        Claim(
            "b = a + a, c = b + b: parts add up, and a sum is handed on when it is complete.",
            "the multivariate chain rule",
            "∂c/∂a = 4",
            f"{order[0]:g}",
            order[0] == 4,
        ),
        Claim(
            "A sweep in another order than reverse topological gives wrong gradients.",
            "the multivariate chain rule",
            "neither gives 4",
            f"handing on at every arrival gives {order[1]:g}, at the first only {order[2]:g}",
            4 not in order[1:],
        ),
    ]


def picture(numbers: Numbers) -> Drawing:
    """Values down, gradients up, and on each edge the rule that takes them there."""
    return draw(neuron()[0], gradients=True, formulas=True)


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
