"""What do L2 and L1 penalties do to the gradient, to the optimum and to the weights?

    python examples/lesson04_penalties.py

[CS4342] adds ½ α ‖W‖² or β Σ|W| to the loss, so α W or β sign(W) to its gradient; sign(0) = 0.
L2 shall keep weights from growing too big, and L1 shall make entries exactly 0.

Softmax regression of digits: first its gradient, bit by bit.  Then its optimum under L2: gradients
must lead where scikit-learn's solver ends, and on diabetes where its Ridge does.  There,
LogisticRegression(C) minimises C Σ loss + ½ ‖W‖², so C = 1 / (n α); Ridge(λ) minimises
Σ error² + λ ‖w‖², so λ = n α / 2; neither penalises the intercept.

Then gradient descent, over seeds: the same split and first weights in all arms.  A step along
-β sign(w) jumps over 0, and back.  A *proximal* step goes down the loss alone, then moves each w by
lr·β towards 0, and no further.  A step takes the whole training set: noise of mini-batches would
push entries off 0.  Rate, strengths and thresholds were fixed beforehand; claims must hold for all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from data import Array, Data, load
from ladder import Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

from tinygrad_reg import Tensor, grad, nn, optim, value_and_grad
from tinygrad_reg import functional as F

ARMS = {"no penalty": (0, 0, 0), "L2": (1, 0, 0), "L1": (0, 1, 0), "L1, proximal": (0, 0, 1)}
STRENGTHS = 1e-4, 3e-4, 1e-3, 3e-3  # α for L2, β for L1
LR, ALPHA, SMALL = 0.2, 0.01, 1e-3  # a jump over 0, by lr·β, is smaller than SMALL


def wrong_entries(x: Array, y: Array) -> list[int]:
    """In how many entries the gradient with L2, with L1 is not as claimed, to the last bit."""
    w = np.random.default_rng(0).integers(-2, 3, (64, 10)) / 7  # about a fifth are 0

    def loss(w: Tensor) -> Tensor:
        return F.cross_entropy(x @ w, y)

    plain = grad(loss)(w).data
    l2 = grad(lambda w: loss(w) + F.l2_penalty(w, 0.3))(w).data
    l1 = grad(lambda w: loss(w) + F.l1_penalty(w, 0.3))(w).data
    return [int(np.sum(l2 != plain + 0.3 * w)), int(np.sum(l1 != plain + 0.3 * np.sign(w)))]


def compare(loss: Callable[..., Tensor], x: Array, y: Array, theirs: Array) -> Numbers:
    """The least loss + ½ α ‖W‖² we find, and what it is at theirs: W, with b as its last row."""

    def objective(theta: Tensor) -> Tensor:
        return loss(x @ theta[:-1] + theta[-1], y) + F.l2_penalty(theta[:-1], ALPHA)

    def downhill(theta: Array) -> tuple[float, Array]:
        value, gradient = value_and_grad(objective)(theta.reshape(theirs.shape))
        return value.item(), gradient.numpy().ravel()

    ours = minimize(downhill, np.zeros(theirs.size), jac=True, method="L-BFGS-B", tol=1e-12)
    return {"ours": ours.fun, "scikit-learn": downhill(theirs)[0], "theta": ours.x}


def train(data: Data, seed: int, steps: int, l2: float, l1: float, proximal: float) -> Array:
    """The weights after so many steps with penalties of these strengths."""
    model = nn.Linear(64, 10, rng=np.random.default_rng(seed))
    w, optimizer = model.weight, optim.SGD(model.parameters(), lr=LR)
    for _ in range(steps):
        loss = F.cross_entropy(model(data.x), data.y) + F.l2_penalty(w, l2) + F.l1_penalty(w, l1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        w.data = np.sign(w.data) * np.maximum(np.abs(w.data) - LR * proximal, 0)
    return w.numpy()


def one(seed: int, steps: int, strengths: tuple[float, ...]) -> Numbers:
    data = load("digits", seed)
    arms = [[[a * s for a in arm] for s in strengths] for arm in ARMS.values()]
    w = np.array([[train(data, seed, steps, *each) for each in arm] for arm in arms])
    near = {"w²": w**2, "small": np.abs(w) < SMALL, "zero": w == 0}  # (arms, strengths, 64, 10)
    hover = [np.median(np.abs(a[b == 0])) / (LR * s) for a, b, s in zip(w[2], w[3], strengths)]
    shares = {key: values.mean(axis=(2, 3)) for key, values in near.items()}
    return shares | {"hover": hover, "w": w[:, -1]}


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    x, y, *_ = load("digits", seed, dtype=np.float64)
    logistic = LogisticRegression(C=1 / (len(y) * ALPHA), tol=1e-8, max_iter=1000).fit(x, y)
    theirs = np.vstack([logistic.coef_.T, logistic.intercept_])
    numbers = {"wrong": wrong_entries(x, y), "softmax": compare(F.cross_entropy, x, y, theirs)}
    x, y, *_ = load("diabetes", seed, dtype=np.float64)
    ridge = Ridge(len(y) * ALPHA / 2).fit(x, y)
    numbers["ridge"] = compare(F.mse_loss, x, y, np.append(ridge.coef_, ridge.intercept_))
    found = each_seed(one, seed, seeds, *((200, STRENGTHS[2:]) if quick else (2000, STRENGTHS)))
    return numbers | {key: np.array([each[key] for each in found]) for key in found[0]}


def weak_to_strong(values: Array) -> str:
    return f"{mean_sd(values[:, 0])} to {mean_sd(values[:, -1])}"


def claims(numbers: Numbers) -> list[Claim]:
    wrong, hover = numbers["wrong"], numbers["hover"].max()
    gaps = [abs(1 - numbers[m]["ours"] / numbers[m]["scikit-learn"]) for m in ("softmax", "ridge")]
    square, small, zero = (np.moveaxis(numbers[key], 1, 0) for key in ("w²", "small", "zero"))
    return [
        Claim("½ α ‖W‖² adds α W to the gradient, β Σ|W| adds β sign(W); sign(0) = 0.",
              "[CS4342], L₁, L₂ regularization", "equal to the last bit in all 640 entries",
              f"{wrong[0]} and {wrong[1]} entries differ", not any(wrong)),
        Claim("With L2, softmax and ridge regression end where scikit-learn's do.",
              "both are convex", "least objectives equal to 1e-6, relatively",
              f"they differ by {gaps[0]:.0e} and {gaps[1]:.0e}", bool(max(gaps) <= 1e-6)),
        Claim("L2 prevents the weight matrix from growing too big.",
              "[CS4342], L₂", "mean w²: below that without by 3 standard errors",
              f"{weak_to_strong(square[1])}; without {mean_sd(square[0, :, 0])}",
              clearly_above_zero((square[0] - square[1]).min(axis=1))),
        Claim("L1 drives entries to 0, L2 does not.",
              "[CS4342], L₁", "share of |w| < 0.001: above that with L2 by 3 standard errors",
              f"{weak_to_strong(small[2])}; with L2 {weak_to_strong(small[1])}",
              clearly_above_zero((small[2] - small[1]).min(axis=1))),
        Claim("Gradient steps do not make them exactly 0; proximal steps do.",
              "[CS4342]: “exactly 0”", "share of 0 below 0.01, proximal above by 3 standard errors",
              f"{weak_to_strong(zero[2])}; proximal {weak_to_strong(zero[3])}",
              bool(zero[2].max() < 0.01) and clearly_above_zero((zero[3] - zero[2]).min(axis=1))),
        Claim("Entries that proximal steps make 0 stay about a jump away with gradient steps.",
              "w ← w - lr (g ± β), |g| < β", "median |w| at most 2 lr·β, for each seed",
              f"at most {hover:.2f} lr·β", bool(hover <= 2)),
    ]  # fmt: skip


def picture(numbers: Numbers) -> Figure:
    figure, axes = diagram(5, width=16, height=3.8)
    for axis, arm, w, line in zip(axes, ARMS, numbers["w"][0], ("-", "--", ":", "-.")):
        image = axis.imshow(np.ma.masked_equal(w[:, 3], 0).reshape(8, 8), "PuOr", vmin=-1, vmax=1)
        axis.set(title=arm, xticks=[], yticks=[], facecolor="lightgrey")
        heights, edges = np.histogram(np.log10(abs(w).clip(1.2e-7)), np.arange(-7, 1, 0.25))
        axes[4].stairs(heights, edges, ls=line, lw=2, label=arm)
    axes[4].set(xlabel="log₁₀ |w| (far left: exactly 0)", ylabel="weights, of 640", yscale="log")
    axes[4].legend(fontsize="small", bbox_to_anchor=(1, 1))
    figure.colorbar(image, ax=axes[:4], label="weight", shrink=0.8, extend="both")
    figure.suptitle("Digit 3's weights: L1 leaves few, proximal steps make the others 0 (grey)")
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
