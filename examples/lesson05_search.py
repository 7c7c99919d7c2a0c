"""How strong should the penalty of each layer be, and which examples may decide that?

    python examples/lesson05_search.py            # stopped by Ctrl-C, the same command goes on
    python examples/lesson05_search.py --dask tcp://HOST:8786    # by the workers of a cluster

[CS4342] adds ½ αᵢ ‖Wᵢ‖² + βᵢ Σ|Wᵢ| to the loss, with strengths of its own for each matrix Wᵢ, and
says that all of them should be optimised on a separate validation set, not on the test set.

For each seed, 100 pairs (α, β) that both layers share and 100 quadruples (α₁, α₂, β₁, β₂) are drawn
log-uniformly.  Each trains a network 64 → 64 → 10 on 200 digits, and is scored on 100 others, the
validation examples.  The best of each kind by accuracy (by loss, where several are best) meets 360
test examples, once, and so does the network without penalties.  Training was fixed beforehand: by
SGD as in train_digits.py, for 40 epochs.  Strengths for each layer were not expected to be better.

The best of many is partly lucky, and here it is little else: it gains 2.7 points of accuracy on
validation examples, and 0.1 ± 1.2 on test examples, too close to 0 for a verdict.  100 examples
cannot tell strengths that help these digits a little from those that happen to fit the examples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data import batches, load
from ladder import Array, Claim, Numbers, clearly_above_zero, diagram, lesson, mean_sd
from matplotlib.figure import Figure
from search import DASK, Setting, search
from training import training_step

from tinygrad_reg import Tensor, init, nn, no_grad, optim
from tinygrad_reg import functional as F

ALPHA, BETA = (1e-4, 1.0), (1e-5, 0.1)  # from what does nothing to what stops all learning
ARMS = {"none": 0, "shared": 1, "own": 2}  # how many α a setting has, and how many β


def evaluate(seed: int, epochs: int, alpha: list[float], beta: list[float], part: str) -> Array:
    """Train with these strengths.  Accuracy and -loss on this part of the data: more is better."""
    data, rng = load("digits", seed, train=200), np.random.default_rng(seed)
    hidden, last = nn.Linear(64, 64, init=init.he_normal, rng=rng), nn.Linear(64, 10, rng=rng)
    model = nn.Sequential(hidden, nn.ReLU(), last)

    def penalty() -> Tensor:
        return F.l2_penalty(model.weights(), alpha) + F.l1_penalty(model.weights(), beta)

    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = training_step(model, optimizer, penalty)
    for _ in range(epochs):
        for batch in batches(len(data.y), 32, rng):
            step(data.x[batch], data.y[batch])
    n = {"validation": 100, "test": 360}[part]
    x, y = getattr(data, f"x_{part}")[:n], getattr(data, f"y_{part}")[:n]
    with no_grad():
        logits = model(x).numpy()
        return np.array([np.mean(logits.argmax(axis=1) == y), -F.cross_entropy(logits, y).item()])


def candidates(arm: str, seed: int, epochs: int, n: int) -> list[Setting]:
    """What is tried: n settings, drawn log-uniformly; without penalties there is but one."""
    rng, shape = np.random.default_rng(seed), (n, ARMS[arm])
    alpha, beta = (np.exp(rng.uniform(*np.log(ends), shape)) for ends in (ALPHA, BETA))
    pairs = zip(alpha.tolist(), beta.tolist()) if ARMS[arm] else [([0.0], [0.0])]
    common = {"seed": seed, "epochs": epochs, "part": "validation"}
    return [{**common, "alpha": [a[0], a[-1]], "beta": [b[0], b[-1]]} for a, b in pairs]


def run(
    quick: bool = False,
    seed: int = 0,
    seeds: int = 10,
    out: Path | None = None,
    dask: str | None = None,
) -> Numbers:
    epochs, n, jobs, step = (5, 4, 1, 3) if quick else (40, 100, -1, 97)
    file = out and out / "settings.jsonl"
    numbers: Numbers = {"same bits": []}
    for arm in ARMS:
        settings = [s for i in range(seeds) for s in candidates(arm, seed + i, epochs, n)]
        scores = search(evaluate, settings, file, jobs, dask)
        again = search(evaluate, settings[::-step], jobs=1)  # here, and backwards
        numbers["same bits"] += [a == b for a, b in zip(again, scores[::-step])]
        best = [max(i, key=scores.__getitem__) for i in np.array_split(range(len(scores)), seeds)]
        tests = search(evaluate, [settings[i] | {"part": "test"} for i in best], file, jobs, dask)
        numbers[arm] = {
            "tried": [[*s["alpha"], *s["beta"], score[0]] for s, score in zip(settings, scores)],
            "best": best,
            "accuracy": [[scores[i][0] for i in best], [score[0] for score in tests]],
        }
    return numbers


def claims(numbers: Numbers) -> list[Claim]:
    none, shared, own = (100 * np.array(numbers[arm]["accuracy"]) for arm in ARMS)
    (chosen, test), same = own - none, numbers["same bits"]  # gains
    return [
        Claim(
            "Strengths chosen on validation examples are no worse on test examples than none.",
            "[CS4342]",
            "gain > -0.5 points, paired, by 3 standard errors",
            f"{mean_sd(test, 1)} points",
            clearly_above_zero(test + 0.5),
            should_hold=False,
        ),
        Claim(
            "Their gain on the examples that they were chosen by is too good to be true.",
            "[CS4342]: why the test set is another",
            "validation gain - test gain > 0, paired, by 3 standard errors",
            f"{mean_sd(chosen - test, 1)} points",
            clearly_above_zero(chosen - test),
        ),
        Claim(
            "Strengths for each layer are better than shared ones.",
            "tried here",
            "difference on test examples > 0, paired, by 3 standard errors",
            f"{mean_sd(own[1] - shared[1], 1)} points",
            clearly_above_zero(own[1] - shared[1]),
            should_hold=False,
        ),
        Claim(
            "A result hangs on its setting alone, not on when and where it is computed.",
            "tried here",
            "the same bits again, one after the other, from the last to the first",
            f"{sum(same)} of {len(same)}",
            all(same),
        ),
    ]


def picture(numbers: Numbers) -> Figure:
    """What was tried and what won, in the plane of each layer, and what the winners are worth."""
    figure, axes = diagram(3, 14, 4.8)
    tried = np.array(numbers["own"]["tried"])
    for i, ax in enumerate(axes[:2]):
        dots = ax.scatter(*tried[:, i:4:2].T, c=100 * tried[:, -1], s=12, vmin=80)
        ax.plot(*tried[numbers["own"]["best"], i:4:2].T, "o", mfc="none", mec="red", ms=9)
        ax.set(xscale="log", yscale="log", xlabel=f"α of W{i + 1}", ylabel=f"β of W{i + 1}")
    figure.colorbar(dots, ax=axes[1], label="validation accuracy, % (red: the best)", extend="min")
    for x, arm, colour, marker in (0, "shared", "tab:blue", "s-"), (2, "own", "tab:orange", "o--"):
        gains = 100 * (np.array(numbers[arm]["accuracy"]) - numbers["none"]["accuracy"])
        axes[2].plot([x, x + 1], gains, color=colour, alpha=0.3)
        axes[2].plot([x, x + 1], gains.mean(axis=1), marker, color=colour, lw=3, ms=9)
    axes[2].set_xticks(range(4), ["shared,\nvalidation", "\ntest", "own,\nvalidation", "\ntest"])
    axes[2].set(title="Much of a choice is luck", ylabel="gain over no penalty, points")
    axes[2].axhline(0, color="black", linestyle=":")
    return figure


main = lesson(run, claims, picture, dask=DASK)

if __name__ == "__main__":
    main()
