"""Scores of sentiment and of yes/no answers, by hand and against scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from modeling_tacfn.sentiment_scores import sentiment_scores, yes_no_scores


def test_sentiment_by_hand():
    references = [-2.0, -0.4, 0.0, 1.0, 3.0]
    predictions = [-1.2, 0.4, -0.2, 0.9, 4.0]
    scores = sentiment_scores(references, predictions)
    assert scores["mae"] == pytest.approx((0.8 + 0.8 + 0.2 + 0.1 + 1.0) / 5)
    # Rounded and cut: -2, 0, 0, 1, 3 and -1, 0, 0, 1, 3.
    assert scores["acc_7"] == pytest.approx(4 / 5)
    assert scores["acc_5"] == pytest.approx(4 / 5)
    # Negative, negative, not, not, not and negative, not, negative, not, not.
    assert scores["acc_2_non_negative"] == pytest.approx(3 / 5)
    # Precision and recall of negative are 1/2, of the others 2/3.
    assert scores["f1_non_negative"] == pytest.approx((2 * 0.5 + 3 * 2 / 3) / 5)
    # Without the third clip: the second alone is wrong.
    assert scores["acc_2_positive"] == pytest.approx(3 / 4)
    assert scores["f1_positive"] == pytest.approx((2 * 2 / 3 + 2 * 0.8) / 4)


@pytest.mark.parametrize("seed", range(5))
def test_sentiment_equals_the_libraries(seed):
    generator = np.random.default_rng(seed)
    references = np.round(generator.uniform(-3, 3, 200) * 3) / 3
    references[:20] = 0
    predictions = references + generator.normal(0, 1.5, 200)
    scores = sentiment_scores(references, predictions)
    assert scores["correlation"] == pytest.approx(pearsonr(references, predictions).statistic)
    for limit, name in ((3, "acc_7"), (2, "acc_5")):
        rounded = (np.round(np.clip(values, -limit, limit)) for values in (references, predictions))
        assert scores[name] == pytest.approx(accuracy_score(*rounded))
    assert scores["f1_non_negative"] == pytest.approx(f1_score(references >= 0, predictions >= 0, average="weighted"))
    kept = references != 0
    truth, answers = references[kept] > 0, predictions[kept] > 0
    assert scores["acc_2_positive"] == pytest.approx(accuracy_score(truth, answers))
    assert scores["f1_positive"] == pytest.approx(f1_score(truth, answers, average="weighted"))


def test_a_prediction_of_zero_is_not_negative_but_not_positive_either():
    scores = sentiment_scores([1.0, -1.0], [0.0, 0.0])
    assert scores["acc_2_non_negative"] == scores["acc_2_positive"] == 0.5
    assert scores["f1_non_negative"] == pytest.approx(0.5 * 2 / 3)
    assert scores["f1_positive"] == pytest.approx(0.5 * 2 / 3)


def test_constant_and_single_values_have_no_correlation():
    constant = [1.1] * 7, np.linspace(-1, 1, 7)
    for references, predictions in (([1.0, 2.0], [1.0, 1.0]), ([2.0, 2.0], [1.0, 3.0]), ([1.0], [1.0]), constant):
        assert np.isnan(sentiment_scores(references, predictions)["correlation"])
    scores = sentiment_scores([0.0, 0.0], [1.0, -1.0])
    assert np.isnan(scores["acc_2_positive"])
    assert np.isnan(scores["f1_positive"])
    assert scores["acc_2_non_negative"] == 0.5


@pytest.mark.parametrize(
    ("references", "predictions", "message"),
    [
        ([1.0], [1.0, 2.0], "as many predictions"),
        ([], [], "as many predictions"),
        ([[1.0]], [[1.0]], "one number for each clip"),
        ([1.0, np.nan], [1.0, 2.0], "finite numbers"),
        ([1.0, 2.0], [1.0, np.inf], "finite numbers"),
    ],
)
def test_sentiment_that_cannot_be_scored(references, predictions, message):
    with pytest.raises(ValueError, match=message):
        sentiment_scores(references, predictions)


def test_always_no_on_iemocap_is_what_was_published_of_a_trained_network():
    """LMF-MulT's row in the tables of this line of work: 938 test clips, each of one emotion."""
    counts = {"neutral": 383, "happy": 135, "sad": 193, "angry": 227}
    truth = np.repeat(np.eye(4, dtype=int), list(counts.values()), axis=0)
    scores = yes_no_scores(truth, np.zeros_like(truth), list(counts))
    published = {"happy": (85.6, 79.0), "sad": (79.4, 70.3), "angry": (75.8, 65.4), "neutral": (59.2, 44.0)}
    for name, (accuracy, f1) in published.items():
        assert 100 * scores[name]["accuracy"] == pytest.approx(accuracy, abs=0.05)
        assert 100 * scores[name]["weighted_f1"] == pytest.approx(f1, abs=0.05)
        assert scores[name]["weighted_accuracy"] == 0.5
        assert {key: scores[name][key] for key in scores[name]["always_no"]} == scores[name]["always_no"]
        assert (scores[name]["yes"], scores[name]["no"]) == (counts[name], 938 - counts[name])


