"""What do second derivatives say about a network, and what can one train with them?

    python examples/lesson15_second_order.py

The gradient has a graph, too.  Going back through it gives H v, the Hessian times a vector, and by
power iteration, v ← H v / ‖H v‖, the eigenvalue of largest magnitude: how sharply the loss bends
where it bends most.  [DO+BN] says after Santurkar et al. 2018 that batch norm makes the loss
smoother, so it should be smaller.  Digits → 32 tanh units, 2 or 8 times → 10, with batch norm or
without (no biases, γ and β: the same parameters), same first weights and batches; H of the loss of
64 training examples.  Seen: the opposite, as Yao et al. 2020 saw in shallow networks.  But H goes
as 1/c² there if W is multiplied by c, so first weights made for networks without batch norm do not
suit it: twice as large (tried on seeds 100 to 102, then fixed) it is smoother, at the start.  In
the end all networks fit these examples, and H shrinks with the loss that is left.
Double backpropagation (Drucker & LeCun 1992) trains loss + λ · mean ‖∂loss/∂x‖² (without batch
norm: each example needs a gradient of its own).  Fixed beforehand: SGD, 0.03, momentum 0.9, batches
of 64, 301 steps; λ = 1, the best of 0.01, 0.1, 1, 10 on validation examples of seeds 100 to 104.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise, product

import numpy as np
from data import Array, load, moons
from ladder import Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure

from tinygrad_reg import Tensor, grad, init, optim
from tinygrad_reg import functional as F

CASES = [(2, 1), (8, 1), (8, 2)]  # hidden layers; what the first weights are multiplied by
ARMS = [(*case, norm, 0) for case, norm in product(CASES, (False, True))] + [(2, 1, False, 1)]
SMALL, EVERY = [2, 6, 6, 2], 30  # (arms end with whether there is batch norm, and with λ)


def first_weights(sizes: list[int], seed: int) -> Array:  # θ, one long vector for all layers
    rng = np.random.default_rng(seed)
    return np.concatenate([init.lecun_normal(s, rng, float).ravel() for s in pairwise(sizes)])


def network(theta: Tensor, x: Tensor | Array, sizes: list[int], norm: bool) -> Tensor:
    for n, m in pairwise(sizes):
        weight, theta = theta[: n * m].reshape(n, m), theta[n * m :]
        z = x @ weight
        x = (F.batch_norm(z, None, None) if norm else z).tanh()
    return z


def loss(theta: Tensor, x: Array, y: Array, sizes: list[int], norm: bool, penalty: float) -> Tensor:
    value = F.cross_entropy(network(theta, x, sizes, norm), y)
    if penalty:  # the sum of all losses has the slope of each in its own x
        slopes = grad(lambda x: F.cross_entropy(network(theta, x, sizes, norm), y, "sum"))(x)
        value = value + penalty / len(y) * F.sum_of_squares(slopes)
    return value


def hessian_times(f: partial[Tensor], theta: Array, v: Array) -> Array:
    return grad(lambda theta: F.vdot(grad(f)(theta), v))(theta).numpy()


def top_eigenvalue(f: partial[Tensor], theta: Array) -> float:
    v, before = np.random.default_rng(0).standard_normal(theta.size), 0.0
    while abs((size := np.linalg.norm(v)) - before) > 1e-4 * before:
        v, before = hessian_times(f, theta, v / size), size
    return size


def small_network(norm: bool, penalty: float, seed: int) -> Numbers:
    (x, y), theta = moons(64, 0.2, seed), first_weights(SMALL, seed)
    f = partial(loss, x=x.astype(float), y=y, sizes=SMALL, norm=norm, penalty=penalty)
    g, rows = grad(f), np.eye(theta.size)
    h = np.array([hessian_times(f, theta, v) for v in rows])
    near = [(theta + 1e-5 * step, theta - 1e-5 * step) for step in rows]
    first = [(f(Tensor(a)) - f(Tensor(b))).item() / 2e-5 for a, b in near]
    second = [(g(a) - g(b)).numpy() / 2e-5 for a, b in near]
    top = abs(np.linalg.eigvalsh(h)).max()
    pairs = (g(theta).numpy(), first), (h, second), (h, h.T), (top, top_eigenvalue(f, theta))
    return {"hessian": h, "errors": [np.max(abs(a - b)) / np.max(abs(a)) for a, b in pairs]}


def one_seed(seed: int, steps: int) -> Numbers:
    data, tops, ends = load("digits", seed, dtype=np.float64), [], []
    for depth, scale, norm, penalty in ARMS:
        sizes, order = [64, *[32] * depth, 10], np.random.default_rng(seed)
        f = partial(loss, x=data.x[:64], y=data.y[:64], sizes=sizes, norm=norm, penalty=0)
        theta = Tensor(scale * first_weights(sizes, seed), requires_grad=True)
        optimizer = optim.SGD([theta], lr=0.03, momentum=0.9)
        for step in range(steps + 1):
            if step % EVERY == 0:
                tops.append(top_eigenvalue(f, theta.numpy()))
            batch = order.choice(len(data.y), 64, replace=False)
            optimizer.zero_grad()
            loss(theta, data.x[batch], data.y[batch], sizes, norm, penalty).backward()
            optimizer.step()
        if depth == 2 and not norm:
            test = data.x_test, data.y_test, sizes, norm
            slope = (loss(theta, *test, 1) - loss(theta, *test, 0)).item() ** 0.5
            wrong = network(theta, data.x_test, sizes, norm).argmax(axis=1) != data.y_test
            ends.append([slope, 100 * wrong.mean()])
    return {"tops": np.reshape(tops, (len(ARMS), -1)), "ends": ends}


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    small = [small_network(norm, penalty, seed) for _, _, norm, penalty in ARMS[-3:]]
    return {"small": small, "seeds": each_seed(one_seed, seed, seeds, EVERY if quick else 300)}


def claims(numbers: Numbers) -> list[Claim]:
    errors = np.max([s["errors"] for s in numbers["small"]], axis=0)
    less = np.log10([np.divide(s["tops"][:6:2], s["tops"][1:6:2]) for s in numbers["seeds"]])
    slope, wrong = np.moveaxis([s["ends"] for s in numbers["seeds"]], 2, 0)
    return [
        Claim("Going back through a gradient gives H, and the top eigenvalue without H.",
              "the chain rule", "∂penalty/∂θ and H as central differences to 1e-6; H = Hᵀ to "
              "1e-12; λ to 1e-2", ", ".join(map("{:.0e}".format, errors)),
              bool(np.all(errors <= [1e-6, 1e-6, 1e-12, 1e-2]))),
        *(Claim(f"{depth} hidden layers, W × {scale}, {when}: smoother with batch norm.",
                "[DO+BN], Santurkar 2018", "log₁₀ of top eigenvalue less, by 3 standard errors",
                mean_sd(less[:, i, k], 2), clearly_above_zero(less[:, i, k]), scale == 2 and k == 0)
          for i, (depth, scale) in enumerate(CASES) for k, when in ((0, "start"), (-1, "end"))),
        Claim("A penalty on ∂loss/∂x makes it smaller.", "Drucker & LeCun 1992",
              "its rms on test examples, by 3 standard errors", f"{mean_sd(slope[:, 0])} without, "
              f"{mean_sd(slope[:, -1])} with", clearly_above_zero(slope[:, 0] - slope[:, -1])),
        Claim("Then the network generalises better.", "Drucker & LeCun 1992",
              "less test error, by 3 standard errors", f"{mean_sd(wrong[:, 0], 2)} % without, "
              f"{mean_sd(wrong[:, -1], 2)} % with", clearly_above_zero(wrong[:, 0] - wrong[:, -1])),
    ]  # fmt: skip


def picture(numbers: Numbers) -> Figure:
    figure, (left, right) = diagram(columns=2, width=12)
    left.imshow(numbers["small"][0]["hessian"], "RdBu", vmin=-0.2, vmax=0.2, zorder=3)
    left.set(title="The Hessian of a small network", xlabel="weight", ylabel="weight")
    tops = np.log10([s["tops"] for s in numbers["seeds"]])
    mean, sd = tops.mean(axis=0), tops.std(axis=0, ddof=len(tops) > 1)
    steps = EVERY * np.arange(tops.shape[-1])
    for i, (depth, scale, norm, _) in enumerate(ARMS[:-1]):
        style, name = f"C{norm:d}" + ("-", "--", ":")[i // 2], f"{depth} layers, W × {scale}"
        right.plot(steps, mean[i], style, label=name + ", batch norm" * norm)
        right.fill_between(steps, mean[i] - sd[i], mean[i] + sd[i], color=style[:2], alpha=0.2)
    right.set(xlabel="steps", ylabel="log₁₀ |λ|max ± sd", title="Batch norm smooths large W, early")
    right.legend(bbox_to_anchor=(1, 1))
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
