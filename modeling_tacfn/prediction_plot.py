# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The picture of an answer: scores, sound, frames with the face, and where the fused weight vector points."""

import os

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from .files import atomic_path
from .prediction import Prediction


BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"  # told apart by colour-blind readers
SHOWN_FRAMES = 6
SHOWN_UNITS = 12


def plot_prediction(prediction: Prediction, path: str | os.PathLike) -> None:
    """Draw `prediction` into `path` (PNG, PDF or SVG by its ending), which appears only when it is complete."""
    clip, weights = prediction.clip, prediction.weight_vectors
    has_frames = clip.frames is not None and len(clip.frames) > 0
    has_crops = clip.has_video
    static = [name for name in clip.features if name in weights]
    rows = [2.2] + [1.6] * has_frames + [1.6] * has_crops + [2.4] * bool(static)
    figure = Figure(figsize=(11, 0.6 + 1.12 * sum(rows)), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{prediction.source or 'clip'}: {prediction.emotion} ({100 * prediction.scores[prediction.emotion]:.0f} %)",
        fontsize=15,
        fontweight="bold",
    )
    parts = figure.subfigures(len(rows), 1, height_ratios=rows)
    parts = list(np.atleast_1d(parts))
    top = parts.pop(0).subplots(1, 2, width_ratios=[1, 1.6])
    _draw_scores(top[0], prediction.scores)
    _draw_sound(top[1], prediction)
    if has_frames:
        _draw_frames(parts.pop(0), prediction)
    if has_crops:
        _draw_crops(parts.pop(0), prediction)
    if static:
        _draw_units(parts.pop(0).subplots(), static[0], prediction)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def _draw_scores(axes, scores: dict[str, float]) -> None:
    names, values = list(scores)[::-1], list(scores.values())[::-1]
    bars = axes.barh(names, values, color=[GREY] * (len(names) - 1) + [BLUE])
    axes.bar_label(bars, [f"{100 * value:.0f} %" for value in values], padding=3)
    axes.set_xlim(0, 1.15)
    axes.set_xticks([])
    axes.set_title("Probability")
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_sound(axes, prediction: Prediction) -> None:
    clip = prediction.clip
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("seconds")
    axes.set_yticks([])
    if clip.waveform is None or not clip.has_sound:
        axes.set_title("No sound")
        return
    seconds = np.arange(len(clip.waveform)) / clip.sampling_rate
    step = max(1, len(seconds) // 4000)
    axes.plot(seconds[::step], clip.waveform[::step], color=BLUE, linewidth=0.6)
    axes.set_xlim(0, seconds[-1])
    axes.set_title("Sound")
    weights = prediction.weight_vectors.get("audio")
    if weights is not None and weights.max() > 0:
        height = 0.9 * np.abs(clip.waveform).max()
        places = (np.arange(len(weights)) + 0.5) * seconds[-1] / len(weights)
        axes.plot(places, height * weights / weights.max(), color=ORANGE, linewidth=2)
        axes.set_title("Sound, and the fused weight vector over it (orange)")


def _shown(count: int) -> np.ndarray:
    shown = min(count, SHOWN_FRAMES)
    return ((np.arange(shown) + 0.5) * count / shown).astype(int)


def _draw_frames(part, prediction: Prediction) -> None:
    clip = prediction.clip
    part.suptitle("Frames" + ("" if clip.boxes is None else " and the face found"), fontsize=12)
    columns = part.subplots(1, SHOWN_FRAMES)
    _switch_off(columns)
    for axes, index in zip(columns, _shown(len(clip.frames)), strict=False):
        axes.imshow(clip.frames[index])
        if clip.frame_seconds is not None:
            axes.set_title(f"{clip.frame_seconds[index]:.1f} s", fontsize=9)
        if clip.boxes is not None and np.isfinite(clip.boxes[index]).all():
            left, upper, right, lower = clip.boxes[index]
            axes.add_patch(
                Rectangle((left, upper), right - left, lower - upper, fill=False, edgecolor=ORANGE, linewidth=2)
            )


def _draw_crops(part, prediction: Prediction) -> None:
    clip, weights = prediction.clip, prediction.weight_vectors.get("video")
    crops = clip.crops[clip.crops_valid]
    title = "What the network sees" + ("" if weights is None else ", brighter where the fused weight vector points")
    part.suptitle(title, fontsize=12)
    columns = part.subplots(1, SHOWN_FRAMES)
    _switch_off(columns)
    for axes, index in zip(columns, _shown(len(crops)), strict=False):
        picture = crops[index]
        if weights is not None and weights.max() > 0:
            slot = weights[min(index * len(weights) // len(crops), len(weights) - 1)]
            picture = _highlight(picture, slot)
        axes.imshow(picture)


def _highlight(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Darken the picture where the weights are low."""
    height, width = picture.shape[:2]
    spread = weights.max() - weights.min()
    scaled = (weights - weights.min()) / spread if spread > 1e-9 else np.ones_like(weights)
    mask = np.asarray(Image.fromarray(scaled.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
    return (picture * (0.35 + 0.65 * mask.clip(0, 1))[..., None]).astype(np.uint8)


def _draw_units(axes, name: str, prediction: Prediction) -> None:
    weights = prediction.weight_vectors[name]
    names = prediction.unit_names.get(name) or [str(index) for index in range(len(weights))]
    order = np.argsort(-weights)[:SHOWN_UNITS]
    values = np.asarray(prediction.clip.features[name])
    labels = [f"{names[index]}\n{values[index]:.2f}" if values.ndim == 1 else names[index] for index in order]
    axes.bar(labels, weights[order], color=ORANGE)
    axes.set_title(f"Weight of {name}, the {len(order)} highest (below each its measured value)")
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _switch_off(columns) -> None:
    for axes in columns:
        axes.axis("off")
