"""Which parameters never learn if they start at zero, and how large should weights start?

    python examples/lesson03_initialisation.py

In z = W1 x + b1, ŷ = softmax(W2 relu(z) + b2), [CS4342] sets all to zero, W1 and b1, or W2 and b2.
What will SGD (learning rate 0.1, batches of 32, 60 epochs) never change?  After each step, every
parameter is compared with its start, bit by bit; digits 5 to 9 are half as frequent as 0 to 4.

Weights are to start with mean 0 and deviation 1/√fan_in, so that "within certain NNs" gradients are
not zero.  That, a tenth and ten times of it, and √2 times for relu, which halves mean squares, are
tried in 12 layers of 64 units, before training.  g = ∂f/∂z is the gradient of biases (of 0) that an
example has for itself, ‖g‖ the root mean square.  (∇W = hᵀ g shrinks alike in all layers: h does.)
"""

from __future__ import annotations

import numpy as np
from data import batches, load
from ladder import Array, Claim, Numbers, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from matplotlib.figure import Figure

from tinygrad_reg import Tensor, init, optim
from tinygrad_reg import functional as F

SHAPES = {"W1": (64, 32), "b1": (32,), "W2": (32, 10), "b2": (10,)}
ZERO = {"all = 0": [*SHAPES], "W1 = b1 = 0": ["W1", "b1"], "W2 = b2 = 0": ["W2", "b2"], "none": []}
SCALES = {"tanh": (0.1, 1, 10), "relu": (0.1, 1, 10, 2**0.5)}  # times 1/√fan_in


def forward(x: Array, p: dict[str, Tensor]) -> Tensor:
    return F.linear(F.relu(F.linear(x, p["W1"], p["b1"])), p["W2"], p["b2"])


