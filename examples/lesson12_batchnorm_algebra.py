"""What does batch norm compute, and why must gradients flow through its mean and its variance?

    python examples/lesson12_batchnorm_algebra.py

For each feature of a mini-batch of M examples ([I&S]: Ioffe & Szegedy 2015, algorithm 1; [DO+BN]):

    μ = Σ z / M     σ² = Σ (z - μ)² / M     z̄ = (z - μ) / √(σ² + ε)     ẑ = γ z̄ + β

What if the backward pass takes μ and σ² for constants?  Section 2 of [I&S] adds a bias b and
subtracts the mean.  A step that ignores how the mean depends on b moves b, the mean moves along,
and nothing has changed: "b will grow indefinitely while the loss remains fixed".  With a division
by σ, too, "the model blows up".  Both are tried on 300 digits at once → W, b → 32 z̄ → relu → 10: b
alone is trained, then everything; learning rate, steps and thresholds were fixed beforehand.  It
does not blow up, perhaps since constants only add to ∂loss/∂z what z̄ undoes: parts along 1 and z̄.
"""

from __future__ import annotations

import numpy as np
from data import Array, load
from ladder import Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure

import tinygrad_reg
from tinygrad_reg import Tensor, grad, nn, optim
from tinygrad_reg import functional as F

M, EPS, LR = 8, 0.01, 0.2


def normalise(z: Tensor, constant: bool = False) -> Tensor:
    """z̄; if `constant`, the backward pass takes μ and σ² for constants, which is wrong."""
    if constant:
        return (z - z.mean(axis=0).detach()) / (z.var(axis=0).detach() + EPS).sqrt()
    return F.batch_norm(z, None, None, eps=EPS)


def algebra(rng: np.random.Generator) -> dict[str, list[Array]]:
    """What the engine finds, and what is claimed, for three features of very different scale."""
    z, batches = 3 + rng.standard_normal((M, 3)) * [0.1, 1, 10], rng.standard_normal((20, M, 3))
    g, average = rng.standard_normal((M, 3)), 0.1 * 0.9 ** np.arange(20)[::-1]
    mean, s, bar = z.mean(axis=0), np.sqrt(z.var(axis=0) + EPS), normalise(z).data
    running = Tensor(0 * s), Tensor(0 * s + 1)
    for batch in batches:
        F.batch_norm(batch, *running, training=True)
    training = grad(lambda z: normalise(z)[0].sum())(z).data[1:]
    evaluation = grad(lambda z: F.batch_norm(z, *running)[0].sum())(z).data[1:]
    gradient = grad(lambda z, constant: (g * normalise(z, constant)).sum())
    right, constants = gradient(z, False).data, gradient(z, True).data
    nudges = 1e-6 * np.eye(z.size).reshape(-1, *z.shape)
    rises = [normalise(z + nudge).data - normalise(z - nudge).data for nudge in nudges]
    slopes = np.sum(g * rises, axis=(1, 2)).reshape(z.shape) / 2e-6
    return {
        "recovery": [F.batch_norm(z, None, None, Tensor(s), Tensor(mean), eps=EPS).data, z],
        "moments": [[bar.mean(axis=0), bar.var(axis=0)], [0 * s, z.var(axis=0) / s**2]],
        "training": [training, (-1 - bar[0] * bar[1:]) / (M * s)],
        "evaluation": [evaluation, 0 * evaluation],
        "running mean": [running[0].data, average @ batches.mean(axis=1)],
        "running variance": [running[1].data, 0.9**20 + average @ batches.var(axis=1, ddof=1)],
        "gradient": [right, (g - g.mean(axis=0) - bar * (g * bar).mean(axis=0)) / s],
        "sum": [right.sum(axis=0), 0 * s],
        "along z̄": [(right * bar).sum(axis=0), (g * bar).sum(axis=0) * EPS / s**3],
        "differences": [right, slopes],
        "μ, σ² constant": [constants, slopes],
    }


