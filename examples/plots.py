"""The two diagrams of `train_digits.py`, from the numbers in its metrics.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from tinygrad_reg.files import replacing


def plot_curves(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss and accuracy by epoch: a thin line for each seed, a thick one for their mean."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = [
        (left, "objective", "training as minimised: with dropout and penalties", "tab:gray"),
        (left, "train loss", "training", "tab:blue"),
        (left, "validation loss", "validation", "tab:orange"),
        (right, "train accuracy", "training", "tab:blue"),
        (right, "validation accuracy", "validation", "tab:orange"),
    ]
    for axes, key, label, colour in shown:
        percent = 100 if axes is right else 1
        curves = percent * np.array([r["curves"][key] for r in runs])
        epochs = np.arange(1, curves.shape[1] + 1)
        if len(runs) > 1:
            axes.plot(epochs, curves.T, color=colour, alpha=0.25, linewidth=0.8)
        marker = "o" if len(epochs) < 10 else None
        axes.plot(epochs, curves.mean(axis=0), color=colour, label=label, marker=marker)
    left.set(title="Loss", ylabel="loss (nats per example)", yscale="log")
    right.set(title="Accuracy", ylabel="correct (%)")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    if len(runs) > 1:
        figure.suptitle(f"{len(runs)} seeds (thin) and their mean (thick)")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def plot_confusion(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Which digit was taken for which, over the test sets of all seeds."""
    counts = np.sum([r["confusion"] for r in runs], axis=0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", norm=PowerNorm(0.4, 0, 1))  # lifts the faint: errors are few
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[row, column] > 0.3 else "black"
            axes.text(column, row, count, ha="center", va="center", color=colour)
    right, total = counts.trace(), counts.sum()
    seeds = f", {len(runs)} seeds" if len(runs) > 1 else ""
    axes.set(
        title=f"Confusion on the test set\n{right} of {total} right ({right / total:.2%}){seeds}",
        xlabel="digit predicted",
        ylabel="digit written",
        xticks=range(len(counts)),
        yticks=range(len(counts)),
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
