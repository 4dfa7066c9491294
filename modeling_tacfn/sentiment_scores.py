# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Scores of sentiment on a scale, and of several yes/no answers per clip, as they are reported on CMU-MOSEI, MOSI and IEMOCAP.

Every score is a function of counts that may be added up over clips, so that intervals over speakers and scores over
several sets of clips come from the same lines. Shares and correlations are numbers from 0 to 1 (-1 to 1), NaN where they are
not defined.
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
        `f1_non_negative`, `acc_2_positive` and `f1_positive`, where F1 is weighted by the clips of each class.

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
    counts = sentiment_counts(references, predictions)
    return {name: float(score(counts)) for name, score in SENTIMENT_SCORES.items()}


def yes_no_scores(references: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> dict[str, dict]:
    """Scores of several yes/no answers per clip, each beside what always answering no would score.

    The four tasks of IEMOCAP (accuracy and weighted F1, as MulT and TACFN report) and the six emotions of MOSEI (weighted
    accuracy and F1) are such answers. Most clips are a no to most questions, so that accuracy and weighted F1 alone say little.

    Args:
        references (`np.ndarray` of shape `(num_clips, num_questions)`): true answers; anything above 0 is yes, so that
            intensities can be given as they are.
        predictions (`np.ndarray` of shape `(num_clips, num_questions)`): answers, 0 or 1: thresholds are the caller's.
        names (`Sequence[str]`): names of the questions.

    Returns:
        `dict[str, dict]`: what [`describe_answers`] says of each question.

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
    return describe_answers(two_class_counts(references > 0, predictions == 1), names)


def two_class_counts(truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Clips by true and given answer, no then yes, of booleans `(num_clips, num_questions)`: `(num_questions, 2, 2)`."""
    said = [[(truth == is_yes) & (answers == says_yes) for says_yes in (False, True)] for is_yes in (False, True)]
    return np.moveaxis(np.sum(said, axis=2), -1, 0)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of right answers of counts `(..., 2, 2)`, truth in rows."""
    return war(counts)


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of no and of yes, weighted by the clips of each, of counts `(..., 2, 2)`."""
    clips = np.asarray(counts).sum(-1)
    f1 = np.nan_to_num(f1_per_class(counts))  # a class that is neither there nor given weighs nothing
    total = clips.sum(-1)
    return np.divide((clips * f1).sum(-1), total, out=np.full(np.shape(total), np.nan), where=total > 0)


def weighted_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean recall of yes and no of counts `(..., 2, 2)`; NaN without clips of both."""
    return recall_per_class(counts).mean(-1)


YES_NO_SCORES = {"accuracy": accuracy, "weighted_f1": weighted_f1, "weighted_accuracy": weighted_accuracy}


def always_no(counts: np.ndarray) -> np.ndarray:
    """The counts `(..., 2, 2)` of somebody who answers no to the same questions."""
    answers = np.zeros_like(counts)
    answers[..., 0] = counts.sum(-1)
    return answers


def describe_answers(counts: np.ndarray, names: Sequence[str]) -> dict[str, dict]:
    """`YES_NO_SCORES` of each question, of counts `(num_questions, 2, 2)`; those of always answering no; clips of `yes` and `no`."""
    return {
        name: {
            **{score: float(function(counts[index])) for score, function in YES_NO_SCORES.items()},
            "always_no": {
                score: float(function(always_no(counts[index]))) for score, function in YES_NO_SCORES.items()
            },
            "yes": int(counts[index, 1].sum()),
            "no": int(counts[index, 0].sum()),
        }
        for index, name in enumerate(names)
    }


def sentiment_counts(references: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """What `SENTIMENT_SCORES` are functions of, for sentiments `(num_clips,)`: `(17,)`, to be added up over sets of clips.

    Clips, absolute error, both sums, both sums of squares, sum of products, agreements on 7 and on 5 steps, then two-class
    counts with 0 as not negative, and of the clips that are not 0.
    """
    sums = [len(references), np.abs(references - predictions).sum(), references.sum(), predictions.sum()]
    sums += [(references**2).sum(), (predictions**2).sum(), (references * predictions).sum()]
    for limit in (3, 2):
        rounded = (np.round(np.clip(values, -limit, limit)) for values in (references, predictions))
        sums.append(np.equal(*rounded).sum())
    not_zero = references != 0
    non_negative = two_class_counts((references >= 0)[:, None], (predictions >= 0)[:, None])
    positive = two_class_counts((references > 0)[not_zero, None], (predictions > 0)[not_zero, None])
    return np.concatenate([sums, non_negative.ravel(), positive.ravel()])


def correlation(counts: np.ndarray) -> np.ndarray:
    """Pearson's correlation from `sentiment_counts`; NaN where either is constant."""
    clips = counts[..., 0]
    true, said, true_squares, said_squares, products = np.moveaxis(counts[..., 2:7] / clips[..., None], -1, 0)
    variances = []
    for square, mean in ((true_squares, true), (said_squares, said)):
        variance = square - mean**2
        # What is left of a constant is rounding, which grows with its size.
        variances.append(np.where(variance > 1e-12 * square, variance, 0))
    scale = np.sqrt(variances[0] * variances[1])
    return np.divide(products - true * said, scale, out=np.full(np.shape(scale), np.nan), where=scale > 0)


def _zero_counts(counts: np.ndarray) -> np.ndarray:
    return counts[..., 9:13].reshape(*counts.shape[:-1], 2, 2)


def _without_zero(counts: np.ndarray) -> np.ndarray:
    return counts[..., 13:17].reshape(*counts.shape[:-1], 2, 2)


SENTIMENT_SCORES = {
    "mae": lambda counts: counts[..., 1] / counts[..., 0],
    "correlation": correlation,
    "acc_7": lambda counts: counts[..., 7] / counts[..., 0],
    "acc_5": lambda counts: counts[..., 8] / counts[..., 0],
    "acc_2_non_negative": lambda counts: accuracy(_zero_counts(counts)),
    "f1_non_negative": lambda counts: weighted_f1(_zero_counts(counts)),
    "acc_2_positive": lambda counts: accuracy(_without_zero(counts)),
    "f1_positive": lambda counts: weighted_f1(_without_zero(counts)),
}
