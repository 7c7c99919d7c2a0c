"""Is one network with scaled weights as good as the ensemble of 2ᴺ thinned ones?

    python examples/lesson08_ensemble.py

Dropout on N units trains 2ᴺ networks that share weights.  (For N = 10 [ENS] says 10¹⁰, a slip.)  To
let them all vote, multiply their probabilities, each to the power of w, the probability of its
mask, and normalise: P(class) ∝ Πₘ Pₘ(class)^wₘ, a geometric mean.  Weight scaling asks one network,
which drops nothing and gives each unit what it had on average.  If the dropped units feed a linear
layer under a softmax, the logits are linear in the mask: their average belongs to the average mask,
and both ways agree (Baldi & Sadowski 2013).  Behind a hidden layer they need not.  Here all 2¹⁰
members of wine → 10 → 10 → 3 relu units vote on test examples, with dropout on the last hidden
layer or the first.  A third way averages the probabilities of k random passes (Monte-Carlo, [INV]).
Srivastava et al. 2014 (section 7.5) found it as good as weight scaling from k = 50, then slightly
better, within one sd (not seen here: 360 test images tell too little).  Digits → 128 → 128 → 10,
dropout on both.  Fixed beforehand: Adam, 3e-3, batches of 16, 100 and 60 epochs; p is ½ or 0.2.
"""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from data import Array, Data, batches, load
from ladder import Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure
from training import training_step

from tinygrad_reg import Tensor, init, nn, no_grad, optim
from tinygrad_reg import functional as F

MASKS = np.array(list(product((0, 1), repeat=10)))  # a row for each member: 0 drops, 1 keeps
WINES = {"first": [0.5, 0], "last": [0, 0.5], "last, p = 0.2": [0, 0.2]}  # p of dropping, by layer
PASSES, DRAWS = 100, 10  # a seed's error is the mean over ten draws of so many passes


def train(data: Data, sizes: list[int], drop: list[float], epochs: int, seed: int) -> nn.Module:
    rng, order = np.random.default_rng(seed), np.random.default_rng(seed)
    a, b, c = (nn.Linear(*fans, init=init.he_normal, rng=rng) for fans in pairwise(sizes))
    d, e = (nn.Dropout(p, rng=rng) for p in drop)
    model = nn.Sequential(a, nn.ReLU(), d, b, nn.ReLU(), e, c).astype(data.x.dtype)
    step = training_step(model, optim.Adam(model.parameters(), lr=3e-3))
    for _ in range(epochs):
        for batch in batches(len(data.y), 16, order):
            step(data.x[batch], data.y[batch])
    return model.eval()


@no_grad()
def vote(model: nn.Module, p: float, x: Array) -> Numbers:
    """What the scaled network says, and what all its members say together."""
    h = Tensor(x)
    for module in model:
        h = module(h)  # in eval mode dropout does nothing, so do it here: with every mask
        if isinstance(module, nn.Dropout) and module.p:
            h = F.dropout(F.broadcast_to(h, (len(MASKS), *h.shape)), p, mask=MASKS[:, None])
    logs = F.log_softmax(h).numpy().reshape(len(MASKS), -1)  # (members, n · classes)
    w = np.where(MASKS, 1 - p, p).prod(axis=1)  # the probability of each mask
    return {
        "members": len(np.unique(logs, axis=0)),
        "scaled": F.softmax(model(x)).numpy().ravel(),
        "geometric": F.softmax((w @ logs).reshape(len(x), -1)).numpy().ravel(),
        "w alike": F.softmax(logs.mean(axis=0).reshape(len(x), -1)).numpy().ravel(),
        "arithmetic": w @ np.exp(logs),
    }


@no_grad()
def test_errors(model: nn.Module, x: Array, y: Array) -> Array:
    """Percent wrong: for k = 1 … PASSES random passes, and for weight scaling, (2, PASSES)."""
    wrong = np.zeros((2, PASSES))
    wrong[1] = np.mean(model(x).argmax(axis=1) != y)
    for _ in range(DRAWS):
        logits = model.train()(np.tile(x, (PASSES, 1)))  # at once: each row draws its own masks
        sums = F.softmax(logits).numpy().reshape(PASSES, len(y), -1).cumsum(axis=0)
        wrong[0] += np.mean(sums.argmax(axis=-1) != y, axis=1) / DRAWS
    return 100 * wrong


