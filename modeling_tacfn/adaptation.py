# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Getting used to a speaker from his own unlabelled clips.

A network of the *speaker-normalised* protocol sees every feature centred and scaled by the speaker's own clips. What it needs
to know of a person is therefore two numbers per feature, kept in a small file apart from the weights. It assumes that the
clips are of one person, recorded as the clips to be judged will be, and of mixed moods: who is only ever angry in them
will seem calm afterwards.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from .data import modality_of
from .feature_arrays import known_statistics, mean_of_known
from .files import save_json_atomic
from .speaker_file import FORMAT, VERSION, load_speaker


# Fewer than this and more than that are not told apart by a few dozen training speakers.
FEWEST_CLIPS, MOST_CLIPS = 0.1, 100.0


def speaker_prior(clips: Sequence[Mapping[str, np.ndarray]], speakers: Sequence[str]) -> dict[str, dict[str, list]]:
    """
    What is usual of a speaker, and how many of his clips that knowledge is worth (empirical Bayes).

    The clips of one speaker scatter around his own mean, the speakers' means around that of all. The ratio of the two
    variances is the number of clips after which a speaker's own mean tells more than everybody's; likewise for the spread.

    Args:
        clips (`Sequence[Mapping]`): prepared clips of the training speakers, not normalised.
        speakers (`Sequence[str]`): whose each of them is.

    Returns:
        `dict[str, dict]`: for `audio` and each named feature `mean`, `std`, `mean_clips` and `std_clips`, of `size` numbers
        each.
    """
    members: dict[str, list[Mapping]] = {}
    for clip, speaker in zip(clips, speakers, strict=True):
        members.setdefault(speaker, []).append(clip)
    arrays = sorted({array for clip in clips for array in clip if array != "crops"})
    return {
        modality_of(array): _prior([[clip[array] for clip in own if array in clip] for own in members.values()])
        for array in arrays
    }


def _prior(speakers: list[list[np.ndarray]]) -> dict[str, list]:
    """The prior of one feature from its clips by speaker."""
    means, variances, scatter_of_means, scatter_of_squares, counts = [], [], [], [], []
    for own in filter(None, speakers):
        rows = [np.atleast_2d(clip).astype(np.float64) for clip in own]
        mean, std = known_statistics(np.concatenate(rows))
        clip_means = np.stack([mean_of_known(clip) for clip in rows])
        clip_squares = np.stack([mean_of_known((clip - mean) ** 2) for clip in rows])
        means.append(mean)
        variances.append(std.astype(np.float64) ** 2)
        scatter_of_means.append(known_statistics(clip_means)[1].astype(np.float64) ** 2)
        scatter_of_squares.append(known_statistics(clip_squares)[1].astype(np.float64) ** 2)
        counts.append(len(rows))
    variance = np.mean(variances, axis=0)
    return {
        "mean": _numbers(np.mean(means, axis=0)),
        "std": _numbers(np.sqrt(np.where(variance > 1e-12, variance, 1))),
        "mean_clips": _numbers(_worth(means, scatter_of_means, counts)),
        "std_clips": _numbers(_worth(variances, scatter_of_squares, counts)),
    }


def _worth(of_speakers: list[np.ndarray], within: list[np.ndarray], counts: list[int]) -> np.ndarray:
    """Variance within speakers divided by that between them, which the first contributes to as well."""
    inside = np.mean(within, axis=0)
    between = np.var(of_speakers, axis=0) - inside / np.mean(counts)
    return np.clip(inside / np.maximum(between, 1e-12), FEWEST_CLIPS, MOST_CLIPS)


def _numbers(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def save_speaker(statistics: Mapping[str, tuple], path: str | os.PathLike, num_clips: int) -> None:
    """
    Keep what a network has to know of a speaker.

    Args:
        statistics (`Mapping[str, tuple]`): what `processor.speaker_statistics` gave.
        path (`str` or `os.PathLike`): JSON file to make or replace.
        num_clips (`int`): how many clips it was made of.
    """
    features = {name: {"mean": _numbers(mean), "std": _numbers(std)} for name, (mean, std) in statistics.items()}
    save_json_atomic(path, {"format": FORMAT, "version": VERSION, "num_clips": num_clips, "features": features})


__all__ = ["load_speaker", "save_speaker", "speaker_prior"]
