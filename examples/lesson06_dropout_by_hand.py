"""What does dropout take out of a network, on the way forward and on the way back?

    python examples/lesson06_dropout_by_hand.py

Dropout multiplies the units of a network in training by random masks m of 0 (drop) and 1 (keep):
ŷ = W₂ (m₂ ⊙ relu(W₁ (m₁ ⊙ x))).  [CS4342] drops the middle one of three inputs and of three hidden
units: x = [0, 1, 2] then gives ŷ = [60, 132].  No gradient passes a zero of the mask, so the
weights into and out of a dropped unit learn nothing, "just as if they were not there" [INV].
(Momentum moves them all the same, by what it remembers: a claim that does not hold as worded.)

In a mini-batch each example draws its own masks, so it trains its own thinned network [DO+BN].
These networks are really built here, of smaller matrices, and compared with the rows of the batch
(32 examples; 20 inputs, 20 hidden units).  Nothing is rescaled (mode="vanilla"): see lesson 7.
"""

from __future__ import annotations

import numpy as np
from ladder import Array, Claim, Numbers, lesson

from tinygrad_reg import Tensor, draw, optim
from tinygrad_reg import functional as F
from tinygrad_reg.drawing import Drawing

W1, W2 = np.arange(1.0, 10).reshape(3, 3), np.arange(1.0, 7).reshape(2, 3)  # a row for each unit
P, MIDDLE_DROPPED = 0.4, [1, 0, 1]  # P is the probability of dropping, for the random masks
ABSENT = [np.outer(MIDDLE_DROPPED, MIDDLE_DROPPED) == 0, np.outer([1, 1], MIDDLE_DROPPED) == 0]


def matrices() -> list[Tensor]:
    return [Tensor(w, requires_grad=True, name=name) for name, w in (("W1", W1), ("W2", W2))]


def lecture(x: list[float], w1: Tensor, w2: Tensor, mask: list[int]) -> Tensor:
    """ŷ, with the same mask for input and hidden units."""
    kept = F.dropout(Tensor(x, requires_grad=True, name="x"), mode="vanilla", mask=mask)
    return w2 @ F.dropout(F.relu(w1 @ kept), mode="vanilla", mask=mask)


def moved(momentum: float) -> int:
    """Step 1 drops nothing, step 2 the middle: how many of the absent weights does step 2 move?"""
    weights = matrices()
    optimizer = optim.SGD(weights, lr=1e-3, momentum=momentum)
    for mask in [1, 1, 1], MIDDLE_DROPPED:
        before = [w.numpy() for w in weights]
        optimizer.zero_grad()
        lecture([1.0, 1.0, 2.0], *weights, mask).sum().backward()
        optimizer.step()
    return sum(np.sum((w.data != b)[gone]) for w, b, gone in zip(weights, before, ABSENT))


def thinned(x: Array, label: int, w1: Array, w2: Array, m1: Array, m2: Array) -> list[Array]:
    """Logits and gradients of a network that has only the units in m1, m2; 0 for what it lacks."""
    g1, g2, both = np.zeros_like(w1), np.zeros_like(w2), np.ix_(m1, m2)
    s1, s2 = (Tensor(w, requires_grad=True) for w in (w1[both], w2[m2]))
    logits = F.relu(x[m1] @ s1) @ s2
    F.cross_entropy(logits, label).backward()
    g1[both], g2[m2] = s1.grad.data, s2.grad.data
    return [logits.data, g1, g2]


