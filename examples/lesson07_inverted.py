"""Where does dropout make up for what it drops: at test time, or already in training?

    python examples/lesson07_inverted.py

A unit x is dropped with probability p, so on average (1 - p) x comes through in training.  At test
time all of x would, 1/(1 - p) times what the next layer is used to [INV].  Two ways to mend that:

    vanilla     training: m x              test: (1 - p) x
    inverted    training: m x / (1 - p)    test: x

Nothing is sampled here: 10 units have 2¹⁰ masks m, and each counts with its probability.  Behind a
relu the balance is lost, though [DO+BN] claims it for "any unit": there Jensen's inequality says
E relu(z) ≥ relu(E z).  The table has by how much.

Do both train the same network?  With weights U = (1 - p) V behind it, inverted dropout computes
what vanilla dropout does with V, for each mask and at test time; and the gradient of V is 1 - p
times that of U.  So plain SGD keeps U = (1 - p) V if U's rate is (1 - p)² times V's: at p = ½ to
the last bit.  (Digits, 64 → 32 → 32 → 10, dropout behind both relus, 20 epochs, rate 0.2.)
"""

from __future__ import annotations

import numpy as np
from data import Array, batches, load
from ladder import Claim, Numbers, diagram, lesson
from matplotlib.figure import Figure

from tinygrad_reg import Tensor, nn, optim
from tinygrad_reg import functional as F

MASKS = np.arange(1024)[:, None] >> np.arange(10) & 1  # 0000000000, …, 1111111111
PS, MODES, RATE = (0.2, 0.5, 0.8), ("vanilla", "inverted"), 0.2


def both_sides(x: Array, w: Array, p: float, mode: F.Mode) -> Numbers:
    """[average over all masks in training, what test time gives] of x, of z = x w, of relu(z)."""
    probability = np.prod(np.where(MASKS, 1 - p, p), axis=1)
    each = F.dropout(np.tile(x, (len(MASKS), 1)), p, mode=mode, mask=MASKS)
    test = F.dropout(x, p, training=False, mode=mode)
    pairs = {"x": (each, test), "z": (each @ w, test @ w)}
    pairs["relu"] = F.relu(each @ w), F.relu(test @ w)
    sides = {name: [probability @ pair[0].data, pair[1].data] for name, pair in pairs.items()}
    return sides | {"each z": (each @ w).data[:, -1]}  # of the last unit alone


def train(mode: F.Mode, p: float, factor: float, seed: int, epochs: int) -> Array:
    """Validation logits; `factor` scales first weights behind dropout, its square their rate."""
    data, rng = load("digits", seed, dtype=np.float64), np.random.default_rng(seed)
    a, b, c = (nn.Linear(*size, rng=rng, dtype=float) for size in ((64, 32), (32, 32), (32, 10)))
    first, second = nn.Dropout(p, mode, rng=rng), nn.Dropout(p, mode, rng=rng)
    model = nn.Sequential(a, nn.ReLU(), first, b, nn.ReLU(), second, c)
    for weight in b.weight, c.weight:
        weight.data = weight.data * factor
    behind = optim.SGD([b.weight, c.weight], lr=RATE * factor**2)
    others = optim.SGD([a.weight, a.bias, b.bias, c.bias], lr=RATE)
    for _ in range(epochs):
        for batch in batches(len(data.y), 32, rng):
            model.zero_grad()
            F.cross_entropy(model(Tensor(data.x[batch])), data.y[batch]).backward()
            behind.step()
            others.step()
    return model.eval()(Tensor(data.x_validation)).data


def run(quick: bool = False, seed: int = 0, seeds: int = 1) -> Numbers:
    """Activations, weights, split, batches and masks of training hang on the seed."""
    rng, apart = np.random.default_rng(seed), {}
    x, w = rng.standard_normal(10), rng.standard_normal((10, 100)) / np.sqrt(10)
    w = w[:, np.argsort(x @ w)]  # the last unit's z is the largest
    for p in 0.5, 0.2:
        arms = ("vanilla", p, 1), ("inverted", p, 1 - p), ("inverted", p, 1)
        logits = [train(*arm, seed, epochs=2 if quick else 20) for arm in arms]
        apart[str(p)] = [np.abs(logits[0] - other).max() for other in logits[1:]]
    sides = {mode: {str(p): both_sides(x, w, p, mode) for p in PS} for mode in MODES}
    return {"x": x, "all units": x @ w, "sides": sides, "apart": apart}


