"""How can dropout train 2^N networks, when it meets almost every one of them at most once?

    python examples/lesson09_weight_sharing.py

N units that can be dropped make 2^N networks: for N = 100, training meets a few, and none twice.
But they share their weights.  A unit is in 1 - p of them (p is the probability of dropping), a
weight between two such units in (1 - p)², so "each weight will get updated frequently" [WS].

All of that is counted here, in plain SGD (rate 0.1) on digits in mini-batches of 32, with p = ½
behind both relus of a network 64 → 50 → 50 → 10: N = 100.  [WS] has one mask for each mini-batch,
[DO+BN] one for each example: 30 epochs of both.  A network 64 → 5 → 5 → 10, N = 10, gets 600.
Updated means that bits have changed, of a weight between the relus or of a unit's bias.

One guess was wrong: with a mask for each example nearly every step has an example with a given
weight, but these are only 8 of 32 or so, and often the relus let nothing through for any of them.
"""

from __future__ import annotations

import numpy as np
from data import batches, load
from ladder import ENOUGH_SEEDS, Claim, Numbers, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure

from tinygrad_reg import Tensor, nn, optim
from tinygrad_reg import functional as F

P = 0.5


def train(seed: int, units: int, per_example: bool, epochs: int) -> Numbers:
    """Count how often each network is met, and each weight and unit is there, and is updated."""
    data, rng = load("digits", seed), np.random.default_rng(seed)
    sizes = (64, units), (units, units), (units, 10)
    first, second, third = model = nn.Sequential(*(nn.Linear(*size, rng=rng) for size in sizes))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    watched = [second.weight, first.bias, second.bias]
    after = np.concatenate([tensor.data for tensor in watched], axis=None)
    networks, counts, stray = [], np.zeros((3, after.size)), 0
    for _ in range(epochs):
        for batch in batches(len(data.y), 32, rng):
            m1, m2 = rng.random((2, len(batch) if per_example else 1, units)) >= P
            hidden = F.dropout(F.relu(first(Tensor(data.x[batch]))), P, mask=m1)
            hidden = F.dropout(F.relu(second(hidden)), P, mask=m2)
            optimizer.zero_grad()
            F.cross_entropy(third(hidden), data.y[batch]).backward()
            optimizer.step()
            there = np.concatenate([m1.T @ m2, m1.any(axis=0), m2.any(axis=0)], axis=None)
            slope = np.concatenate([tensor.grad.data for tensor in watched], axis=None) != 0
            before, after = after, np.concatenate([tensor.data for tensor in watched], axis=None)
            counts += [there, slope, after != before]
            stray += np.sum((slope | (after != before)) & ~there)
            networks.append(np.packbits(np.hstack([m1, m2]), axis=1))
    met = np.unique(np.concatenate(networks), axis=0, return_counts=True)[1]
    share, weights, others = counts / len(networks), slice(units**2), slice(units**2, None)
    q = 1 - np.repeat([1 - (1 - P) ** 2, P], [units**2, 2 * units]) ** len(m1)  # for some example
    return {
        "networks": np.unique(met, return_counts=True),  # how often met, and how many so often
        "weights": np.unique(counts[2, weights], return_counts=True),
        "share of weights": share[:, weights].mean(axis=1),  # there, with a gradient, updated
        "share of units": share[:, others].mean(axis=1),
        "often": min(np.mean((share[2] > q / 2)[part]) for part in (weights, others)),
        "errors": np.max(np.abs(share[0] - q) / np.sqrt(q * (1 - q) / len(networks))),
        "stray": stray,
    }


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    """If it is to be quick, the small N is 4."""
    table = np.arange(1024)[:, None] >> np.arange(10) & 1
    few, small, many = (5, 2, 10) if quick else (30, 5, 600)
    arms = (50, False, few), (50, True, few), (small, False, many)
    runs = [each_seed(train, seed, seeds, *arm) for arm in arms]
    return {"networks with both": table.T @ table, "N": 2 * small, "runs": runs}