def train(zero: list[str], x: Array, y: Array, seed: int) -> tuple[dict, dict[str, int]]:
    """SGD: the parameters, and the step after which each of them first was not what it had been."""
    rng = np.random.default_rng(seed)
    start = {name: init.lecun_normal(shape, rng) for name, shape in SHAPES.items()}
    start |= {name: np.zeros_like(start[name]) for name in zero}
    p = {name: Tensor(value, requires_grad=True) for name, value in start.items()}
    optimizer, first = optim.SGD(p.values(), lr=0.1), {}
    for step, batch in enumerate((b for _ in range(60) for b in batches(len(y), 32, rng)), start=1):
        loss = F.cross_entropy(forward(x[batch], p), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        moved = [name for name in p if p[name].data.tobytes() != start[name].tobytes()]
        first = dict.fromkeys(moved, step) | first
    return p, first


def norms(activation: str, scale: float, x: Array, y: Array, seed: int) -> list[float]:
    """‖g‖ from the first layer to the last."""
    rng = np.random.default_rng(seed)  # the same numbers whatever the scale
    h, biases = Tensor(x), []
    for width in [64] * 11 + [10]:
        biases.append(Tensor(np.zeros((len(x), width)), requires_grad=True))
        z = h @ (scale * init.lecun_normal((64, width), rng, np.float64)) + biases[-1]
        h = getattr(F, activation)(z)
    F.cross_entropy(z, y, "sum").backward()
    return [np.linalg.norm(b.grad.data) / len(x) ** 0.5 for b in biases]


def one_seed(seed: int) -> Numbers:
    data = load("digits", seed)
    keep = (data.y < 5) | (np.arange(len(data.y)) % 2 == 0)
    x, y = data.x[keep], data.y[keep]
    found = {"frequencies": np.bincount(y) / len(y), "b2": {}, "first": {}, "right": {}}
    for case, zero in ZERO.items():
        p, found["first"][case] = train(zero, x, y, seed)
        found["b2"][case] = p["b2"].data
        found["right"][case] = np.mean(forward(data.x_test, p).data.argmax(axis=1) == data.y_test)
    found |= {f: [norms(f, s, data.x, data.y, seed) for s in SCALES[f]] for f in SCALES}
    return found


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    return {"seeds": each_seed(one_seed, seed, seeds)}


def claims(numbers: Numbers) -> list[Claim]:
    seeds = numbers["seeds"]
    said = [{"b2": 1}, {"b2": 1}, {"W2": 1, "b2": 1, "W1": 2, "b1": 2}, dict.fromkeys(SHAPES, 1)]
    so = sum(said == [*s["first"].values()] for s in seeds)
    b2 = np.array([[s["b2"][case] for case in ("all = 0", "W1 = b1 = 0")] for s in seeds])
    y = [[s["frequencies"]] for s in seeds]
    off, b2_off = abs(F.softmax(b2).data - y).max(), abs(b2 - y).max()
    lost = np.array([s["right"]["none"] - s["right"]["W2 = b2 = 0"] for s in seeds])
    tanh, relu = (np.array([[g[0] / g[-1] for g in s[f]] for s in seeds]).T for f in SCALES)
    small, large = np.r_[tanh[0], relu[0]].max(), np.r_[tanh[2], relu[2]].min()
    return [
        Claim(
            "With all zero, or W1 and b1, only b2 ever changes; with W2 and b2, in the end all do.",
            "[CS4342], weight initialization",
            "b2 from step 1 on, all else never; W2 and b2 from step 1 on, W1 and b1 from step 2 on",
            f"so in {so} of {len(seeds)} seeds",
            so == len(seeds),
        ),
        Claim(
            "Where only b2 changes, ŷ = softmax(b2) approaches the mean of the targets y.",
            "[CS4342], weight initialization",
            "at the end, within 0.005 of the frequency of each class",
            f"within {off:.4f} (not b2 itself: it is up to {b2_off:.1f} away)",
            bool(off <= 0.005),
        ),
        Claim(
            "W2 = b2 = 0 does not severely inhibit the network's performance.",
            "[CS4342], weight initialization",
            "it costs clearly less than 0.02 of the test accuracy",
            f"{mean_sd(lost)}",
            clearly_above_zero(0.02 - lost),
        ),
        Claim(
            "1/√fan_in keeps gradients (tanh); with a tenth they vanish, with ten times explode.",
            "[CS4342], weight initialization methods",
            "‖g‖ of the first layer / of the last: 0.1 to 10; below 1e-6; above 1e3 (in all seeds)",
            f"{tanh[1].min():.2f} to {tanh[1].max():.2f}; up to {small:.0e}; from {large:.0e}",
            bool(0.1 <= tanh[1].min() <= tanh[1].max() <= 10 and small < 1e-6 and large > 1e3),
        ),
        Claim(
            "With relu 1/√fan_in is too small, √2/√fan_in right.",
            "He et al. 2015, section 2.2",
            "‖g‖ of the first layer / of the last: below 0.1; 0.1 to 10 (in all seeds)",
            f"at most {relu[1].max():.2f}; {relu[3].min():.2f} to {relu[3].max():.2f}",
            bool(relu[1].max() < 0.1 <= relu[3].min() <= relu[3].max() <= 10),
        ),
    ]


def picture(numbers: Numbers) -> Figure:
    figure, (left, right) = diagram(2, width=12)
    steps = [[s.get(p, 0) for p in SHAPES] for s in numbers["seeds"][0]["first"].values()]
    words = [[f"from step {step}" if step else "never" for step in row] for row in steps]
    colours = [[("lightgrey", "tab:orange", "tab:blue")[min(s, 2)] for s in row] for row in steps]
    left.table(words, colours, "center", rowLabels=[*ZERO], colLabels=[*SHAPES], bbox=(0, 0, 1, 1))
    left.set_title("What SGD changes: W1 = b1 = 0 block it, W2 = b2 = 0 do not")
    left.set_axis_off()
    for f, line in ("tanh", "-"), ("relu", "--"):
        logs = np.log10([s[f] for s in numbers["seeds"]])
        arms = zip(SCALES[f], logs.mean(axis=0), logs.std(axis=0), ("C1v", "C0o", "C7^", "C4s"))
        for scale, mean, sd, style in arms:
            right.errorbar(range(1, 13), mean, sd, fmt=style + line, label=f"{f}, {scale:.3g}")
    right.set(xlabel="layer", ylabel="log₁₀ ‖g‖ ± sd", title="1/√fan_in keeps ‖g‖ (relu: times √2)")
    right.legend(loc="lower right", title="deviation · √fan_in", fontsize="small")
    return figure


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
