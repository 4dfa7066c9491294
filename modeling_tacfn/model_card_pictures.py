# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The pictures of a model card that training has not drawn already."""

import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .model_card_scores import CONFUSION_PICTURE, RELIABILITY_PICTURE
from .model_card_source import CardSource
from .plots import COLOURS, plot_answers, plot_confusion, save_figure


def draw_pictures(source: CardSource, folder: Path) -> None:
    """Draw what the results hold and the folder lacks: the confusion, or estimates by truth, and the calibration."""
    if source.results is None:
        return
    task, predictions = source.task, source.predictions
    references, answers = (
        np.array([item[key] for item in predictions]) for key in (task.reference_key, task.answer_key)
    )
    summary = source.results["summary"]
    if task.name == "emotion":
        if not (folder / CONFUSION_PICTURE).exists():
            plot_confusion(summary["confusion"], task.labels, folder / CONFUSION_PICTURE)
        if predictions:
            plot_reliability(answers, references, folder / RELIABILITY_PICTURE)
    elif predictions and not any(path.name.startswith(("confusion_matrix", "estimates")) for path in folder.iterdir()):
        plot_answers(task, references, answers, folder)


def plot_reliability(
    probabilities: np.ndarray, references: np.ndarray, path: str | os.PathLike, num_bins: int = 15
) -> None:
    """
    Draw how often a network is right by how sure it is, in the bins of [`~scores.expected_calibration_error`].

    Args:
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): rows that sum to 1.
        references (`np.ndarray` of shape `(num_clips,)`): true labels.
        path (`str` or `os.PathLike`): picture to make or replace.
        num_bins (`int`, *optional*, defaults to 15): bins of the confidence, from 0 to 1.
    """
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == references
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    clips = np.bincount(bins, minlength=num_bins)
    known = clips > 0
    accuracy = np.bincount(bins, weights=correct, minlength=num_bins)[known] / clips[known]
    mean_confidence = np.bincount(bins, weights=confidence, minlength=num_bins)[known] / clips[known]
    edges = np.arange(num_bins) / num_bins

    figure = Figure(figsize=(4.6, 5.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.bar(
        edges[known], accuracy, 1 / num_bins, align="edge", color=COLOURS[0], edgecolor="white", label="accuracy"
    )
    upper.plot(mean_confidence, accuracy, "o", color=COLOURS[1], markersize=4, label="at its mean confidence")
    upper.plot([0, 1], [0, 1], color="#666666", linestyle="--", linewidth=1, label="calibrated")
    upper.set_ylabel("share of the clips that is right")
    upper.set_ylim(0, 1.02)
    upper.legend(frameon=False, loc="upper left")
    lower.bar(edges, clips, 1 / num_bins, align="edge", color="#999999", edgecolor="white")
    lower.set_ylabel("clips")
    lower.set_xlabel("confidence: probability of the answer")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


__all__ = ["draw_pictures", "plot_reliability"]
