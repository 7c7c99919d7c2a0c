"""What does DropConnect drop that dropout does not, and does it pay?

    python examples/lesson11_dropconnect.py

DropConnect drops "single weights instead of full neurons" [INV].  Before a layer z = x W + b,
dropout sets inputs xᵢ to zero, and with each a whole row of W; DropConnect sets single entries of W
to zero (Wan et al. 2013).  In training both divide what is left by 1 - p; at test time both use all
of it.  What that means is looked at in a small layer, and over all masks of a tiny one.

Then both regularise the second and third layer of 64 → 128 → 128 → 10 on digits, with a fifth of
the training labels wrong: there lesson 10 saw dropout help, and its steps and rate are used.  Of
four p each method takes that with the least validation error, averaged over the seeds; then the
test set is looked at.  Arms of a seed share split, first weights and batches.

Both help, but DropConnect is not the better one here, as it mostly was for Wan et al.  They draw a
mask for each example, and sample z at test time; here one mask serves a mini-batch, then the mean
weights do.  Dropout with one mask does as well; but DropConnect may like a p above all four.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from data import load
from ladder import Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure
from training import training_step

from tinygrad_reg import Tensor, grad, nn, optim, random
from tinygrad_reg import functional as F

METHODS, PS = ("dropout", "dropout, one mask", "DropConnect"), (0.2, 0.4, 0.6, 0.8)


class OneMask(nn.Dropout):
    """Dropout with the same mask for all examples of a mini-batch."""

    def forward(self, x: Tensor) -> Tensor:
        rng = random.generator(self.rng)  # a compiled step sees what is drawn from it
        return F.dropout(x, self.p, self.training, mask=rng.random(x.shape[1]) >= self.p)


def one(seed: int, arms: list[tuple[str, float]], steps: int) -> list[list[float]]:
    """For each arm the errors in percent on validation and test set."""
    data, errors = load("digits", seed), []
    n = len(data.y)
    for method, p in arms:
        rng, order, noise = (np.random.default_rng([seed, part]) for part in range(3))
        y = (data.y + noise.integers(1, 10, n) * (noise.random(n) < 0.2)) % 10  # a fifth is wrong
        drop = OneMask if method == "dropout, one mask" else nn.Dropout
        units, weights = (0, p) if method == "DropConnect" else (p, 0)
        layers: list[nn.Module] = [nn.Linear(64, 128, rng=rng)]
        for k in 128, 10:
            layers += [nn.ReLU(), drop(units, rng=rng)]
            layers += [nn.DropConnectLinear(128, k, weights, rng=rng)]
        model = nn.Sequential(*layers)
        optimizer = optim.Adam(model.parameters(), lr=3e-3)
        schedule = optim.CosineAnnealingLR(optimizer, T_max=steps)
        step = training_step(model, optimizer)
        for _ in range(steps):
            batch = order.permutation(n)[:32]
            step(data.x[batch], y[batch])
            schedule.step()
        model.eval()  # nothing is dropped any more
        parts = data[2:4], data[4:]
        errors.append([100 * np.mean(model(x).numpy().argmax(1) != y) for x, y in parts])
    return errors


def small_layer(seed: int) -> Numbers:
    """The gradient of 12×10 weights where single ones, their rows, or inputs are dropped."""
    rng = np.random.default_rng(seed)
    x, w, y = rng.standard_normal((32, 12)), rng.standard_normal((12, 10)), rng.integers(0, 10, 32)
    single, inputs = rng.random((12, 10)) < 0.5, rng.random(12) < 0.5
    losses = {
        "single": lambda w: F.cross_entropy(x @ F.dropconnect(w, 0.5, mask=single), y),
        "rows": lambda w: F.cross_entropy(x @ F.dropconnect(w, 0.5, mask=inputs[:, None]), y),
        "inputs": lambda w: F.cross_entropy(F.dropout(x, 0.5, mask=inputs) @ w, y),
    }
    slopes = {name: grad(loss)(w).numpy() for name, loss in losses.items()}
    return {"single": single, "inputs": inputs, "gradients": slopes}


def every_mask(seed: int, p: float = 0.3) -> Numbers:
    """Over all masks of 3 inputs, or of 3×2 weights: how many networks, and what z on average."""
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal(3), rng.standard_normal((3, 2))
    found: Numbers = {"without": x @ w}
    for name, shape in ("dropout", (3, 1)), ("DropConnect", (3, 2)):
        masks = np.array([*product((0, 1), repeat=shape[0] * shape[1])])
        probability = np.prod(np.where(masks, 1 - p, p), axis=1)
        z = np.array([x @ F.dropconnect(w, p, mask=m.reshape(shape)).numpy() for m in masks])
        found[name] = {"networks": len(np.unique(z, axis=0)), "mean": probability @ z}
    return found


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    arms = [("none", 0.0), *product(METHODS, (0.4,) if quick else PS)]
    errors = np.array(each_seed(one, seed, seeds, arms, 60 if quick else 2000))
    best: Numbers = dict.fromkeys(method for method, _ in arms)
    for i in np.argsort(-errors[:, :, 0].mean(axis=0)):  # the last of each method is its best
        best[arms[i][0]] = {"p": arms[i][1], "test": errors[:, i, 1]}
    return small_layer(seed) | every_mask(seed) | {"arms": arms, "errors": errors, "best": best}


def claims(numbers: Numbers) -> list[Claim]:
    slopes, best, single = (numbers[name] for name in ("gradients", "best", "single"))
    zeros, apart = np.sum(slopes["single"] == 0), abs(slopes["inputs"] - slopes["rows"]).max()
    few, many = numbers["dropout"], numbers["DropConnect"]
    off = max(abs(layer["mean"] - numbers["without"]).max() for layer in (few, many))
    rows = [
        Claim("DropConnect drops weights one by one, dropout by whole rows.", "[INV]",
              "gradient 0 where dropped and only there; dropout's the same as of rows, to the bit",
              f"{zeros} zeros for {np.sum(~single)} dropped; {apart:g} apart",
              np.array_equal(slopes["single"] != 0, single) and apart == 0),
        Claim("3 inputs, 6 weights: 2³ or 2⁶ networks, and z is on average what it is without.",
              "[WS]; Wan et al. 2013", "8 and 64; means to 1e-12",
              f"{few['networks']} and {many['networks']}; largest difference {off:.0e}",
              (few["networks"], many["networks"]) == (8, 64) and off < 1e-12),
    ]  # fmt: skip
    for method, other in ("dropout", "none"), ("DropConnect", "none"), ("DropConnect", "dropout"):
        source = "[DO+BN]" if method == "dropout" else "Wan et al. 2013"
        both = [f"{mean_sd(best[m]['test'], 2)} % (p = {best[m]['p']:g})" for m in (method, other)]
        holds = clearly_above_zero(best[other]["test"] - best[method]["test"])
        text, expected = f"{method} errs less than {other}.", "test error, by > 3 standard errors"
        rows.append(Claim(text, source, expected, " against ".join(both), holds, other == "none"))
    return rows


def picture(numbers: Numbers) -> Figure:
    figure, axes = diagram(3, width=14.5)
    rows = np.repeat(numbers["inputs"][:, None], 10, axis=1)
    masks = {"Dropout: rows": rows, "DropConnect: entries": numbers["single"]}
    for ax, (what, kept) in zip(axes, masks.items()):
        ax.imshow(kept, cmap="Blues", vmax=1.5)
        ax.set(title=f"{what} of W, white if dropped", xlabel="unit", ylabel="input")
        ax.grid(False)
    names = [f"{method}\np = {best['p']:g}" for method, best in numbers["best"].items()]
    tests = np.array([best["test"] for best in numbers["best"].values()])
    axes[2].plot(names, tests, "o-", color="tab:blue", alpha=0.3, lw=0.8)
    axes[2].errorbar(names, tests.mean(1), tests.std(1), fmt="s", color="tab:orange", capsize=4)
    axes[2].set(title="With wrong labels, both help", ylabel="test error, %", ylim=(0, None))
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