def claims(numbers: Numbers) -> list[Claim]:
    x, apart, sides = numbers["x"], numbers["apart"], numbers["sides"]
    every = [(1 - float(p) if m == "vanilla" else 1, s) for m in MODES for p, s in sides[m].items()]
    off = {k: max(np.abs(s[k][0] - s[k][1]).max() for _, s in every) for k in ("x", "z", "relu")}
    scaled = [bool(np.all(s["x"][1] == scale * x)) for scale, s in every]
    inflation = [numbers["all units"] / s["z"][0] for s in sides["vanilla"].values()]
    ratio = [s["relu"][0].mean() / s["relu"][1].mean() for s in sides["vanilla"].values()]
    return [
        Claim(
            "On average over the masks, the next layer gets in training what it gets at test time.",
            "[INV], both kinds of dropout",
            "x and z = x w, for p = 0.2, 0.5, 0.8, over all 1,024 masks: equal to 1e-12",
            f"largest difference {off['x']:.0e} in x, {off['z']:.0e} in z",
            bool(off["x"] <= 1e-12 and off["z"] <= 1e-12),
        ),
        Claim(
            "Inverted dropout leaves test time unchanged, vanilla dropout scales by 1 - p.",
            "[INV]",
            "x and (1 - p) x, bit for bit, for 3 p each",
            f"{sum(scaled)} of 6",
            all(scaled),
        ),
        Claim(
            "All units at test time, without compensation, inflate z: by 2 at p = ½.",
            "[INV]",
            "by 1/(1 - p) = 1.25, 2, 5, each of 100 z to 1e-10",
            ", ".join(f"{r.min():.6f} to {r.max():.6f}" for r in inflation),
            all(np.abs(r * (1 - p) - 1).max() <= 1e-10 for r, p in zip(inflation, PS)),
        ),
        Claim(
            "The output of any unit at test time is what is expected in training.",
            "[DO+BN], test",
            "relu(z), too, equal to 1e-12 (p = 0.2, 0.5, 0.8)",
            f"up to {off['relu']:.1f} more in training; on average × {np.round(ratio, 2)}",
            bool(off["relu"] <= 1e-12),
            should_hold=False,
        ),
        Claim(
            "Both train the same network, if weights and rates behind dropout are rescaled.",
            "derived above",
            "the same logits: bit for bit at p = 0.5, to 1e-9 at p = 0.2",
            f"{apart['0.5'][0]:.1g} and {apart['0.2'][0]:.1g} apart; if nothing is rescaled, "
            f"{apart['0.5'][1]:.0f} and {apart['0.2'][1]:.0f}",
            bool(apart["0.5"][0] == 0 and apart["0.2"][0] <= 1e-9),
        ),
    ]


def picture(numbers: Numbers) -> Figure:
    """At p = ½: the largest z under each mask, and all hundred behind their relus, on average."""
    figure, (left, right) = diagram(columns=2, width=12)
    bins = np.histogram_bin_edges(numbers["sides"]["inverted"]["0.5"]["each z"], 40)
    for mode, colour, marker in ("vanilla", "tab:blue", "v"), ("inverted", "tab:orange", "^"):
        side = numbers["sides"][mode]["0.5"]
        left.hist(side["each z"], bins, histtype="step", color=colour, label=f"{mode}, each mask")
        left.axvline(side["z"][0][-1], color=colour, linestyle="--", label=f"{mode}, average")
        left.plot(side["z"][1][-1], 5, marker, color=colour, ms=10, label=f"{mode}, test time")
        right.plot(*side["relu"][::-1], marker, color=colour, ms=5, label=mode)
    left.plot(numbers["all units"][-1], 12, "X", c="tab:blue", ms=9, label="vanilla, not scaled")
    left.set(xlabel="z, what the next layer gets", ylabel="masks, of 1,024", ylim=(0, 190))
    left.set_title("The average over masks is what test time gives")
    right.axline((0, 0), slope=1, color="grey", linestyle=":", label="equal")
    right.set(xlabel="relu(z) at test time", ylabel="relu(z) in training, average over masks")
    right.set_title("Behind a relu, the average is more than that")
    for axes in left, right:
        axes.legend()
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
