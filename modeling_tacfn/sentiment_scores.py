# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Scores of sentiment on a scale, and of several yes/no answers per clip, as they are reported on CMU-MOSEI, MOSI and IEMOCAP.

Shares and correlations are numbers from 0 to 1 (-1 to 1), NaN where they are not defined.
"""

from collections.abc import Sequence

import numpy as np

from .scores import f1_per_class, recall_per_class, war


def sentiment_scores(references: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """All scores of sentiment from -3 to 3.

    Two classes are counted in the two ways of the literature (README of CMU-MOSEI in the CMU multimodal SDK): negative against
    all others, and negative against positive over the clips whose sentiment is not 0, where a prediction of 0 is negative.

    Args:
        references (`np.ndarray` of shape `(num_clips,)`): true sentiment.
        predictions (`np.ndarray` of shape `(num_clips,)`): estimated sentiment.

    Returns:
        `dict[str, float]`: `mae`; `correlation` (Pearson's, NaN if either is constant); `acc_7` and `acc_5`, the share of
        clips whose rounded sentiment agrees after both are cut to -3 to 3, or to -2 to 2; `acc_2_non_negative` and
        `f1_non_negative`, `acc_2_positive` and `f1_positive`, where F1 is weighted by the clips of each class; `num_clips`,
        and `num_not_zero`, the clips of the last two.

    Raises:
        ValueError: If the two differ in length, are empty, or hold a number that is not finite.
    """
    references, predictions = (np.asarray(values, np.float64) for values in (references, predictions))
    if references.shape != predictions.shape or references.ndim != 1 or not references.size:
        raise ValueError(
            "Expected as many predictions as references, one number for each clip, received shapes "
            f"{predictions.shape} and {references.shape}."
        )
    if not (np.isfinite(references).all() and np.isfinite(predictions).all()):
        raise ValueError("Expected finite numbers, received NaN or infinity; leave such clips out of both.")
    not_zero = references != 0
    non_negative = _two_class_scores(references >= 0, predictions >= 0)
    positive = _two_class_scores(references[not_zero] > 0, predictions[not_zero] > 0)
    return {
        "mae": float(np.abs(references - predictions).mean()),
        "correlation": _correlation(references, predictions),
        "acc_7": _rounded_accuracy(references, predictions, 3),
        "acc_5": _rounded_accuracy(references, predictions, 2),
        "acc_2_non_negative": non_negative["accuracy"],
        "f1_non_negative": non_negative["weighted_f1"],
        "acc_2_positive": positive["accuracy"],
        "f1_positive": positive["weighted_f1"],
        "num_clips": len(references),
        "num_not_zero": int(not_zero.sum()),
    }


def yes_no_scores(references: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> dict[str, dict]:
    """Scores of several yes/no answers per clip, each beside what always answering no would score.

    The four tasks of IEMOCAP (accuracy and weighted F1, as MulT and TACFN report) and the six emotions of MOSEI (weighted
    accuracy and F1) are such answers. Most clips are a no to most questions, so that accuracy and weighted F1 alone say little.

    Args:
        references (`np.ndarray` of shape `(num_clips, num_tasks)`): true answers; anything above 0 is yes, so that
            intensities can be given as they are.
        predictions (`np.ndarray` of shape `(num_clips, num_tasks)`): answers, 0 or 1: thresholds are the caller's.
        names (`Sequence[str]`): names of the tasks.

    Returns:
        `dict[str, dict]`: for each task and for `"mean"`, over tasks, `accuracy`, `weighted_f1` (by the clips of each answer),
        `weighted_accuracy` (mean recall of yes and no; NaN without clips of both) and `always_no` with the same three; for each
        task `num_yes` and `num_clips` too.

    Raises:
        ValueError: If shapes do not fit, there is no clip, or predictions are no answers.
    """
    references, predictions = np.asarray(references), np.asarray(predictions)
    if references.shape != predictions.shape or references.shape[1:] != (len(names),) or not references.size:
        raise ValueError(
            f"Expected references and predictions of shape (num_clips, {len(names)}), received {references.shape} and "
            f"{predictions.shape}."
        )
    if not np.isin(predictions, (0, 1)).all() or not np.isfinite(references).all():
        raise ValueError(
            "Expected finite references and predictions of 0 and 1, received other numbers; compare logits with 0, or "
            "probabilities with 0.5, first."
        )
    truth, answers = references > 0, predictions == 1
    scores = {}
    for column, name in enumerate(names):
        scores[name] = {
            **_two_class_scores(truth[:, column], answers[:, column]),
            "always_no": _two_class_scores(truth[:, column], np.zeros(len(truth), bool)),
            "num_yes": int(truth[:, column].sum()),
            "num_clips": len(truth),
        }
    tasks = list(scores.values())
    mean = {key: _mean(task[key] for task in tasks) for key in _TWO_CLASS_SCORES}
    mean["always_no"] = {key: _mean(task["always_no"][key] for task in tasks) for key in _TWO_CLASS_SCORES}
    return {**scores, "mean": mean}


_TWO_CLASS_SCORES = ("accuracy", "weighted_f1", "weighted_accuracy")


def two_class_counts(truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Clips by true and given answer, no then yes, of booleans `(num_clips, num_tasks)`: `(num_tasks, 2, 2)`."""
    said = [[(truth == is_yes) & (answers == says_yes) for says_yes in (False, True)] for is_yes in (False, True)]
    return np.moveaxis(np.sum(said, axis=2), -1, 0)


def two_class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, weighted F1 and mean recall of counts `(..., 2, 2)`, truth in rows; NaN where there is nothing to count."""
    clips = counts.sum(-1)
    f1 = np.nan_to_num(f1_per_class(counts))  # a class that is neither there nor given weighs nothing
    total = clips.sum(-1)
    weighted_f1 = np.divide((clips * f1).sum(-1), total, out=np.full(np.shape(total), np.nan), where=total > 0)
    values = (war(counts), weighted_f1, recall_per_class(counts).mean(-1))
    return dict(zip(_TWO_CLASS_SCORES, values, strict=True))


def correlation_of_sums(count, true, said, true_squares, said_squares, products) -> np.ndarray:
    """Pearson's correlation of two numbers per clip from their sums; NaN where either is constant."""
    covariance = products / count - true * said / count**2
    variances = [
        squares / count - (total / count) ** 2 for squares, total in ((true_squares, true), (said_squares, said))
    ]
    scale = np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
    return np.divide(covariance, scale, out=np.full(np.shape(scale), np.nan), where=scale > 1e-12)


def _two_class_scores(truth: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    counts = two_class_counts(truth[:, None], answers[:, None])[0]
    return {name: float(value) for name, value in two_class_scores(counts).items()}


def _rounded_accuracy(references: np.ndarray, predictions: np.ndarray, limit: int) -> float:
    rounded = (np.round(np.clip(values, -limit, limit)) for values in (references, predictions))
    return float(np.equal(*rounded).mean())


def _correlation(references: np.ndarray, predictions: np.ndarray) -> float:
    if np.ptp(references) == 0 or np.ptp(predictions) == 0:
        return float("nan")
    return float(np.corrcoef(references, predictions)[0, 1])


def _mean(values) -> float:
    return float(np.mean(list(values)))
