"""Does dropout fight overfitting, and when?

    python examples/lesson10_overfitting.py

A network with more weights than examples can learn them by heart, and err on new ones.  Dropout, to
set each hidden unit to zero with probability p in training, is to prevent that [DO+BN, CS4342].
But it also takes strength from the network: "if dropout is not working for you, you should probably
be using a bigger network" [INV].  So when does it pay?  Three sweeps, two of them as in Srivastava
et al. 2014: over the keep probability 1 - p, the number of training examples, and the width.  A
gain is the error without dropout minus that with p = 0.5, in points of percent.

The network is 64 → width → width → 10, relu and dropout behind both hidden layers.  Each arm gets
2,000 steps of Adam on batches of 32, its rate falling to 0 along a cosine from the one of 0.001,
0.003 and 0.01 that had the least validation error on other seeds, averaged over arms.  The arms of
a seed share split, first weights and batches.  "Best" is best on validation, averaged over seeds.

On seeds 0 to 9 no gain was seen (width 256) or a small one (128): to know right labels by heart is
no harm.  So all is done twice, also with a fifth of the training labels wrong, on seeds that nobody
had seen (--seed 0 means 10): the small gain is gone, but with wrong labels dropout pays, the more,
the more examples (up to 1,000).  Not at width 512: half of so many units still learn 200 labels.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from data import load
from ladder import Array, Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure
from training import training_step

from tinygrad_reg import nn, optim

LABELS = {0.0: "right labels", 0.2: "a fifth wrong"}  # of the training examples
HERE = {"wrong": 0.0, "n": 200, "width": 128, "keep": 0.5}  # where all sweeps meet
AXES = "keep probability 1 - p", "training examples", "units in each hidden layer"


def one(seed: int, arms: list[Numbers], steps: int) -> list[list[float]]:
    """For each arm the errors in percent on training, validation and test set."""
    errors = []
    for arm in arms:
        n, width, p = arm["n"], arm["width"], 1 - arm["keep"]
        data = load("digits", seed, n)
        rng, order, noise = (np.random.default_rng([seed, part]) for part in range(3))
        y = (data.y + noise.integers(1, 10, n) * (noise.random(n) < arm["wrong"])) % 10
        layers: list[nn.Module] = []
        for size in 64, width:
            layers += [nn.Linear(size, width, rng=rng), nn.ReLU(), nn.Dropout(p, rng=rng)]
        model = nn.Sequential(*layers, nn.Linear(width, 10, rng=rng))
        optimizer = optim.Adam(model.parameters(), lr=3e-3)
        schedule = optim.CosineAnnealingLR(optimizer, T_max=steps)
        step = training_step(model, optimizer)
        for _ in range(steps):
            batch = order.permutation(n)[:32]
            step(data.x[batch], y[batch])
            schedule.step()
        model.eval()  # nothing is dropped any more
        parts = (data.x, y), data[2:4], data[4:]
        errors.append([100 * np.mean(model(x).numpy().argmax(1) != y) for x, y in parts])
    return errors


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    sweeps = {
        "keep": [0.1, 0.5, 1.0] if quick else [k / 10 for k in range(1, 11)],
        "n": [20, 200, 1000] if quick else [20, 50, 100, 200, 500, 1000],
        "width": [8, 32, 128] if quick else [8, 16, 32, 64, 128, 256, 512],
    }
    arms: list[Numbers] = []
    for name, wrong, keep in product(sweeps, LABELS, (0.5, 1.0)):
        arms += [arm for arm in arms_along(name, sweeps[name], wrong, keep) if arm not in arms]
    errors = each_seed(one, 10 + seed, seeds, arms, 60 if quick else 2000)
    return {"sweeps": sweeps, "arms": arms, "errors": np.array(errors)}


def arms_along(name: str, values: list[float], wrong: float, keep: float) -> list[Numbers]:
    return [HERE | {"wrong": wrong, "keep": keep, name: value} for value in values]


def error(numbers: Numbers, name: str, wrong: float, keep: float = 0.5) -> Array:
    """The errors along a sweep: (training, validation and test set; values; seeds)."""
    arms = arms_along(name, numbers["sweeps"][name], wrong, keep)
    which = [numbers["arms"].index(arm) for arm in arms]
    return numbers["errors"][:, which].transpose(2, 1, 0)


def claims(numbers: Numbers) -> list[Claim]:
    keeps, sizes, widths = numbers["sweeps"].values()
    found = []
    for wrong, labels in LABELS.items():
        fit, choice, test = error(numbers, "keep", wrong)
        best = 1 + choice[1:-1].mean(axis=1).argmin()
        _, choice, by_n = error(numbers, "n", wrong, 1.0) - error(numbers, "n", wrong)
        middle = 1 + choice[1:-1].mean(axis=1).argmax()
        *_, by_width = error(numbers, "width", wrong, 1.0) - error(numbers, "width", wrong)
        narrow, wide = by_width[[0, -1]]
        rows = [
            ("to keep some units is better than to keep all", "Srivastava 2014, fig. 9a",
             "test error at keep = 1 above that at the best keep below 1",
             f"{mean_sd(test[-1], 1)} % at 1, {mean_sd(test[best], 1)} % at {keeps[best]:g}",
             wrong > 0, [test[-1] - test[best]]),
            ("to keep too few underfits", "Srivastava 2014, fig. 9a",
             f"test error at {keeps[0]:g} above that at the best, training error above that at 1",
             f"test {mean_sd(test[0], 1)} %, training {mean_sd(fit[0], 1)} %",
             True, [test[0] - test[best], fit[0] - fit[-1]]),
            ("most is gained with a middling number of examples", "Srivastava 2014, fig. 10",
             f"gain at the best n between above that at {sizes[0]} and that at {sizes[-1]}",
             ", ".join(f"{mean_sd(by_n[i], 1)} at {sizes[i]}" for i in (0, middle, -1)),
             False, [by_n[middle] - by_n[0], by_n[middle] - by_n[-1]]),
            ("dropout harms a narrow network", "Srivastava 2014, app. A.1",
             f"gain below 0 at width {widths[0]}", mean_sd(narrow, 1), True, [-narrow]),
            ("dropout helps a wide network", "[INV], use a bigger network",
             f"gain above 0 at width {widths[-1]}", mean_sd(wide, 1), False, [wide]),
        ]  # fmt: skip
        for text, source, expected, measured, should, differences in rows:
            clear = [clearly_above_zero(d) for d in differences]
            holds = None if None in clear else all(clear)
            expected = f"{expected}, by > 3 standard errors"
            found.append(Claim(f"{labels}: {text}", source, expected, measured, holds, should))
    return found


def picture(numbers: Numbers) -> Figure:
    figure, axes = diagram(3, width=13, height=5.5)
    for ax, (name, values), label in zip(axes, numbers["sweeps"].items(), AXES):
        for wrong, keep in product(LABELS, (0.5, 1.0)[: 1 + (name != "keep")]):
            training, _, test = error(numbers, name, wrong, keep)
            color, marker = "tab:orange" if wrong else "tab:blue", "o" if keep < 1 else "s"
            for e, line, part in (test, "-", "test"), (training, ":", "training"):
                mean, sd = e.mean(axis=1), e.std(axis=1)
                legend = f"{LABELS[wrong]}, {part}, p = {1 - keep:g}"
                ax.plot(values, mean, marker + line, color=color, label=legend)
                ax.fill_between(values, mean - sd, mean + sd, color=color, alpha=0.12, lw=0)
        ax.set(xlabel=label, xscale="linear" if name == "keep" else "log", ylim=(-1, 50))
        ax.set_xticks(values, values)
        ax.minorticks_off()
    axes[0].set_ylabel("error, %")
    figure.suptitle("Dropout pays with wrong labels and many examples, and harms narrow networks")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
