# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The scores of emotion recognition as one `evaluate` metric.

It needs no network: import the class, or give the path of this file to `evaluate.load`.
"""

import datasets
import evaluate
import numpy as np

from .scores import score


# evaluate.load takes the first metric class of the file, and looks for imports one line at a time: keep one of each.
_DESCRIPTION = """\
Scores of emotion recognition: WAR (accuracy), UAR (mean recall of the classes), macro-F1, recall, precision and F1 of each
class, the confusion matrix, and with probabilities the expected calibration error."""

_INPUTS_DESCRIPTION = """
Args:
    predictions: list of predicted classes, or list of lists of class probabilities.
    references: list of true classes.
    labels: names of the classes in order, optional; without them classes are named by number.
    num_labels: number of classes, optional; needed where neither names nor probabilities tell it and the last classes
        may be missing from the data.
Returns:
    war, uar, macro_f1, per_class, confusion (true classes in rows), and expected_calibration_error with probabilities.
Example:
    >>> metric = EmotionRecognitionMetrics()
    >>> metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])["uar"]
    0.75
"""

_CITATION = """\
@inproceedings{schuller2009interspeech,
  title = {The INTERSPEECH 2009 Emotion Challenge},
  author = {Schuller, Björn and Steidl, Stefan and Batliner, Anton},
  booktitle = {INTERSPEECH}, year = {2009}
}"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS_DESCRIPTION)
class EmotionRecognitionMetrics(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        references = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=[
                datasets.Features({"predictions": datasets.Value("int64"), "references": references}),
                datasets.Features({"predictions": datasets.List(datasets.Value("float64")), "references": references}),
            ],
        )

    def _compute(self, predictions, references, labels=None, num_labels=None) -> dict:
        predictions, references = np.asarray(predictions), np.asarray(references)
        probabilities = predictions if predictions.ndim == 2 else None
        if probabilities is not None:
            predictions = probabilities.argmax(1)
            num_labels = num_labels or probabilities.shape[1]
        if labels is None:
            num_labels = num_labels or int(max(predictions.max(), references.max())) + 1
            labels = [str(label) for label in range(num_labels)]
        return score(references, predictions, list(labels), probabilities)
