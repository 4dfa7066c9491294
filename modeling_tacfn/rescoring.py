# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Networks of a finished training, asked again about their test clips, which now look or sound otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel
from transformers.utils.logging import disable_progress_bar

from .data import ClipCollator


BATCH_SIZE = 64


def run_folders(folder: Path, runs: Sequence[Mapping]) -> list[Path]:
    """Where the networks of the runs of a job are: a single one has no folder of its own."""
    return [folder / f"fold_{run['fold']}_seed_{run['seed']}" for run in runs] if len(runs) > 1 else [folder]


def load_network(folder: Path):
    """A trained network, ready to answer; without the bar of its weights, one of many."""
    disable_progress_bar()
    return AutoModel.from_pretrained(folder).eval()


@torch.inference_mode()
def judge(model, clips: list[dict], image_processor) -> np.ndarray:
    """Probabilities `(clips, num_labels)` of prepared clips; a clip with nothing in it is as likely to be anything."""
    probabilities = np.full((len(clips), model.config.num_labels), 1 / model.config.num_labels)
    known = [row for row, clip in enumerate(clips) if clip]
    for start in range(0, len(known), BATCH_SIZE):
        rows = known[start : start + BATCH_SIZE]
        inputs = inputs_of([clips[row] for row in rows], model, image_processor)
        probabilities[rows] = model(**inputs).logits.float().softmax(1).numpy()
    return probabilities


def inputs_of(clips: list[Mapping], model, image_processor) -> dict:
    """What a network is given of prepared clips."""
    collator = ClipCollator(model.config.num_labels, image_processor)
    batch = collator([{"index": index, "label": 0, "clip": clip} for index, clip in enumerate(clips)])
    return {name: value for name, value in batch.items() if name not in ("index", "labels")}


def rescored(run: Mapping, answers: np.ndarray, seed=None) -> dict:
    """A run with other probabilities `(clips, num_labels)` for its test clips; `seed` tells several such apart."""
    predictions = [
        item | {"probabilities": answer.tolist()} for item, answer in zip(run["predictions"], answers, strict=True)
    ]
    return {"fold": run["fold"], "seed": run["seed"] if seed is None else seed, "predictions": predictions}


def format_cell(war: Mapping | None) -> str:
    """A pooled score in percent with its interval, for a table; a dash for none."""
    if war is None:
        return "–"
    text = f"{100 * war['pooled']:.1f}"
    interval = war["interval_95"]
    return text if interval is None else text + " [{:.1f}, {:.1f}]".format(*(100 * bound for bound in interval))