@pytest.mark.parametrize("seed", range(5))
def test_answers_equal_the_libraries(seed):
    generator = np.random.default_rng(seed)
    intensities = np.maximum(generator.normal(-0.5, 1, (300, 6)), 0)
    answers = (intensities + generator.normal(0, 1, (300, 6)) > 0.5).astype(int)
    scores = yes_no_scores(intensities, answers, list("abcdef"))
    for column, name in enumerate("abcdef"):
        truth, given = intensities[:, column] > 0, answers[:, column] == 1
        assert scores[name]["accuracy"] == pytest.approx(accuracy_score(truth, given))
        assert scores[name]["weighted_f1"] == pytest.approx(f1_score(truth, given, average="weighted"))
        assert scores[name]["weighted_accuracy"] == pytest.approx(balanced_accuracy_score(truth, given))
        # Zadeh et al. write it as (TP N / P + TN) / 2 N.
        positives, negatives = truth.sum(), (~truth).sum()
        zadeh = ((truth & given).sum() * negatives / positives + (~truth & ~given).sum()) / (2 * negatives)
        assert scores[name]["weighted_accuracy"] == pytest.approx(zadeh)


def test_tasks_without_a_yes_or_without_a_no():
    truth = np.array([[0, 1, 0], [0, 1, 0]])
    scores = yes_no_scores(truth, np.array([[0, 1, 1], [0, 0, 1]]), ["never", "always", "false alarm"])
    assert (scores["never"]["accuracy"], scores["never"]["weighted_f1"]) == (1, 1)
    assert scores["always"]["weighted_f1"] == pytest.approx(2 / 3)
    assert (scores["always"]["always_no"]["accuracy"], scores["always"]["always_no"]["weighted_f1"]) == (0, 0)
    assert (scores["false alarm"]["accuracy"], scores["false alarm"]["weighted_f1"]) == (0, 0)
    assert all(np.isnan(scores[name]["weighted_accuracy"]) for name in ("never", "always"))


@pytest.mark.parametrize(
    ("references", "predictions", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2)), r"shape \(num_clips, 2\), received \(2, 3\) and \(2, 2\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "shape"),
        (np.zeros(2), np.zeros(2), "shape"),
        (np.zeros((1, 2)), np.array([[0.2, 0.9]]), "probabilities with 0.5"),
        (np.array([[np.nan, 0]]), np.zeros((1, 2)), "finite references"),
    ],
)
def test_answers_that_cannot_be_scored(references, predictions, message):
    with pytest.raises(ValueError, match=message):
        yes_no_scores(references, predictions, ["a", "b"])
