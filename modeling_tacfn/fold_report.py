# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Who is tested in which fold: shown, drawn, saved, and read again."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dataset_scripts.folds import corpus_folds, speaker_folds, split_indices

from .files import save_json_atomic
from .plots import COLOURS, save_figure
from .results import markdown_table


FORMAT = "tacfn-folds"
VERSION = 1


def choose_folds(corpus, num_folds: int | None = None, path: str | os.PathLike | None = None) -> list[list[str]]:
    """
    The test speakers of each fold: those of a file, so many contiguous blocks, or the corpus's own.

    Args:
        corpus (`datasets.Dataset`): in the shared schema.
        num_folds (`int`, *optional*): blocks of speakers in natural order.
        path (`str` or `Path`, *optional*): a file that [`save_folds`] wrote, or one of the same form.

    Raises:
        ValueError: both are given, the file holds no folds, or they do not fit the corpus.
    """
    if path is not None and num_folds:
        raise ValueError(f"expected a file of folds or a number of them, got both ({path}, {num_folds}).")
    if path is not None:
        return load_folds(path)
    return speaker_folds(corpus["speaker_id"], num_folds) if num_folds else corpus_folds(corpus)


def describe_folds(corpus, folds: Sequence[Sequence[str]]) -> list[dict]:
    """
    What is tested in each fold, after a check that no fold shares a speaker or a take with its training part.

    Args:
        corpus (`datasets.Dataset`): in the shared schema.
        folds (`Sequence[Sequence[str]]`): test speakers of each fold.

    Returns:
        `list[dict]`: `fold`, `speakers`, `genders` (number of speakers of each), `clips`, and `labels` (number of clips of
        each).

    Raises:
        ValueError: a speaker or a take would be on both sides, a speaker is in no fold or in two, or in the corpus there is
            none of that name.
    """
    names = corpus.features["label"].names
    speakers, genders, labels = (corpus[name][:] for name in ("speaker_id", "gender", "label"))
    strangers = sorted({speaker for block in folds for speaker in block} - set(speakers))
    if strangers:
        raise ValueError(
            f"expected speakers of the corpus in the folds, got {', '.join(strangers[:5])}, of whom it has no clip."
        )
    gender_of = dict(zip(speakers, genders, strict=True))
    described = []
    for fold, block in enumerate(folds):
        rows = split_indices(corpus, fold, folds, validation_speakers=0)["test"]
        counts = Counter(names[labels[row]] for row in rows)
        described.append(
            {
                "fold": fold,
                "speakers": list(block),
                "genders": dict(sorted(Counter(gender_of[speaker] or "unknown" for speaker in block).items())),
                "clips": len(rows),
                "labels": {name: counts[name] for name in names},
            }
        )
    return described


def folds_table(described: Sequence[Mapping]) -> str:
    """Markdown table of the folds, and of all clips in the last line."""
    names = list(described[0]["labels"])
    lines = [["Fold", "Speakers", "Of them", "Clips", *names], ["---:", "---", "---", "---:", *["---:"] * len(names)]]
    for item in described:
        genders = ", ".join(f"{count} {gender}" for gender, count in item["genders"].items())
        counts = [str(item["labels"][name]) for name in names]
        lines.append([str(item["fold"]), ", ".join(item["speakers"]), genders, str(item["clips"]), *counts])
    totals = [str(sum(item["labels"][name] for item in described)) for name in names]
    speakers = str(sum(len(item["speakers"]) for item in described))
    lines.append(["all", speakers, "", str(sum(item["clips"] for item in described)), *totals])
    return markdown_table(lines) + "\n"


def plot_folds(described: Sequence[Mapping], path: str | os.PathLike, title: str | None = None) -> None:
    """Draw the clips of every fold, by label, with its number of speakers."""
    names = list(described[0]["labels"])
    figure = Figure(figsize=(2.4 + 0.9 * len(described) + 1.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    bottom = [0] * len(described)
    for index, name in enumerate(names):
        heights = [item["labels"][name] for item in described]
        hatch = ("", "//", "..")[index // len(COLOURS) % 3]
        colour = COLOURS[index % len(COLOURS)]
        axes.bar(range(len(heights)), heights, bottom=bottom, color=colour, edgecolor="white", hatch=hatch, label=name)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    ticks = [f"fold {item['fold']}\n{len(item['speakers'])} speakers" for item in described]
    axes.set_xticks(range(len(described)), ticks)
    axes.set_ylabel("clips")
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, reverse=True)
    save_figure(figure, path)


def save_folds(folds: Sequence[Sequence[str]], path: str | os.PathLike, corpus: str) -> None:
    """Keep the test speakers of each fold in a JSON file, which `train.py --folds` takes."""
    save_json_atomic(
        path, {"format": FORMAT, "version": VERSION, "corpus": corpus, "folds": [list(block) for block in folds]}
    )


def load_folds(path: str | os.PathLike) -> list[list[str]]:
    """
    Read folds: what [`save_folds`] wrote, or any JSON file with a list of lists of speakers under `folds`.

    Raises:
        ValueError: it is no such file, a fold is empty, or a speaker is in two folds.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        folds = stored["folds"]
        if not (isinstance(folds, list) and folds and all(isinstance(block, list) and block for block in folds)):
            raise TypeError("`folds` is no list of lists with at least a speaker each")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'expected folds in {path}, such as {{"folds": [["01", "02"], ["03"]]}}, got something else ({error}).'
        ) from error
    folds = [[str(speaker) for speaker in block] for block in folds]
    counts = Counter(speaker for block in folds for speaker in block)
    doubled = sorted(speaker for speaker, count in counts.items() if count > 1)
    if doubled:
        raise ValueError(f"{path}: expected every speaker in one fold, got {', '.join(doubled)} more than once.")
    return folds


__all__ = ["choose_folds", "describe_folds", "folds_table", "load_folds", "plot_folds", "save_folds"]
