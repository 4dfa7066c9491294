# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Scores of emotion recognition from a confusion matrix, many matrices at a time.

WAR (weighted average recall) is accuracy; UAR (unweighted average recall) is the mean of the classes' recalls, so that a
rare emotion counts as much as a common one.
"""

import numpy as np


def confusion_matrix(references: np.ndarray, predictions: np.ndarray, num_labels: int) -> np.ndarray:
    """Count the clips of each true and predicted class.

    Args:
        references (`np.ndarray` of shape `(num_clips,)`): true classes, in `[0, num_labels)`.
        predictions (`np.ndarray` of shape `(num_clips,)`): predicted classes, in the same range.
        num_labels (`int`): number of classes.

    Returns:
        `np.ndarray`: counts of shape `(num_labels, num_labels)`, true classes in rows.

    Raises:
        ValueError: If the two differ in length or hold something else than such classes.
    """
    references, predictions = np.asarray(references), np.asarray(predictions)
    if references.shape != predictions.shape or references.ndim != 1:
        raise ValueError(
            f"Expected as many predictions as references, received {predictions.shape} and {references.shape}."
        )
    for name, values in (("references", references), ("predictions", predictions)):
        if values.size and (
            not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() >= num_labels
        ):
            raise ValueError(
                f"Expected {name} to be integers from 0 to {num_labels - 1}, received {np.unique(values)[:10]}."
            )
    flat = references.astype(np.int64) * num_labels + predictions.astype(np.int64)
    return np.bincount(flat, minlength=num_labels**2).reshape(num_labels, num_labels)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0).sum(-1), known.sum(-1))


def recall_per_class(confusion: np.ndarray) -> np.ndarray:
    """Share of each class's clips that were found, NaN for a class without clips; `(..., num_labels)`."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1))


def precision_per_class(confusion: np.ndarray) -> np.ndarray:
    """Share of the clips given each class that are of it, NaN for a class never given; `(..., num_labels)`."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-2))


def f1_per_class(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, NaN for a class neither there nor given; `(..., num_labels)`."""
    return _ratio(2.0 * np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1) + confusion.sum(-2))


def war(confusion: np.ndarray) -> np.ndarray:
    """Accuracy of one or many confusion matrices `(..., num_labels, num_labels)`."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum((-2, -1)))


def uar(confusion: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have clips, of one or many confusion matrices."""
    return _mean_of_known(recall_per_class(confusion))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that are there or were given, of one or many confusion matrices."""
    return _mean_of_known(f1_per_class(confusion))


SCORES = {"war": war, "uar": uar, "macro_f1": macro_f1}


def expected_calibration_error(probabilities: np.ndarray, references: np.ndarray, num_bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over bins of equal width weighted by their clips (Guo et al., 2017).

    Args:
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`): rows that sum to 1.
        references (`np.ndarray` of shape `(num_clips,)`): true classes.
        num_bins (`int`, *optional*, defaults to 15): bins of the confidence, from 0 to 1.

    Returns:
        `float`: 0 is perfectly calibrated, 1 is the worst.

    Raises:
        ValueError: If the rows are not probabilities.
    """
    probabilities, references = np.asarray(probabilities, dtype=np.float64), np.asarray(references)
    if probabilities.ndim != 2 or len(probabilities) != len(references) or not len(references):
        raise ValueError(
            f"Expected probabilities (num_clips, num_labels) for {len(references)} clips, received shape {probabilities.shape}."
        )
    # Written so that NaN is refused too.
    if not (probabilities.min() >= 0 and np.abs(probabilities.sum(1) - 1).max() < 1e-3):
        raise ValueError(
            "Expected rows of probabilities, none negative and each with the sum 1; apply softmax to logits first."
        )
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == references
    # A confidence on a boundary belongs to the bin below it.
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    gap = np.bincount(bins, weights=correct - confidence, minlength=num_bins)
    return float(np.abs(gap).sum() / len(references))


def score(
    references: np.ndarray, predictions: np.ndarray, labels: list[str], probabilities: np.ndarray | None = None
) -> dict:
    """All scores of one set of clips.

    Args:
        references (`np.ndarray` of shape `(num_clips,)`): true classes.
        predictions (`np.ndarray` of shape `(num_clips,)`): predicted classes.
        labels (`list[str]`): names of the classes.
        probabilities (`np.ndarray` of shape `(num_clips, num_labels)`, *optional*, defaults to `None`): adds the calibration.

    Returns:
        `dict`: `war`, `uar`, `macro_f1`, `per_class`, `confusion`, and `expected_calibration_error` with probabilities.
    """
    confusion = confusion_matrix(references, predictions, len(labels))
    scores = {name: float(function(confusion)) for name, function in SCORES.items()}
    scores["per_class"] = describe_classes(confusion, labels)
    scores["confusion"] = confusion.tolist()
    if probabilities is not None:
        scores["expected_calibration_error"] = expected_calibration_error(probabilities, references)
    return scores


def describe_classes(confusion: np.ndarray, labels: list[str]) -> dict[str, dict[str, float]]:
    """Recall, precision, F1 and number of clips of each class; NaN where a class has none."""
    columns = (recall_per_class(confusion), precision_per_class(confusion), f1_per_class(confusion), confusion.sum(-1))
    return {
        name: {"recall": float(recall), "precision": float(precision), "f1": float(f1), "support": int(support)}
        for name, recall, precision, f1, support in zip(labels, *columns, strict=True)
    }
