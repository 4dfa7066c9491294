# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Pictures of a training and of its mistakes. Drawn without a display and without matplotlib's global state."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .files import atomic_path


# Okabe & Ito: told apart by readers of every colour vision; markers tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_NAMES = {"uar": "UAR", "war": "WAR", "macro_f1": "macro-F1", "loss": "loss"}


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Draw without a display, under a temporary name first."""
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight", pad_inches=0.08)


def _series_name(key: str) -> str:
    side, _, quantity = key.partition("_")
    return f"{side} {_NAMES.get(quantity, quantity)}" if quantity else _NAMES.get(key, key)


def plot_learning_curve(
    history: Sequence[Mapping[str, float]], path: str | os.PathLike, title: str | None = None
) -> None:
    """Draw how losses and scores went over the epochs, and mark the epoch that was kept.

    Args:
        history (`Sequence[Mapping[str, float]]`): one mapping per epoch, such as `{"epoch": 1, "train_loss": 2.1,
            "validation_loss": 2.0, "validation_uar": 0.2}`; keys that end in `loss` go to the left panel, other numbers
            to the right one. An epoch may lack a number. `"best": True` marks the epoch that was kept.
        path (`str` or `os.PathLike`): picture to make or replace; its suffix tells the format.
        title (`str`, *optional*, defaults to `None`): title of the figure.

    Raises:
        ValueError: If the history is empty or holds no numbers.
    """
    keys = list(dict.fromkeys(key for epoch in history for key, value in epoch.items() if _is_number(value)))
    keys = [key for key in keys if key not in ("epoch", "best", "step", "seconds", "learning_rate")]
    if not keys:
        raise ValueError("Expected a history with at least one epoch and one loss or score, received none.")
    losses = [key for key in keys if key.endswith("loss")]
    panels = [panel for panel in (losses, [key for key in keys if key not in losses]) if panel]
    epochs = np.array([epoch.get("epoch", index + 1) for index, epoch in enumerate(history)])
    best = [number for number, epoch in zip(epochs, history, strict=True) if epoch.get("best")]

    figure = Figure(figsize=(5.2 * len(panels), 3.8), layout="constrained")
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        for key, colour, marker in zip(panel, _cycle(COLOURS, len(panel)), _cycle(MARKERS, len(panel)), strict=True):
            values = np.array([epoch[key] if _is_number(epoch.get(key)) else np.nan for epoch in history], dtype=float)
            known = np.isfinite(values)
            spacing = max(1, len(epochs) // 20)
            axes.plot(
                epochs[known],
                values[known],
                color=colour,
                marker=marker,
                markevery=spacing,
                markersize=5,
                label=_series_name(key),
            )
        for number in best[-1:]:
            axes.axvline(number, color="#666666", linestyle="--", linewidth=1, label=f"kept: epoch {number}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss" if panel is losses else "score")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if panel is not losses:
            axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def plot_confusion(
    matrix: Sequence[Sequence[float]], labels: Sequence[str], path: str | os.PathLike, title: str | None = None
) -> None:
    """Draw a confusion matrix: colour is the share of the true class, the numbers are that share in percent and the clips.

    Args:
        matrix (`Sequence[Sequence[float]]` of shape `(num_labels, num_labels)`): counts, true classes in rows.
        labels (`Sequence[str]`): names of the classes, in order.
        path (`str` or `os.PathLike`): picture to make or replace; its suffix tells the format.
        title (`str`, *optional*, defaults to `None`): title of the figure.

    Raises:
        ValueError: If the matrix does not fit the labels.
    """
    counts = np.asarray(matrix, dtype=float)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(
            f"Expected a matrix of shape ({len(labels)}, {len(labels)}) for {len(labels)} labels, received {counts.shape}."
        )
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)

    side = max(3.4, 0.72 * len(labels) + 1.6)
    figure = Figure(figsize=(side + 0.9, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(len(labels)), [f"{label} ({total:g})" for label, total in zip(labels, totals[:, 0], strict=True)]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (clips)")
    for row, column in np.argwhere(counts > 0):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{100 * share:.0f} %\n{counts[row, column]:g}",
            ha="center",
            va="center",
            fontsize=8,
            color="black" if share > 0.5 else "white",
        )
    figure.colorbar(image, ax=axes, shrink=0.82, label="share of the true class")
    if title:
        axes.set_title(title)
    save_figure(figure, path)


def plot_answers(task, references: np.ndarray, answers: np.ndarray, folder: Path, title: str | None = None) -> None:
    """Draw what a network answered, into a folder: a confusion matrix, one for each yes/no question, or estimates by truth.

    Args:
        task ([`EmotionTask`] or another of `tasks`): what was asked.
        references (`np.ndarray`), answers (`np.ndarray` of shape `(num_clips, num_labels)`): as the task has them.
        folder (`Path`): takes the pictures.
        title (`str`, *optional*): of each.
    """
    counts = task.counts(references, answers)
    if task.problem_type is None:
        plot_confusion(counts, task.labels, folder / "confusion_matrix.png", title)
    elif task.problem_type == "regression":
        plot_estimates(references[:, 0], answers[:, 0], folder / "estimates.png", title)
    else:
        for name, confusion in zip(task.labels, counts, strict=True):
            plot_confusion(confusion, [f"not {name}", name], folder / f"confusion_matrix_{name}.png", title)


def plot_estimates(
    references: np.ndarray, estimates: np.ndarray, path: str | os.PathLike, title: str | None = None
) -> None:
    """Draw estimated against true numbers, a point for each clip, with the line on which they agree."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    limits = [float(min(references.min(), estimates.min())), float(max(references.max(), estimates.max()))]
    axes.plot(limits, limits, color="#666666", linestyle="--", linewidth=1)
    axes.scatter(references, estimates, s=12, color=COLOURS[0], alpha=0.5, linewidths=0)
    axes.set_xlabel("true")
    axes.set_ylabel("estimated")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title)
    save_figure(figure, path)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _cycle(items: Sequence[str], count: int) -> list[str]:
    return [items[index % len(items)] for index in range(count)]
