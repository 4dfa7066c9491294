# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The picture of an answer: scores, sound, frames with the face, and where the fused weight vector points."""

import os

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from .files import atomic_path
from .prediction import Prediction


BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"  # told apart by colour-blind readers
SHOWN_FRAMES = 6
SHOWN_UNITS = 12
# Weights are shown relative to equal weights, on one scale for every clip: a network that points nowhere looks like it.
SCALE = LogNorm(1 / 4, 4, clip=True)
SCALE_TICKS = {1 / 4: "¼ ×", 1 / 2: "½ ×", 1: "equal", 2: "2 ×", 4: "4 ×"}
TINT = colormaps["PuOr_r"]


def plot_prediction(prediction: Prediction, path: str | os.PathLike) -> None:
    """Draw `prediction` into `path` (PNG, PDF or SVG by its ending), which appears only when it is complete."""
    clip, weights = prediction.clip, prediction.weight_vectors
    static = [name for name, values in clip.features.items() if name in weights and values.ndim == 1]
    panels = [(2.4, _draw_answer)]
    if clip.frames is not None and len(clip.frames) > 0:
        panels.append((1.75, _draw_frames))
    if clip.has_video:
        panels.append((1.75, _draw_crops))
    panels += [(2.4, lambda part, of, name=name: _draw_units(part.subplots(), name, of)) for name in static]
    heights = [height for height, _ in panels]
    figure = Figure(figsize=(11, 0.5 + 1.12 * sum(heights)), layout="constrained", dpi=110)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{os.path.basename(prediction.source) or 'clip'}: {prediction.emotion} ({prediction.said(prediction.emotion)})",
        fontsize=15,
        fontweight="bold",
    )
    parts = figure.subfigures(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (_, draw) in zip(parts, panels, strict=True):
        draw(part, prediction)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def relative(weights: np.ndarray) -> np.ndarray:
    """Weights as multiples of equal weights, whatever they sum to; those of padding and absent numbers stay 0."""
    real = weights > 0
    return weights / weights[real].mean() if real.any() else weights


def _draw_answer(part, prediction: Prediction) -> None:
    scores, sound = part.subplots(1, 2, width_ratios=[1, 1.6])
    _draw_scores(scores, prediction)
    _draw_sound(sound, prediction)


def _draw_scores(axes, prediction: Prediction) -> None:
    names, values = list(prediction.scores)[::-1], list(prediction.scores.values())[::-1]
    bars = axes.barh(names, values, color=[GREY] * (len(names) - 1) + [BLUE])
    axes.bar_label(bars, [prediction.said(name) for name in names], padding=3)
    axes.set_xlim((0, 1.15) if prediction.is_probability else (-3.5, 3.5))
    axes.set_xticks([])
    axes.set_title("Probability" if prediction.is_probability else "Estimate")
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_sound(axes, prediction: Prediction) -> None:
    clip = prediction.clip
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_yticks([])
    if not clip.has_sound:
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no sound", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=12)
        return
    seconds = np.arange(len(clip.waveform)) / clip.sampling_rate
    step = max(1, len(seconds) // 4000)
    axes.plot(seconds[::step], clip.waveform[::step], color=BLUE, linewidth=0.6, alpha=0.6)
    axes.set_ylim(-1.1 * np.abs(clip.waveform).max(), 1.1 * np.abs(clip.waveform).max())
    axes.set_xlim(0, len(clip.waveform) / clip.sampling_rate)
    axes.set_xlabel("seconds")
    axes.set_title("Sound")
    weights = prediction.weight_vectors.get("audio")
    if weights is None or not weights.any():
        return
    axes.set_title("Sound, and the weight of each moment (orange)")
    places = (np.arange(len(weights)) + 0.5) * axes.get_xlim()[1] / len(weights)
    over = axes.twinx()
    over.plot(places, relative(weights), color=ORANGE, linewidth=2)
    _mark_equal(over, relative(weights))
    over.spines[["top", "left"]].set_visible(False)


def _mark_equal(axes, weights: np.ndarray) -> None:
    """A scale from 0 that always reaches twice the equal weight, with a line where all weights would be equal."""
    axes.set_ylim(0, 1.05 * max(2, weights.max()))
    axes.axhline(1, color=ORANGE, linestyle=":", linewidth=1)
    axes.set_ylabel("weight (1 = equal)", color=ORANGE)
    axes.tick_params(axis="y", colors=ORANGE)


def _shown(indices: np.ndarray) -> np.ndarray:
    shown = min(len(indices), SHOWN_FRAMES)
    return indices[((np.arange(shown) + 0.5) * len(indices) / shown).astype(int)]


def _columns(part, title: str):
    part.suptitle(title, fontsize=12)
    columns = part.subplots(1, SHOWN_FRAMES)
    for axes in columns:
        axes.axis("off")
    return columns


def _name_frame(axes, prediction: Prediction, index: int) -> None:
    times = prediction.clip.frame_seconds
    axes.set_title(f"frame {index + 1}" if times is None else f"{times[index]:.1f} s", fontsize=9)


def _draw_frames(part, prediction: Prediction) -> None:
    clip = prediction.clip
    title = "Frames" if clip.boxes is None else "Frames and the face found"
    if not clip.has_video:
        title = "Frames: no usable face in them, so the picture counts as absent"
    columns = _columns(part, title)
    # The same frames as the crops below them.
    indices = np.flatnonzero(clip.crops_valid) if clip.has_video else np.arange(len(clip.frames))
    for axes, index in zip(columns, _shown(indices), strict=False):
        axes.imshow(clip.frames[index])
        _name_frame(axes, prediction, index)
        if clip.boxes is not None and np.isfinite(clip.boxes[index]).all():
            left, upper, right, lower = clip.boxes[index]
            axes.add_patch(
                Rectangle((left, upper), right - left, lower - upper, fill=False, edgecolor=ORANGE, linewidth=2)
            )


def _draw_crops(part, prediction: Prediction) -> None:
    clip, weights = prediction.clip, prediction.weight_vectors.get("video")
    is_weighted = weights is not None and weights.any()
    tint = ", tinted by the weight of each place (no tint: equal weights)" if is_weighted else ""
    columns = _columns(part, f"What the network sees{tint}")
    for axes, index in zip(columns, _shown(np.flatnonzero(clip.crops_valid)), strict=False):
        picture = clip.crops[index]
        if is_weighted:
            picture = highlight(picture, weights[slot_of_frame(index, len(clip.crops), len(weights))])
        axes.imshow(picture)
        _name_frame(axes, prediction, index)
    if is_weighted:
        bar = part.colorbar(ScalarMappable(SCALE, TINT), ax=columns, aspect=10, pad=0.01)
        bar.ax.minorticks_off()
        bar.set_ticks(list(SCALE_TICKS), labels=list(SCALE_TICKS.values()))
        bar.ax.tick_params(labelsize=9)


def slot_of_frame(index: int, frames: int, slots: int) -> int:
    """The time slot whose centre is nearest: the network keeps every second frame until `slots` are left."""
    stride = 1
    while -(-frames // stride) > slots:
        stride *= 2
    return min(round(index / stride), slots - 1)


def highlight(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Tint an RGB picture by how far the weight of each place is from equal; equal weights leave it as it is."""
    if not weights.any():  # a slot whose centre frame is black
        return picture
    height, width = picture.shape[:2]
    places = Image.fromarray(relative(weights).astype(np.float32))
    level = SCALE(np.asarray(places.resize((width, height), Image.Resampling.BILINEAR)).clip(1e-6)).filled()
    opacity = 1.1 * np.abs(level - 0.5)[..., None]
    return ((1 - opacity) * picture + opacity * 255 * TINT(level)[..., :3]).round().astype(np.uint8)


def _draw_units(axes, name: str, prediction: Prediction) -> None:
    weights, values = relative(prediction.weight_vectors[name]), prediction.clip.features[name]
    names = prediction.unit_names.get(name) or [str(index) for index in range(len(weights))]
    order = [index for index in np.argsort(-weights)[:SHOWN_UNITS] if np.isfinite(values[index])]
    axes.bar([f"{names[index]}\n{values[index]:.2f}" for index in order], weights[order], width=0.6, color=ORANGE)
    axes.set_title(f"Weight of each number of {name}, the {len(order)} highest; below each its value as read")
    _mark_equal(axes, weights)
    axes.tick_params(axis="x", labelsize=8)
    if sum(len(names[index]) for index in order) > 90:  # side by side they would touch
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.spines[["top", "right"]].set_visible(False)