def run(quick: bool = False, seed: int = 0, seeds: int = 1) -> Numbers:
    """All of it is quick.  Masks, examples and the weights of the mini-batch hang on the seed."""
    weights, rng = matrices(), np.random.default_rng(seed)
    lecture([1.0, 1.0, 2.0], *weights, MIDDLE_DROPPED).sum().backward()  # no input is 0 by itself
    ones = Tensor(np.ones(10_000), requires_grad=True)  # dropped, they are the mask itself
    out, another = (F.dropout(ones, P, rng=rng) for _ in range(2))
    out.sum().backward()
    x, label = rng.standard_normal((32, 20)), rng.integers(3, size=32)
    w1, w2 = (Tensor(rng.standard_normal((20, k)) / 5, requires_grad=True) for k in (20, 3))
    m1, m2 = (F.dropout(np.ones((32, 20)), P, rng=rng).data > 0 for _ in range(2))
    hidden = F.relu(F.dropout(x, mode="vanilla", mask=m1) @ w1)
    logits = F.dropout(hidden, mode="vanilla", mask=m2) @ w2
    F.cross_entropy(logits, label).backward()
    alone = [thinned(x[i], label[i], w1.data, w2.data, m1[i], m2[i]) for i in range(32)]
    rows, g1, g2 = (np.array(each) for each in zip(*alone))
    return {
        "prediction": lecture([0.0, 1.0, 2.0], *weights, MIDDLE_DROPPED).data,
        "gradients": [w.grad.data for w in weights],
        "moved": {"plain": moved(0.0), "momentum": moved(0.9)},
        "wrong gradients": np.sum(ones.grad.data != out.data),
        "two calls agree": np.mean(another.data == out.data),
        "networks": len({bits.tobytes() for bits in np.hstack([m1, m2])}),
        "rows": np.abs(logits.data - rows).max(),
        "average": max(np.abs(t.grad.data - g.mean(0)).max() for t, g in ((w1, g1), (w2, g2))),
        "over": np.abs(w2.grad.data - g2.sum(0) / m2.sum(0)[:, None]).max(),
    }


def claims(numbers: Numbers) -> list[Claim]:
    y, moved = numbers["prediction"].tolist(), numbers["moved"]
    right = [int(np.sum((g == 0) == gone)) for g, gone in zip(numbers["gradients"], ABSENT)]
    return [
        Claim(
            "The worked example: x = [0, 1, 2], the middle input and hidden unit dropped.",
            "[CS4342], dropout",
            "ŷ = [60, 132], exactly",
            f"ŷ = {y}",
            y == [60, 132],
        ),
        Claim(
            "The weights into and out of a dropped unit get no gradient, all others do.",
            "[CS4342], [INV]",
            "exactly 0 in these 5 + 2 of the 9 + 6 weights alone (first input 1 instead of 0)",
            f"as said for {right[0]} of 9 and {right[1]} of 6",
            right == [9, 6],
        ),
        Claim(
            "Dropped units do not update their connections, whatever the optimizer.",
            "[INV], in its words “do not update”",
            "0 of 7 weights move: plain SGD, momentum 0.9",
            f"{moved['plain']} with plain SGD, {moved['momentum']} with momentum",
            bool(moved["plain"] == moved["momentum"] == 0),
            should_hold=False,
        ),
        Claim(
            "The mask of the forward pass stays for the backward pass; the next call draws anew.",
            "[INV]",
            "10,000 gradients of 10,000 are the mask; two calls agree in p² + (1 - p)² = 52 ± 3 %",
            f"{10_000 - numbers['wrong gradients']:,} are; {numbers['two calls agree']:.1%}",
            bool(numbers["wrong gradients"] == 0 and abs(numbers["two calls agree"] - 0.52) < 0.03),
        ),
        Claim(
            "For each example of a mini-batch a thinned network of its own is sampled.",
            "[DO+BN], training",
            "32 different ones, and each row is what its network gives alone, to 1e-14",
            f"{numbers['networks']} different; largest difference {numbers['rows']:.0e}",
            bool(numbers["networks"] == 32 and numbers["rows"] <= 1e-14),
        ),
        Claim(
            "The gradient is the average over the examples; absent parameters contribute zero.",
            "[DO+BN], training",
            "as averaged over the thinned networks, to 1e-15",
            f"{numbers['average']:.0e} off (averaged over those present {numbers['over']:.2f})",
            bool(numbers["average"] <= 1e-15),
        ),
    ]


def picture(numbers: Numbers) -> Drawing:
    """The middle of each mask stops values and gradients (W1's first column has none: x₁ = 0)."""
    y = lecture([0.0, 1.0, 2.0], *matrices(), MIDDLE_DROPPED)
    y.name = "ŷ"
    return draw(y.sum(), gradients=True)


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