def one_seed(seed: int, quick: bool) -> Numbers:
    wine, digits, found = load("wine", seed, dtype=np.float64), load("digits", seed), {}
    for name, drop in WINES.items():
        model = train(wine, [13, 10, 10, 3], drop, 20 if quick else 100, seed)
        found[name] = vote(model, sum(drop), wine.x_test)
    model = train(digits, [64, 128, 128, 10], [0.5, 0.5], 2 if quick else 60, seed)
    return found | {"errors": test_errors(model, digits.x_test, digits.y_test)}


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    return {"seeds": each_seed(one_seed, seed, seeds, quick)}


def claims(numbers: Numbers) -> list[Claim]:
    def gap(where: str, mean: str) -> Array:  # (seeds, n · classes)
        return np.array([abs(s[where][mean] - s[where]["scaled"]) for s in numbers["seeds"]])

    members = max(s[where]["members"] for s in numbers["seeds"] for where in WINES)
    exact = max(gap(where, "geometric").max() for where in ("last", "last, p = 0.2"))
    alike = gap("last, p = 0.2", "w alike").max(axis=1)
    largest = gap("first", "geometric").max(axis=1)
    near, far = (gap("first", mean).mean(axis=1) for mean in ("geometric", "arithmetic"))
    random, scaled = np.moveaxis([s["errors"] for s in numbers["seeds"]], 1, 0)
    more, sd = random - scaled, scaled[:, 0].std(ddof=len(scaled) > 1)
    one, fifty, gain = more[:, 0], more[:, 49], -more[:, 50:].mean(axis=1)
    as_good = clearly_above_zero(sd - fifty) and clearly_above_zero(sd + fifty)
    return [
        Claim("Before a softmax-linear layer, the geometric mean of all is weight scaling.",
              "[ENS], Baldi & Sadowski 2013", "2¹⁰ members; for p = ½ and 0.2 equal to 1e-12",
              f"{members:,}; {exact:.0e}", bool(members == 2**10 and exact <= 1e-12)),
        Claim("For p ≠ ½ the masks must not weigh all the same.", "Baldi & Sadowski 2013",
              "p = 0.2: off by more than 0.01 for every seed",
              f"by {alike.min():.2f} to {alike.max():.2f}", bool(alike.min() > 0.01)),
        Claim("Behind a hidden layer it is only near.", "[ENS]", "off by > 0.001 for every seed",
              f"by {mean_sd(near)}, at most {largest.max():.2f}", bool(largest.min() > 0.001)),
        Claim("It is nearer to that than to the arithmetic mean.", "[ENS]", "by 3 standard errors",
              f"arithmetic: {mean_sd(far)}", clearly_above_zero(far - near)),
        Claim("50 passes are as good as weight scaling; one is not.", "Srivastava 2014, fig. 11",
              "by 3 standard errors: k = 50 is within ± sd, k = 1 worse",
              f"{mean_sd(scaled[:, 0], 2)} % wrong; k = 50: {mean_sd(fifty, 2)} more, k = 1: "
              f"{mean_sd(one, 2)} more", clearly_above_zero(one) and as_good),
        Claim("With more passes it is slightly better, within one sd.", "Srivastava 2014, fig. 11",
              "k > 50: by 3 standard errors, within the sd", f"by {mean_sd(gain, 2)} %",
              clearly_above_zero(gain) and bool(gain.mean() < sd), False),
    ]  # fmt: skip


def picture(numbers: Numbers) -> Figure:
    figure, (left, right) = diagram(columns=2, width=12)
    figure.suptitle("Weight scaling is about the geometric mean of all, and as good as 50 passes")
    errors = np.array([s["errors"] for s in numbers["seeds"]])
    mean, sd, k = errors.mean(axis=0), errors.std(axis=0, ddof=len(errors) > 1), range(1, 101)
    for i, (name, line) in enumerate((("mean of k random passes", "-"), ("weight scaling", "--"))):
        left.plot(k, mean[i], line, label=f"{name}, ± sd")
        left.fill_between(k, mean[i] - sd[i], mean[i] + sd[i], alpha=0.2)
    left.set(xscale="log", xlabel="passes k", ylabel="test error on digits in %")
    left.legend()
    for row in ("first arithmetic C7x", "first geometric C1^", "last geometric C0."):
        where, kind, style = row.split()
        x, y = (np.ravel([s[where][key] for s in numbers["seeds"]]) for key in ("scaled", kind))
        right.plot(x, y - x, style, label=f"{kind}, dropout on the {where} hidden layer")
    right.set(xlabel="probability from weight scaling", ylabel="mean of all 1,024 members - that")
    right.legend()
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
