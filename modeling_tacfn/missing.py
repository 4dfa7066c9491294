# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What trained networks still know when an input is missing, noisy or full of gaps. Nothing is trained here."""

import argparse
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .aggregation import summarize
from .data import load_clips, modality_of, normalize_by_speaker
from .degradation import lose_frames
from .preparation import prepare_clips
from .prepared_clip import PreparedClip
from .rescoring import format_cell, judge, load_network, rescored, run_folders
from .results import markdown_table


SOUND = ("audio", "prosody")
NOISE_DB = (20.0, 10.0, 5.0, 0.0, -5.0)
LOST_FRAMES = (0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Condition:
    """
    What is done to every test clip.

    Args:
        kind (`str`): `"both"`, `"sound only"`, `"face only"`, `"noise"` or `"lost frames"`.
        value (`float`, *optional*): signal-to-noise ratio in dB, or share of the frames that is lost.
    """

    kind: str
    value: float | None = None

    @property
    def name(self) -> str:
        if self.kind == "noise":
            return f"noise {self.value:g} dB"
        return self.kind if self.value is None else f"{100 * self.value:g} % of frames lost"


def conditions_of(clips: Sequence[Mapping[str, np.ndarray]]) -> list[Condition]:
    """The conditions that mean something for these prepared clips: only sound can be noisy, only frames can be lost."""
    arrays = {array for clip in clips for array in clip}
    has_sound = any(modality_of(array) in SOUND for array in arrays)
    has_face = any(modality_of(array) not in SOUND for array in arrays)
    conditions = [Condition("both")]
    if has_sound and has_face:
        conditions += [Condition("sound only"), Condition("face only")]
    if has_sound:
        conditions += [Condition("noise", level) for level in NOISE_DB]
    if "crops" in arrays:
        conditions += [Condition("lost frames", share) for share in LOST_FRAMES]
    return conditions


def degraded(
    clips: list[PreparedClip], clip_ids: list[str], condition: Condition, noisy: list[PreparedClip] | None
) -> list[PreparedClip]:
    """The clips under a condition; `noisy` holds the sound of each of them with noise of that level."""
    if condition.kind == "noise":
        return [
            clip | sound.only(clip)  # a network that takes no prosody gets none
            for clip, sound in zip(clips, noisy, strict=True)
        ]
    if condition.kind == "lost frames":
        return [
            clip.changed({"crops": partial(lose_frames, lost=condition.value, clip_id=clip_id)})
            for clip, clip_id in zip(clips, clip_ids, strict=True)
        ]
    if condition.kind == "both":
        return clips
    keeps_sound = condition.kind == "sound only"
    return [clip.only(name for name in clip if (modality_of(name) in SOUND) == keeps_sound) for clip in clips]


def noisy_sound(corpus, processor, snr_db: float, arguments: argparse.Namespace) -> list[PreparedClip]:
    """The prepared sound of each clip of a corpus under white noise; kept on disk as all prepared clips are."""
    listener = copy.copy(processor)
    listener.do_video = False  # the sound of a video file is read without its frames
    rows = corpus.remove_columns("features") if "features" in corpus.column_names else corpus
    rows = rows.add_column("noise_snr_db", [snr_db] * len(rows))
    kept, files = prepare_clips(rows, listener, arguments.cache_dir, arguments.num_proc)
    sounds = dict(zip(kept, load_clips(files), strict=True))
    return [sounds.get(row, PreparedClip({})) for row in range(len(rows))]


def missing_scores(results: Mapping, folder: Path, inputs: tuple, arguments: argparse.Namespace) -> list[dict]:
    """
    Score the networks of a finished job on their test speakers under every condition.

    In the speaker-normalised protocol a speaker's clips all come from the same bad day: his statistics are those of his
    noisy clips.

    Args:
        results (`Mapping`): content of the job's `results.json`.
        folder (`Path`): where its networks are.
        inputs (`tuple`): corpus, prepared clips (not normalised) and processor, as [`~experiment.load_inputs`] gives them.
        arguments (`argparse.Namespace`): options that the job was trained with.

    Returns:
        `list[dict]`: `condition`, `kind`, `value`, and the summaries `war` and `uar`, one per condition.
    """
    corpus, clips, processor = inputs
    clip_ids, speakers = corpus["clip_id"][:], corpus["speaker_id"][:]
    rows = {clip_id: row for row, clip_id in enumerate(clip_ids)}
    scores = []
    for condition in tqdm(conditions_of(clips), desc=f"{results['name']} with less", unit="condition"):
        noisy = noisy_sound(corpus, processor, condition.value, arguments) if condition.kind == "noise" else None
        given = degraded(clips, clip_ids, condition, noisy)
        if results["protocol"] == "speaker-normalised":
            given = normalize_by_speaker(given, speakers)
        runs = []
        for path, run in zip(run_folders(folder, results["runs"]), results["runs"], strict=True):
            network = load_network(path)
            tested = [given[rows[item["clip_id"]]] for item in run["predictions"]]
            answers = judge(network, tested, processor.image_processor)
            runs.append(rescored(run, answers))
        summary = summarize(runs, results["labels"])
        scores.append(
            {
                "condition": condition.name,
                "kind": condition.kind,
                "value": condition.value,
                "war": summary["war"],
                "uar": summary["uar"],
            }
        )
    return scores


def missing_table(results: Sequence[Mapping]) -> str:
    """Markdown table of the WAR of every result under every condition, in percent with its interval."""
    # A method of one modality lacks some conditions: the order is that of one that has them all.
    by_length = sorted(results, key=lambda item: -len(item["missing"]))
    names = list(dict.fromkeys(score["condition"] for item in by_length for score in item["missing"]))
    lines = [["Method", "Protocol", *names], ["---", "---", *["---:"] * len(names)]]
    for item in results:
        scores = {score["condition"]: score["war"] for score in item["missing"]}
        lines.append([item["name"], item["protocol"], *(format_cell(scores.get(name)) for name in names)])
    return f"{markdown_table(lines)}\n\nWAR in percent over all folds and seeds [95 % interval, bootstrapped over speakers].\n"


__all__ = ["Condition", "conditions_of", "missing_scores", "missing_table"]
