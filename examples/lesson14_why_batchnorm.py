"""Why does batch normalization help: steadier inputs for each layer, or a smoother landscape?

    python examples/lesson14_why_batchnorm.py

Batch norm (BN), say Ioffe and Szegedy, reduces covariate shift: what a layer gets keeps changing
its distribution while the layers before it learn.  Santurkar et al. (2018) object that noise after
BN, which scales and shifts each unit by new random numbers at every step, shifts more than no BN,
and training stays as fast (fig. 2).  Rather BN makes the landscape smoother: if at every step one
walks on along the gradient, (a) the loss varies less, (b) the gradient changes less, and (c) so
does its change per distance, "effective β-smoothness", ‖∇L(W) - ∇L(W + d)‖ / ‖d‖ (fig. 4).

There VGG learns CIFAR-10; here 12 layers of 64 relu units learn scikit-learn's digits.  All start
from the same weights (He's), see the same batches, and take plain steps of SGD at the paper's rate
of 0.1; the walk goes ½, 1, 2 and 4 times as far.  W are the weight matrices, which both have.
Depth and budget were fixed by looking at the network without BN alone, on other seeds: it learns,
and takes the whole time.  (a, b, c) are averages of logarithms.  Shift is how far what enters a
relu moves from one mini-batch to the next, √(Δμ² + Δσ²) / σ; learning is mean batch accuracy.

Not all comes out.  Over the whole run only (a) holds: without BN the loss falls to zero at last,
and zero is flat.  So the first half was compared as well (thought of afterwards on seeds 0 to 9,
and true on seeds 10 to 19): there (b) holds, too.  (c) does not: while they learn, both networks
are near 2 / rate = 20, the edge where steps become unstable (Cohen et al. 2021), and at half the
rate nearly twice as high.  Noise costs most of what BN gains, perhaps because 12 layers have it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from data import Array, batches, load
from ladder import Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure

from tinygrad_reg import Tensor, init, no_grad, optim, value_and_grad
from tinygrad_reg import functional as F

SHAPES, BATCH, RATE = [(64, 64)] * 12 + [(64, 10)], 60, 0.1
ARMS = {"no BN": ("tab:blue", "o-"), "BN": ("tab:orange", "s--"), "noisy BN": ("black", "^")}


def noise(x: Tensor, rng: np.random.Generator) -> Tensor:
    shift = rng.uniform(-0.5, 0.5, x.shape[1]) + rng.uniform(-0.1, 0.1, x.shape)
    return x * (rng.uniform(1, 1.25, x.shape[1]) + rng.normal(0, 0.1, x.shape)) + shift


def network(arm: str, rng: Any, norms: list[Tensor], x: Any, y: Array, *weights: Tensor) -> Any:
    """Loss, how much is right, and μ and σ of what enters each relu; `norms` are γ and β."""
    moments = []
    for w, scale, bias in zip(weights, norms[::2], norms[1::2]):
        x = x @ w + bias if arm == "no BN" else F.batch_norm(x @ w, None, None, scale, bias)
        x = noise(x, rng) if arm == "noisy BN" else x
        moments.append([x.data.mean(axis=0), x.data.std(axis=0)])
        x = F.relu(x)
    logits = x @ weights[-1]
    return F.cross_entropy(logits, y), np.mean(logits.data.argmax(axis=1) == y), moments


@no_grad()
def walk(model: Any, weights: list[Tensor]) -> list[float]:
    """(a), (b) and (c) at these weights."""
    look = value_and_grad(lambda *w: model(*w)[0], tuple(range(len(weights))))
    here, losses, changes, smoothness = look(*weights)[1], [], [], []
    for far in RATE * np.array([0.5, 1, 2, 4]):
        loss, there = look(*(w - far * g for w, g in zip(weights, here)))
        losses.append(loss.item())
        changes.append(F.sum_of_squares(*(t - h for t, h in zip(there, here))).sqrt().item())
        smoothness.append(changes[-1] / (far * F.sum_of_squares(*here).sqrt().item()))
    return [np.ptp(losses), max(changes), max(smoothness)]


def one(seed: int, epochs: int) -> Numbers:
    data, found = load("digits", seed, dtype=float), {"walk": [], "shift": [], "learning": []}
    for arm in ARMS:
        rng, noises = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        weights = [Tensor(init.he_normal(shape, rng, float), True) for shape in SHAPES]
        norms = [Tensor(np.full(64, start), True) for _ in SHAPES[1:] for start in (1.0, 0.0)]
        optimizer = optim.SGD(weights + norms, lr=RATE)
        walks, right, moments = [], [], []
        for batch in [b for _ in range(epochs) for b in batches(len(data.y), BATCH, rng)]:
            model = partial(network, arm, noises, norms, data.x[batch], data.y[batch])
            walks += [walk(model, weights)] if arm != "noisy BN" else []
            loss, correct, entering = model(*weights)
            right.append(correct)
            moments.append(entering)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        moved = np.sqrt((np.diff(moments, axis=0) ** 2).sum(axis=2))  # (steps - 1, layers, units)
        found["shift"].append(np.mean(moved / np.array(moments)[:-1, :, 1]))
        found["learning"].append(np.mean(right))
        found["walk"] += [np.log(walks)] if walks else []
    return found


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    found = each_seed(one, seed, seeds, 1 if quick else 15)
    logs, shift, learning = (np.array([f[name] for f in found]) for name in found[0])
    less, curves, sd = logs[:, 0] - logs[:, 1], logs.mean(axis=0), logs.std(axis=0)
    ranges = {"whole": less.mean(axis=1), "half": less[:, : less.shape[1] // 2].mean(axis=1)}
    curves = np.exp([curves - sd, curves, curves + sd])  # (3, no BN and BN, steps, 3)
    return {**ranges, "curves": curves, "shift": shift.T, "learning": learning.T}


def claims(numbers: Numbers) -> list[Claim]:
    (a, b, c), b_half = numbers["whole"].T, numbers["half"][:, 1]
    (no, bn, noisy), shift = numbers["learning"], numbers["shift"]
    more = shift[2] - shift[:2].max(axis=0)
    walked = [f"{np.exp(-d.mean()):.2g} times that without BN" for d in (a, b, b_half, c)]
    moved = ", ".join(f"{arm} {mean_sd(v, 2)}" for arm, v in zip(ARMS, shift))
    learnt = ", ".join(f"{arm} {mean_sd(v, 2)}" for arm, v in zip(ARMS, numbers["learning"]))
    rows = [
        ("fig. 4a", "With BN the loss varies less.", walked[0], a, True),
        ("fig. 4b", "With BN the gradient changes less.", walked[1], b, False),
        ("fig. 4b", "In the first half it does (asked afterwards).", walked[2], b_half, True),
        ("fig. 4c", "With BN the gradient changes less per distance.", walked[3], c, False),
        ("fig. 2", "Noise shifts more than BN, and than no BN.", moved, more, True),
        ("fig. 1", "BN learns faster than no BN.", learnt, bn - no, True),
        ("fig. 2", "With noise it still does.", learnt, noisy - no, False),
        ("fig. 2", "Noise costs under half of it.", learnt, noisy - (no + bn) / 2, False),
    ]
    return [
        Claim(text, "Santurkar 2018, " + n, "by 3 standard errors", m, clearly_above_zero(d), ok)
        for n, text, m, d, ok in rows
    ]


def picture(numbers: Numbers) -> Figure:
    figure, axes = diagram(columns=4, width=16, height=4.5)
    for i, (arm, (colour, look)) in enumerate(ARMS.items()):
        for axis, curve in zip(axes, numbers["curves"][:, i].T if i < 2 else []):
            axis.plot(curve[:, 1], look[1:], color=colour, label=arm)
            axis.fill_between(range(len(curve)), *curve[:, ::2].T, color=colour, alpha=0.2)
            axis.set(xlabel="training step", yscale="log")
        axes[3].plot(numbers["shift"][i], numbers["learning"][i], look[0], color=colour, label=arm)
    axes[0].set(title="(a) With BN the loss varies less", ylabel="range of the loss on the walk")
    axes[1].set(title="(b) At first, the gradient, too", ylabel="largest change of the gradient")
    axes[2].set(title="(c) Not per distance: the rate sets that", ylabel="effective β-smoothness")
    axes[2].axhline(2 / RATE, color="black", linestyle=":", label="2 / rate")
    axes[3].set(title="Noise shifts most", xlabel="shift (in σ)", ylabel="learning (accuracy)")
    for axis in axes:
        axis.legend()
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