def train(seed: int, constant: bool, alone: bool, steps: int) -> Array:
    """Mean |W|, mean |b| and the loss, every 50 steps."""
    data, rng, path = load("digits", seed, 300, np.float64), np.random.default_rng(seed), []
    first, second = (nn.Linear(*s, rng=rng, dtype=np.float64) for s in ((64, 32), (32, 10)))
    everything = [*first.parameters(), *second.parameters()]
    optimizer = optim.SGD([first.bias] if alone else everything, lr=LR)

    def train_step(x: Array, y: Array) -> Tensor:
        loss = F.cross_entropy(second(F.relu(normalise(first(x), constant))), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = tinygrad_reg.compile(train_step, first, second, optimizer)
    for _ in range(steps):
        before = [np.abs(p.data).mean() for p in first.parameters()]
        path.append([*before, step(data.x, data.y).item()])
    return np.array(path[::50])


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    numbers, steps = {"algebra": algebra(np.random.default_rng(seed))}, 201 if quick else 2001
    for name, alone in (("b alone", True), ("all", False)):
        paths = [each_seed(train, seed, seeds, wrong, alone, steps) for wrong in (False, True)]
        numbers[name] = np.array(paths)  # (right and wrong, seeds, 1 + steps / 50, 3)
    return numbers


def claims(numbers: Numbers) -> list[Claim]:
    def exact(*keys: str) -> tuple[str, str, bool]:
        found = ", ".join(f"{key} {off[key]:.0e}" for key in keys)
        return "to 1e-12", f"off by: {found}", max(off[key] for key in keys) <= 1e-12

    off = {key: float(np.abs(np.subtract(*pair)).max()) for key, pair in numbers["algebra"].items()}
    (_, still, _), (_, b, loss) = np.moveaxis(numbers["b alone"], 3, 1)
    jolt, shift = (np.ptp(each, axis=1).max() for each in (np.diff(b), loss))
    start, end = numbers["all"][1, :, 0], numbers["all"][:, :, -1]  # of mean |W|, mean |b|, loss
    above = [clearly_above_zero(more) for more in (end[1] - end[0]).T]
    ends = [", ".join(map(mean_sd, each.T)) for each in end]
    return [
        Claim("z̄ has mean 0 and variance σ² / (σ² + ε); γ = √(σ² + ε), β = μ recover z.",
              "[I&S], algorithm 1; [DO+BN]", *exact("moments", "recovery")),
        Claim("In training ∂z̄₁/∂zᵢ = -(1 + z̄₁ z̄ᵢ) / (M √(σ² + ε)): examples mix; in eval mode 0.",
              "[I&S], § 3.1", *exact("training", "evaluation")),
        Claim("Running statistics are exponential averages, of Σ (z - μ)² / (M - 1) for σ².",
              "[I&S], algorithm 2", *exact("running mean", "running variance")),
        Claim("∂loss/∂z = (g - mean g - z̄ · mean(g z̄)) / √(σ² + ε), where g = ∂loss/∂z̄: "
              "its sum is 0, and its sum along z̄ is 0 up to ε.",
              "[I&S], § 3, solved", *exact("gradient", "sum", "along z̄")),
        Claim("With μ and σ² for constants, it is not the gradient.", "central differences",
              "gradient less than 1e-7 away, the other more than 0.1",
              f"{off['differences']:.0e}; {off['μ, σ² constant']:.1f}",
              off["differences"] < 1e-7 and off["μ, σ² constant"] > 0.1),
        Claim("Then b alone “will grow indefinitely while the loss remains fixed”.", "[I&S], § 2",
              "mean |b| by the same every 50 steps, loss by 0, to 1e-9; gradient: b = 0",
              f"to {mean_sd(b[:, -1], 1)}, off {jolt:.0e}, loss {shift:.0e}; b {still.max():.0e}",
              bool(max(jolt, shift, still.max()) < 1e-9 < b[:, 1].min())),
        Claim("In training everything, W and b grow more, and the loss comes down less.",
              "[I&S], § 2", "final mean |W|, |b|, loss: above the gradient's by 3 standard errors",
              f"{ends[1]}; its {ends[0]}", None if None in above else all(above)),
        Claim("“The model blows up.”", "[I&S], § 2", "final loss above the first, for each seed",
              f"{mean_sd(end[1, :, 2])}; first {mean_sd(start[:, 2])}",
              bool((end[1] > start)[:, 2].all()), should_hold=False),
    ]  # fmt: skip


def picture(numbers: Numbers) -> Figure:
    """The gradient in blue, that with constants in orange; a line for each seed."""
    figure, (left, middle, right) = diagram(3, width=15)
    pairs, steps = numbers["algebra"], 50 * np.arange(numbers["all"].shape[2])
    z, slopes = pairs["recovery"][1][:, 1], pairs["differences"][1][:, 1]
    looks = ("gradient", "o", "tab:blue"), ("μ, σ² constant", "s", "tab:orange")
    for (key, mark, color), alone, every in zip(looks, numbers["b alone"], numbers["all"]):
        left.plot(z, pairs[key][0][:, 1], mark, color=color, mfc="none", ms=10, label=key)
        middle.plot(steps, alone[:, :, 1].T, color=color, lw=0.8)
        middle.plot(steps, alone[:, :, 2].T, ":", color=color, lw=0.8)
        right.plot(steps, every[:, :, 2].T, color=color, lw=0.8)
    left.plot(z, slopes, "k+", ms=10, label="central differences")
    left.set(title="Constants: another gradient", xlabel="z of 8 examples", ylabel="∂loss/∂z")
    middle.set(title="b alone grows, the loss (dotted) stays", xlabel="step", ylabel="|b|, loss")
    right.set(title="All trained: the loss falls less", xlabel="step", ylabel="loss", yscale="log")
    left.legend()
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
