# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Pictures that put methods side by side, always with the interval over speakers."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .plots import COLOURS, MARKERS, save_figure
from .results import task_of


def plot_comparison(results: Sequence[Mapping], path: str | os.PathLike, metric: str | None = None) -> None:
    """Draw the score of every method with its 95 % interval over speakers, one panel per protocol.

    Args:
        results (`Sequence[Mapping]`): contents of `results.json` files of one corpus.
        path (`str` or `os.PathLike`): picture to make or replace; its suffix tells the format.
        metric (`str`, *optional*): a score of the task; the first of them if not given, WAR of emotions.

    Raises:
        ValueError: If there are no results.
    """
    if not results:
        raise ValueError("Expected at least one result to draw, received none.")
    task = task_of(results[0])
    metric = metric or next(iter(task.scores))
    scale, unit = (100, " in percent") if metric in task.shares else (1, "")
    protocols = list(dict.fromkeys(item["protocol"] for item in results))
    panels = [[item for item in results if item["protocol"] == protocol] for protocol in protocols]
    height = 1.3 + 0.3 * max(map(len, panels))
    figure = Figure(figsize=(5.6 * len(panels), height), layout="constrained")
    for index, (protocol, panel) in enumerate(zip(protocols, panels, strict=True)):
        axes = figure.add_subplot(1, len(panels), index + 1)
        panel = sorted(panel, key=lambda item: item["summary"][metric]["pooled"])
        for row, item in enumerate(panel):
            score = item["summary"][metric]
            low, high = score["interval_95"] or [score["pooled"]] * 2
            colour = COLOURS[1] if item["name"].startswith("tacfn") else COLOURS[0]
            axes.plot([scale * low, scale * high], [row, row], color=colour, linewidth=1.6)
            axes.plot(scale * score["pooled"], row, marker="o", color=colour, markersize=6)
        axes.set_yticks(range(len(panel)), [item["name"].replace("_", " ") for item in panel])
        axes.set_xlabel(f"{task.titles[metric]}{unit}, 95 % interval over speakers")
        axes.set_title(protocol)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def plot_missing(results: Sequence[Mapping], path: str | os.PathLike) -> None:
    """Draw how the WAR falls when inputs are missing, noisy or full of gaps: a row per protocol, a panel per kind of loss.

    Args:
        results (`Sequence[Mapping]`): results of one corpus, each with `missing` as `missing.missing_scores` gives it.
        path (`str` or `os.PathLike`): picture to make or replace; its suffix tells the format.
    """
    protocols = list(dict.fromkeys(item["protocol"] for item in results))
    kinds = {score["kind"] for item in results for score in item["missing"]}
    panels = [kind for kind in ("inputs", "noise", "lost frames") if kind == "inputs" or kind in kinds]
    size = (4.6 * len(panels) + 1.8, 3.9 * len(protocols))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(protocols), len(panels), squeeze=False, sharey=True)
    names = list(dict.fromkeys(item["name"] for item in results))
    for row, protocol in zip(grid, protocols, strict=True):
        for axes, kind in zip(row, panels, strict=True):
            for item in (item for item in results if item["protocol"] == protocol):
                index = names.index(item["name"])
                _draw_loss(axes, kind, item, index, len(names))
            axes.set_title(f"{protocol}: {kind}" if len(protocols) > 1 else kind)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel("WAR in percent, 95 % interval over speakers")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    save_figure(figure, path)


def _draw_loss(axes, kind: str, item: Mapping, index: int, count: int) -> None:
    """One method in one panel; the methods stand side by side so that their intervals can be told apart."""
    whole = next(score for score in item["missing"] if score["kind"] == "both")
    wanted = ("sound only", "face only") if kind == "inputs" else (kind,)
    scores = [whole, *(score for score in item["missing"] if score["kind"] in wanted)]
    if kind == "inputs":
        places, ticks = {"both": 0, "sound only": 1, "face only": 2}, ["both", "sound only", "face only"]
        x = [places[score["kind"]] for score in scores]
    elif kind == "noise":
        ticks = ["none", *(f"{score['value']:g}" for score in scores[1:])]
        x = list(range(len(scores)))
        axes.set_xlabel("signal-to-noise ratio in dB")
    else:
        ticks = [f"{100 * (score['value'] or 0):g}" for score in scores]
        x = list(range(len(scores)))
        axes.set_xlabel("percent of the frames lost")
    if len(scores) > 1 or kind == "inputs":
        axes.set_xticks(range(len(ticks)), ticks)
        _draw_line(axes, x, scores, item["name"], index, count, "none" if kind == "inputs" else "-")


def plot_adaptation(results: Sequence[Mapping], path: str | os.PathLike) -> None:
    """Draw the WAR against the number of a speaker's unlabelled clips, a line per method with its 95 % interval.

    Args:
        results (`Sequence[Mapping]`): results of one corpus, each with `adaptation` as `adaptation_curve.adaptation_scores`
            gives it.
        path (`str` or `os.PathLike`): picture to make or replace; its suffix tells the format.
    """
    figure = Figure(figsize=(8.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for index, item in enumerate(results):
        _draw_line(axes, range(len(item["adaptation"])), item["adaptation"], item["name"], index, len(results))
    axes.set_xticks(range(len(results[0]["adaptation"])), [str(point["clips"]) for point in results[0]["adaptation"]])
    axes.set_xlabel("unlabelled clips of the speaker")
    axes.set_ylabel("WAR in percent, 95 % interval over speakers")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    save_figure(figure, path)


def _draw_line(axes, x, scores: Sequence[Mapping], name: str, index: int, count: int, linestyle: str = "-") -> None:
    """The scores of one method; the methods stand side by side so that their intervals can be told apart."""
    pooled = np.array([100 * score["war"]["pooled"] for score in scores])
    low, high = 100 * np.array([score["war"]["interval_95"] or [score["war"]["pooled"]] * 2 for score in scores]).T
    axes.errorbar(
        np.array(x) + 0.5 * (index - (count - 1) / 2) / count,
        pooled,
        yerr=[np.maximum(pooled - low, 0), np.maximum(high - pooled, 0)],
        color=COLOURS[index % len(COLOURS)],
        marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
        linestyle=linestyle,
        linewidth=0.9,
        elinewidth=0.8,
        markersize=4,
        label=name.replace("_", " "),
    )
