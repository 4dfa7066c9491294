# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The picture of a timeline: a band with what is said, the scores over time, and where an input is missing."""

import os

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .plots import save_figure
from .timeline_colours import EMPTY, colours_of, ink_on
from .timeline_files import clock
from .timeline_result import NO_FACE, NO_SOUND, UNSURE, Timeline


# A word is written into its stretch of the band where it fits.
CHARACTERS_ACROSS = 125
WIDTH_INCHES = 12.0


def plot_timeline(timeline: Timeline, path: str | os.PathLike, title: str | None = None) -> None:
    """
    Draw a timeline into `path` (PNG, PDF or SVG by its ending), which appears when it is complete.

    Probabilities of one emotion of several are stacked; those of labels that may hold together, and estimates, are lines.

    Args:
        timeline ([`Timeline`]): with at least one window.
        path (`str` or `Path`): picture to make or replace.
        title (`str`, *optional*): the name of the recording if not given.
    """
    save_figure(draw_timeline(timeline, title), path)


def draw_timeline(timeline: Timeline, title: str | None = None) -> Figure:
    """The figure that [`plot_timeline`] saves; belongs to no global state of matplotlib."""
    if not timeline.windows:
        raise ValueError(
            "expected a timeline with at least one window, got none; draw it once something was answered."
        )
    missing = [state for state in (NO_FACE, NO_SOUND) if any(state in window.states for window in timeline.windows)]
    figure = Figure(figsize=(WIDTH_INCHES, 4.6 + 0.3 * len(missing)), layout="constrained")
    heights = [0.42, 3.4] + [0.16] * len(missing)
    band, scores, *strips = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    colours = colours_of(timeline.labels)
    _draw_band(band, timeline, colours)
    _draw_scores(scores, timeline, colours)
    for axes, state in zip(strips, missing, strict=True):
        _draw_missing(axes, timeline, state)
    bottom = (strips or [scores])[-1]
    for axes in (scores, *strips):
        axes.tick_params(axis="x", labelbottom=axes is bottom, bottom=axes is bottom)
        axes.spines["bottom"].set_visible(axes in (scores, bottom))
    bottom.set_xlim(timeline.windows[0].start, timeline.windows[-1].end)
    has_hours = timeline.windows[-1].end >= 3600
    bottom.xaxis.set_major_locator(_RoundTimes(nbins=12))
    bottom.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds, has_hours)))
    bottom.set_xlabel("time (h:min:s)" if has_hours else "time (min:s)")
    band.set_title(title or os.path.basename(timeline.source), fontsize=13, fontweight="bold", loc="left", pad=10)
    band.set_title(_how(timeline), fontsize=9, color="#555555", loc="right", pad=10)
    figure.legend(handles=_legend(timeline, colours), loc="outside right center", frameon=False, fontsize=9)
    return figure


def _how(timeline: Timeline) -> str:
    how = f"windows of {timeline.window_seconds:g} s, one every {timeline.hop_seconds:g} s"
    how += f", smoothed over {timeline.smoothing_seconds:g} s" if timeline.smoothing_seconds else ""
    return how + (f"; unsure below {100 * timeline.threshold:.0f} %" if timeline.threshold else "")


class _RoundTimes(MaxNLocator):
    """Ticks that are round in minutes and seconds."""

    def tick_values(self, vmin, vmax):
        for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200):
            if (vmax - vmin) / step <= 12:
                return np.arange(np.ceil(vmin / step) * step, vmax + 1e-6, step)
        return super().tick_values(vmin, vmax)


def _draw_band(axes, timeline: Timeline, colours: dict[str, str]) -> None:
    length = timeline.windows[-1].end - timeline.windows[0].start
    for segment in timeline.segments():
        width = segment.end - segment.start
        colour = colours.get(segment.said, EMPTY)
        hatch = None if segment.said in colours else "////" if segment.said == UNSURE else ".."
        axes.barh(0, width, left=segment.start, height=1, color=colour, hatch=hatch, edgecolor="#AAAAAA", linewidth=0)
        if len(segment.said) + 1.5 <= CHARACTERS_ACROSS * width / length:
            axes.text(
                segment.start + width / 2,
                0,
                segment.said,
                ha="center",
                va="center",
                fontsize=9,
                color=ink_on(colour),
                bbox={"facecolor": EMPTY, "edgecolor": "none", "pad": 1} if hatch else None,
            )
    axes.set_ylim(-0.5, 0.5)
    axes.axis("off")


def _steps(timeline: Timeline) -> tuple[np.ndarray, np.ndarray]:
    """Times, and scores `(num_labels, num_times)`, NaN where there is no answer; each window holds over its part."""
    seconds, values = [], []
    empty = [np.nan] * len(timeline.labels)
    for window, (start, end) in zip(timeline.windows, timeline.spans(), strict=True):
        scores = list(window.scores.values()) if window.scores else empty
        if seconds and start > seconds[-1] + 1e-6:
            seconds += [seconds[-1], start]
            values += [empty, empty]
        seconds += [start, end]
        values += [scores, scores]
    return np.array(seconds), np.array(values, dtype=float).T


def _draw_scores(axes, timeline: Timeline, colours: dict[str, str]) -> None:
    seconds, values = _steps(timeline)
    axes.spines[["top", "right"]].set_visible(False)
    total = values.sum(axis=0)
    if timeline.is_probability and np.allclose(total[np.isfinite(total)], 1, atol=1e-3):
        known = np.isfinite(total)
        floor = np.zeros(len(seconds))
        for label, row in zip(timeline.labels, np.nan_to_num(values), strict=True):
            axes.fill_between(
                seconds, floor, floor + row, where=known, color=colours[label], linewidth=0.3, edgecolor="white"
            )
            floor = floor + row
        axes.set_ylabel("probability, stacked")
    else:
        for label, row in zip(timeline.labels, values, strict=True):
            axes.plot(seconds, row, color=colours[label], linewidth=1.8)
        axes.grid(alpha=0.3)
        axes.set_ylabel("probability" if timeline.is_probability else "estimate")
    if timeline.is_probability:
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))


def _draw_missing(axes, timeline: Timeline, state: str) -> None:
    for window, (start, end) in zip(timeline.windows, timeline.spans(), strict=True):
        if state in window.states:
            axes.barh(0, end - start, left=start, height=1, color="#444444", linewidth=0)
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([0], [state], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _legend(timeline: Timeline, colours: dict[str, str]) -> list[Patch]:
    # Last on top, as the stack is.
    handles = [Patch(color=colour, label=label) for label, colour in reversed(colours.items())]
    words = {window.said for window in timeline.windows} - set(colours)
    for word in sorted(words):
        hatch = "////" if word == UNSURE else ".."
        handles.append(Patch(facecolor=EMPTY, edgecolor="#AAAAAA", hatch=hatch, label=word, linewidth=0))
    return handles


__all__ = ["draw_timeline", "plot_timeline"]
