# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What unlabelled clips of a speaker are worth to networks of the speaker-normalised protocol. Nothing is trained here."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm
from transformers import AutoProcessor

from .aggregation import summarize
from .data import modality_of, scaled
from .feature_arrays import speaker_estimate
from .rescoring import format_cell, judge, load_network, rescored, run_folders
from .results import markdown_table


COUNTS = (0, 1, 2, 5, 10, 20, 60)
NUM_DRAWS = 5


def adaptation_scores(results: Mapping, folder: Path, inputs: tuple, counts: Sequence[int] = COUNTS) -> list[dict]:
    """
    Score the networks of a finished job with so many of a test speaker's clips known, and all of his clips judged.

    The clips are drawn at random, several times. What is known of the speaker is estimated from them and from what is usual
    of the training speakers.

    Args:
        results (`Mapping`): content of the job's `results.json`, of the speaker-normalised protocol.
        folder (`Path`): where its networks are.
        inputs (`tuple`): corpus, prepared clips (not normalised) and processor, as [`~experiment.load_inputs`] gives them.
        counts (`Sequence[int]`, *optional*): numbers of clips.

    Returns:
        `list[dict]`: `clips`, `num_runs` and the summaries `war` and `uar`, one per number.
    """
    corpus, clips, processor = inputs
    rows = {clip_id: row for row, clip_id in enumerate(corpus["clip_id"][:])}
    speakers = np.array(corpus["speaker_id"][:])
    runs: dict[int, list[dict]] = {count: [] for count in counts}
    folders = run_folders(folder, results["runs"])
    bar = tqdm(results["runs"], desc=f"{results['name']} getting used to speakers", unit="network")
    for path, run in zip(folders, bar, strict=True):
        network = load_network(path)
        prior = AutoProcessor.from_pretrained(path).speaker_prior
        tested = [rows[item["clip_id"]] for item in run["predictions"]]
        draw = np.random.default_rng(run["seed"])
        for count in counts:
            most = max(np.sum(speakers[tested] == speaker) for speaker in run["splits"]["test"])
            # All of a speaker's clips, or none of them, can be drawn in one way only.
            for repeat in range(NUM_DRAWS if 0 < count < most else 1):
                adapted = adapted_clips(clips, tested, speakers, prior, count, draw)
                answers = judge(network, adapted, processor.image_processor)
                runs[count].append(rescored(run, answers, seed=f"{run['seed']}/{repeat}"))
    scores = []
    for count, of_count in runs.items():
        summary = summarize(of_count, results["labels"])
        scores.append({"clips": count, "num_runs": summary["num_runs"], "war": summary["war"], "uar": summary["uar"]})
    return scores


def adapted_clips(clips, tested, speakers, prior, count: int, draw) -> list[dict]:
    """The tested clips, each centred and scaled by what is known of its speaker from `count` of his clips."""
    adapted = {}
    for speaker in dict.fromkeys(speakers[tested]):
        own = [row for row in tested if speakers[row] == speaker]
        known = draw.choice(own, min(count, len(own)), replace=False) if count else []
        arrays = sorted({array for row in own for array in clips[row] if array != "crops"})
        estimates = {
            array: speaker_estimate(
                [clips[row][array] for row in known if array in clips[row]], prior[modality_of(array)]
            )
            for array in arrays
        }
        for row in own:
            adapted[row] = clips[row].changed({array: partial(scaled, *scale) for array, scale in estimates.items()})
    return [adapted[row] for row in tested]


def adaptation_table(results: Sequence[Mapping]) -> str:
    """Markdown table of the WAR of every result by the number of clips, in percent with its interval."""
    counts = [str(point["clips"]) for point in results[0]["adaptation"]]
    lines = [["Method", *counts], ["---", *["---:"] * len(counts)]]
    lines += [[item["name"], *(format_cell(point["war"]) for point in item["adaptation"])] for item in results]
    reading = "WAR in percent by unlabelled clips of the speaker [95 % interval, bootstrapped over speakers]."
    return f"{markdown_table(lines)}\n\n{reading}\n"


__all__ = ["adaptation_scores", "adaptation_table"]