def claims(numbers: Numbers) -> list[Claim]:
    (batch, example, small), n = numbers["runs"], numbers["N"]
    both, errors = numbers["networks with both"], max(run["errors"] for run in batch)
    met = [sum(runs[0]["networks"][1]) for runs in (batch, example)]
    most = max(run["networks"][0][-1] for run in batch + example)
    least = min(run["networks"][0][0] * (sum(run["networks"][1]) == 2**n) for run in small)
    often, seldom = (min(run["often"] for run in runs) for runs in (batch, example))
    share = [np.transpose([r["share of weights"] for r in runs]) for runs in (batch, example)]
    there = share[1][0].mean()
    return [
        Claim(
            "A unit is in half of all networks (“use truth table”), a weight between two in 1/4.",
            "[WS], 6a",
            "N = 10: 512 and 256 of 1,024; N = 100, in training: each to 6 standard errors",
            f"{both[0, 0]} and {both[0, 1]}; at most {errors:.1f} standard errors",
            bool(np.all(both == 256 + 256 * np.eye(10)) and errors <= 6),
        ),
        Claim(
            "Almost every network is trained at most once; for small N it is another matter.",
            "[WS], 3 and 4",
            f"N = 100: of 1.3e30 networks none twice; N = {n}: all {2**n:,}, each twice or more",
            f"N = 100: {met[0]:,} and {met[1]:,} met, at most {most} ×; N = {n}: {least} × or more",
            bool(most == 1 and least >= 2),
        ),
        Claim(
            "Only the network that was sampled is updated.",
            "[WS], 2; [CS4342]",
            "no gradient, no bit changed where a unit was dropped: 0 in all steps of all runs",
            f"{sum(run['stray'] for run in batch + example + small)}",
            all(run["stray"] == 0 for run in batch + example + small),
        ),
        Claim(
            "Yet each weight gets updated frequently: one mask for each mini-batch.",
            "[WS], 6c",
            "95 % of weights and units in more than half of the steps that have them, 1/8 and 1/4",
            f"{often:.0%} at least; a weight is updated in {mean_sd(share[0][2])} of all steps",
            bool(often >= 0.95),
        ),
        Claim(
            "One mask for each example: a weight is there in nearly every step, and so updated.",
            "guessed from [DO+BN]",
            "in 1 - (3/4)^32 = 99.99 ± 0.01 % of the steps; 95 % updated in more than half of them",
            f"in {there:.2%}; updated in {mean_sd(share[1][2])}; {seldom:.0%} at least",
            None if len(example) < ENOUGH_SEEDS else bool(there >= 0.9998 and seldom >= 0.95),
            should_hold=False,
        ),
    ]


def picture(numbers: Numbers) -> Figure:
    """How often networks were met and weights updated, with the first seed."""
    figure, axes = diagram(width=9)
    batch, example, small = (runs[0] for runs in numbers["runs"])
    for run, what, label, colour, style in (
        (batch, "networks", f"networks, {np.dot(*batch['networks']):,} steps", "tab:grey", "-"),
        (small, "networks", f"networks, {np.dot(*small['networks']):,} steps, small N", "k", ":"),
        (batch, "weights", "weights, one mask for each mini-batch", "tab:blue", "-"),
        (example, "weights", "weights, one mask for each example", "tab:orange", "--"),
    ):
        times, many = run[what]
        look = {"histtype": "step", "linewidth": 1.8, "color": colour, "linestyle": style}
        axes.hist(times, np.geomspace(0.8, 3000, 70), weights=many / sum(many), label=label, **look)
    axes.set(xscale="log", xlabel="times trained or updated", ylabel="share of networks, weights")
    axes.set_title(f"N = 100: each network once, each weight often; small N = {numbers['N']}")
    axes.legend()
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
