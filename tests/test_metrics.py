"""Scores, against scikit-learn and by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from modeling_tacfn import scores
from modeling_tacfn.metrics import EmotionRecognitionMetrics


METRICS_FILE = Path(scores.__file__).with_name("metrics.py")
LABELS = ["neutral", "calm", "happy", "sad", "angry"]


def clips(seed, num_clips=300, classes=5):
    generator = np.random.default_rng(seed)
    references = generator.choice(classes, size=num_clips, p=generator.dirichlet(np.ones(classes)))
    logits = generator.normal(size=(num_clips, 5)) + 1.5 * np.eye(5)[references]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return references, probabilities


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_sklearn(seed):
    references, probabilities = clips(seed)
    predictions = probabilities.argmax(1)
    result = EmotionRecognitionMetrics().compute(predictions=predictions, references=references, labels=LABELS)
    assert result["war"] == pytest.approx(accuracy_score(references, predictions))
    assert result["uar"] == pytest.approx(balanced_accuracy_score(references, predictions))
    assert result["macro_f1"] == pytest.approx(f1_score(references, predictions, average="macro"))
    assert result["confusion"] == confusion_matrix(references, predictions, labels=range(5)).tolist()
    for function, name in ((recall_score, "recall"), (precision_score, "precision"), (f1_score, "f1")):
        expected = function(references, predictions, average=None, labels=range(5), zero_division=np.nan)
        assert [result["per_class"][label][name] for label in LABELS] == pytest.approx(expected.tolist(), nan_ok=True)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_without_clips_does_not_count():
    references, probabilities = clips(0, classes=4)
    predictions = probabilities.argmax(1)
    assert 4 in predictions
    result = EmotionRecognitionMetrics().compute(predictions=predictions, references=references, num_labels=5)
    assert result["uar"] == pytest.approx(balanced_accuracy_score(references, predictions))
    assert result["macro_f1"] == pytest.approx(f1_score(references, predictions, average="macro"))
    assert np.isnan(result["per_class"]["4"]["recall"])
    assert result["per_class"]["4"]["support"] == 0


def test_many_matrices_at_a_time():
    matrices = np.random.default_rng(0).integers(0, 9, size=(3, 4, 5, 5))
    for function in scores.SCORES.values():
        together = function(matrices)
        assert together.shape == (3, 4)
        assert together[2, 1] == pytest.approx(float(function(matrices[2, 1])))


def test_uar_weighs_classes_alike():
    result = EmotionRecognitionMetrics().compute(predictions=[0] * 10, references=[0] * 9 + [1])
    assert (result["war"], result["uar"]) == (0.9, 0.5)


def test_calibration_by_hand():
    # Confidence 0.9 and half of it right: 0.4 off; confidence 0.6 and all of it right: 0.4 off.
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]
    assert scores.expected_calibration_error(probabilities, [0, 1, 0, 0], num_bins=10) == pytest.approx(0.4)
    assert scores.expected_calibration_error([[1.0, 0.0], [0.0, 1.0]], [0, 1]) == 0
    assert scores.expected_calibration_error([[1.0, 0.0], [0.0, 1.0]], [1, 0]) == 1


def test_calibration_opposite_errors_in_other_bins_do_not_cancel():
    probabilities = [[0.95, 0.05]] * 2 + [[0.55, 0.45]] * 2
    assert scores.expected_calibration_error(probabilities, [0, 1, 0, 0], num_bins=10) == pytest.approx(0.45)


def test_probabilities_add_the_calibration():
    references, probabilities = clips(0)
    metric = EmotionRecognitionMetrics()
    for start in range(0, 300, 100):
        metric.add_batch(predictions=probabilities[start : start + 100], references=references[start : start + 100])
    result = metric.compute(labels=LABELS)
    assert result["expected_calibration_error"] == pytest.approx(
        scores.expected_calibration_error(probabilities, references)
    )
    hard = EmotionRecognitionMetrics().compute(
        predictions=probabilities.argmax(1), references=references, labels=LABELS
    )
    assert "expected_calibration_error" not in hard
    assert hard["confusion"] == result["confusion"]


@pytest.mark.parametrize(
    ("probabilities", "why"),
    [
        ([[2.0, 1.0]], "softmax"),
        ([[-0.5, 1.5]], "softmax"),
        ([[np.nan, 1.0]], "softmax"),
        ([[0.5, 0.5], [0.5, 0.5]], "for 1 clips"),
        ([0.5], "received shape"),
    ],
)
def test_what_is_no_probability(probabilities, why):
    with pytest.raises(ValueError, match=why):
        scores.expected_calibration_error(probabilities, [0])


@pytest.mark.parametrize(
    ("references", "predictions", "why"),
    [
        ([0, 5], [0, 1], "references to be integers from 0 to 4"),
        ([0], [-1], "predictions"),
        ([0, 1], [0], "as many"),
        ([0.5], [0], "integers"),
    ],
)
def test_classes_that_are_not_there(references, predictions, why):
    with pytest.raises(ValueError, match=why):
        scores.confusion_matrix(references, predictions, 5)


@pytest.mark.slow
def test_loaded_by_the_path_of_the_file(tmp_path):
    # In a process of its own, as a user would: evaluate copies the file and its sibling away and imports them there.
    code = f"""
import modeling_tacfn, evaluate
metric = evaluate.load({str(METRICS_FILE)!r})
print(type(metric).__name__, metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])["uar"])
"""
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "PYTHONPATH": str(METRICS_FILE.parents[1]),
        "PATH": "",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["EmotionRecognitionMetrics", "0.75"], done.stderr
