"""Does batch normalization speed up training, and steady what the layers get?

    python examples/lesson13_batchnorm_speed.py

Ioffe and Szegedy (2015, section 4.1, figure 1) put batch norm (BN) before the sigmoid of each of
three hidden layers of 100 units, and compare with the same network without.  With BN (a) it needs
fewer steps to recognise digits, and gets better at it, and (b, c) what enters a sigmoid of the last
hidden layer keeps its distribution through training, where it wanders without.

They train 50,000 steps on MNIST; here it is scikit-learn's digits, of 8×8 pixels, for as many
epochs: 50, or 900 steps.  As there, mini-batches have 60 examples and weights start as small
Gaussian numbers (here of standard deviation 0.1).  Both networks start from the same weights and
get the same batches, in plain SGD on cross-entropy.

The paper does not tell its learning rate, so each network is trained at several; its best is the
one with the highest validation accuracy, averaged over the run and all seeds.  Then two comparisons
are made: both at the best rate of the network *without* BN, and each at its own best.  Steps are
those to a validation accuracy of 95 %; a run that never gets there counts as 900, which favours the
slower.  Accuracy at the end is that on the test set, looked at once.  A distribution is that of
what enters a unit over the validation examples in eval mode (so BN's running estimates, which lag
behind at first, count against it); its centre is the median, its spread goes from the 15th to the
85th percentile, as in the figure, and how much either wanders is its standard deviation over the
run, averaged over the 100 units.  The picture has the unit with the median wandering.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from data import Array, batches, load
from ladder import Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure
from training import training_step

from tinygrad_reg import nn, no_grad, optim

RATES, BATCH, EVERY, GOAL, PERCENT = (0.1, 0.3, 1.0, 3.0, 10.0), 60, 5, 0.95, (15, 50, 85)
ARMS = {"no BN": ("tab:blue", "-"), "BN, same rate": ("tab:orange", "--"),
        "BN, its best rate": ("tab:green", ":")}  # fmt: skip


def small_gaussian(shape: tuple[int, ...], rng: np.random.Generator, dtype: type) -> Array:
    return (0.1 * rng.standard_normal(shape)).astype(dtype)


def network(norm: bool, seed: int) -> nn.Sequential:
    linear = partial(nn.Linear, init=small_gaussian, rng=np.random.default_rng(seed))
    layers: list[nn.Module] = []
    for width in (64, 100, 100):
        layers.append(linear(width, 100, bias=not norm))  # with BN the bias is its own β
        layers += [nn.BatchNorm1d(100), nn.Sigmoid()] if norm else [nn.Sigmoid()]
    return nn.Sequential(*layers, linear(100, 10))


def train(norm: bool, rate: float, seed: int, epochs: int) -> Numbers:
    data, model, rng = load("digits", seed), network(norm, seed), np.random.default_rng(seed)
    step = training_step(model, optim.SGD(model.parameters(), lr=rate))
    *before, sigmoid, last = model
    right, percentiles = [], []
    order = [batch for _ in range(epochs) for batch in batches(len(data.y), BATCH, rng)]
    for done, batch in enumerate(order, start=1):
        model.train()
        step(data.x[batch], data.y[batch])
        if done % EVERY == 0:
            with no_grad():
                entering = nn.Sequential(*before).eval()(data.x_validation)
                guess = last(sigmoid(entering)).argmax(axis=1)
            right.append(np.mean(guess == data.y_validation))
            percentiles.append(np.percentile(entering.data, PERCENT, axis=0))
    low, centre, high = np.transpose(percentiles, (1, 0, 2))  # each (times, units)
    typical = np.argsort(centre.std(axis=0))[50]
    return {
        "accuracy": np.array(right),
        "steps": next((EVERY * (i + 1) for i, a in enumerate(right) if a >= GOAL), len(order)),
        "test": np.mean(model.eval()(data.x_test).argmax(axis=1) == data.y_test),
        "centre": centre.std(axis=0).mean(),
        "spread": (high - low).std(axis=0).mean(),
        "typical unit": np.array(percentiles)[:, :, typical],
    }


def one(seed: int, rates: tuple[float, ...], epochs: int) -> list[list[Numbers]]:
    return [[train(norm, rate, seed, epochs) for rate in rates] for norm in (False, True)]


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    rates, epochs = (RATES[2:4], 5) if quick else (RATES, 50)
    found = each_seed(one, seed, seeds, rates, epochs)
    validation = np.mean([[[r["accuracy"].mean() for r in n] for n in f] for f in found], axis=0)
    best, best_with = validation.argmax(axis=1)
    numbers: Numbers = {"rates": rates, "validation": validation}
    for arm, (norm, rate) in zip(ARMS, [(0, best), (1, best), (1, best_with)]):
        runs = [f[norm][rate] for f in found]
        numbers[arm] = {name: np.array([r[name] for r in runs]) for name in runs[0]}
        numbers[arm] |= {"rate": rates[rate], "typical unit": runs[0]["typical unit"]}
    return numbers


def claims(numbers: Numbers) -> list[Claim]:
    plain, rows = numbers["no BN"], []
    for arm in list(ARMS)[1:]:
        bn = numbers[arm]
        for text, name, part, sign, digits in [
            (f"fewer steps to {GOAL:.0%}", "steps", "a", -1, 0),
            ("higher accuracy at the end", "test", "a", 1, 3),
            ("centres wander less", "centre", "b, c", -1, 2),
            ("spreads wander less", "spread", "b, c", -1, 2),
        ]:
            without, with_bn = (mean_sd(side[name], digits) for side in (plain, bn))
            rows.append(
                Claim(
                    f"{arm}: {text}.",
                    f"Ioffe & Szegedy 2015, fig. 1{part}",
                    f"{'less' if sign < 0 else 'more'} than with no BN, by 3 standard errors",
                    f"{with_bn} at rate {bn['rate']:g}; {without} with no BN at {plain['rate']:g}",
                    clearly_above_zero(sign * (bn[name] - plain[name])),
                )
            )
    return rows


def picture(numbers: Numbers) -> Figure:
    figure, axes = diagram(columns=3, width=15, height=4.5)
    for arm, (colour, line) in ARMS.items():
        accuracy = numbers[arm]["accuracy"]
        mean, sd = accuracy.mean(axis=0), accuracy.std(axis=0)
        steps = EVERY * np.arange(1, len(mean) + 1)
        axes[0].plot(steps, mean, line, color=colour, label=f"{arm}: {numbers[arm]['rate']:g}")
        axes[0].fill_between(steps, mean - sd, mean + sd, color=colour, alpha=0.2)
    for axis, arm in zip(axes[1:], ARMS):
        for curve, percent, line in zip(numbers[arm]["typical unit"].T, PERCENT, (":", "-", "--")):
            axis.plot(steps, curve, line, color=ARMS[arm][0], label=f"{percent}th percentile")
        axis.set(xlabel="training step", ylabel="what enters a sigmoid of the last hidden layer")
    axes[0].set(title="(a) With BN far fewer steps are needed")
    axes[0].set(xlabel="training step", ylabel="validation accuracy")
    axes[1].set(title="(b) Without BN a distribution wanders")
    axes[2].set(title="(c) With BN, at the same rate, it soon settles")
    axes[2].sharey(axes[1])
    axes[0].legend(title="learning rate")
    axes[1].legend()
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
