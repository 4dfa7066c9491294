# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What is asked about a clip: one emotion out of several, several yes/no questions, or a number; and how answers are scored.

A task counts what happened to clips in an array that can be added up over clips and speakers, and its scores are functions of
such counts. Intervals and paired tests over speakers are therefore the same for all tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .scores import SCORES, confusion_matrix, describe_classes, expected_calibration_error
from .sentiment_scores import (
    SENTIMENT_SCORES,
    YES_NO_SCORES,
    always_no,
    describe_answers,
    sentiment_counts,
    two_class_counts,
)


SENTIMENT = "sentiment"


class EmotionTask:
    """
    One of several labels.

    Args:
        labels (`Sequence[str]`): names of the classes, in order.
    """

    name = "emotion"
    problem_type: str | None = None
    reference_key, answer_key = "label", "probabilities"
    scores: Mapping[str, Callable] = SCORES
    titles: Mapping[str, str] = {"war": "WAR", "uar": "UAR", "macro_f1": "Macro-F1"}
    shares = frozenset(SCORES)  # scores that are said in percent

    def __init__(self, labels: Sequence[str]):
        self.labels = list(labels)

    def references(self, corpus, builder) -> list:
        """The true answer of every clip; `builder` is that of the corpus."""
        return corpus["label"][:]

    def answers(self, logits):
        """What a network's logits `(batch, num_labels)` say, as a tensor of that shape."""
        return logits.softmax(-1)

    @property
    def unknown(self) -> float:
        """Every number of the answer about a clip with nothing to judge it by."""
        return 1 / len(self.labels)

    def row(self, reference, answer) -> dict[str, Any]:
        """What `results.json` keeps of the truth and of the answer."""
        return {self.reference_key: _plain(reference), self.answer_key: [round(float(value), 5) for value in answer]}

    def counts(self, references: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What the scores are made of; counts of several sets of clips may be added."""
        return confusion_matrix(references, answers.argmax(1), len(self.labels))

    def validation(self, references: np.ndarray, answers: np.ndarray, smoothing: float = 0.0) -> dict[str, float]:
        """What the history of a training keeps of the validation speakers after one epoch."""
        logs = np.log(np.clip(answers, 1e-8, None))
        picked = logs[np.arange(len(references)), references]
        loss = -((1 - smoothing) * picked + smoothing * logs.mean(1)).mean()
        counts = self.counts(references, answers)
        return {
            "validation_loss": float(loss),
            **{f"validation_{name}": float(self.scores[name](counts)) for name in ("war", "uar")},
        }

    def judgement(self, entry: Mapping[str, float]) -> tuple[float, ...]:
        """What makes an epoch better than another: its UAR; of equal ones, as a few speakers often give, the lower loss."""
        return entry["validation_uar"], -round(entry["validation_loss"], 4)

    def details(self, counts: np.ndarray, references: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
        """What a summary says besides the scores; counts and answers are those of all runs."""
        return {
            "per_class": describe_classes(counts, self.labels),
            "confusion": counts.tolist(),
            "expected_calibration_error": expected_calibration_error(answers, references),
        }


class YesNoTask(EmotionTask):
    """
    Several yes/no questions, such as whether a clip is happy and whether it is sad (column `targets`: above 0 is yes).

    Most clips are a no to most questions, so that what a network scores that always answers no stands beside every score.
    """

    name = "yes_no"
    problem_type = "multi_label_classification"
    reference_key = "targets"
    scores = {
        name: lambda counts, function=function: function(counts).mean(-1) for name, function in YES_NO_SCORES.items()
    }
    titles = {"accuracy": "Accuracy", "weighted_f1": "Weighted F1", "weighted_accuracy": "Weighted accuracy"}
    shares = frozenset(scores)
    unknown = 0.5

    def references(self, corpus, builder) -> list:
        return _targets(corpus, self.labels, builder)

    def answers(self, logits):
        return logits.sigmoid()

    def counts(self, references, answers):
        return two_class_counts(references > 0, answers > 0.5)

    def validation(self, references, answers, smoothing=0.0):
        truth = references > 0
        loss = -np.log(np.clip(np.where(truth, answers, 1 - answers), 1e-8, None)).mean()
        scores = {
            f"validation_{name}": float(score(self.counts(references, answers))) for name, score in self.scores.items()
        }
        return {"validation_loss": float(loss), **scores}

    def judgement(self, entry):
        """The lower loss: the scores of rare answers jump."""
        return (-entry["validation_loss"],)

    def details(self, counts, references, answers):
        beside = always_no(counts)
        return {
            "per_question": describe_answers(counts, self.labels),
            "always_no": {name: float(score(beside)) for name, score in self.scores.items()},
        }


class SentimentTask(EmotionTask):
    """A number from -3 to 3 (the target `sentiment`), scored as on CMU-MOSEI and MOSI; trained by the absolute error, as in MulT."""

    name = "sentiment"
    problem_type = "regression"
    reference_key, answer_key = "targets", "estimate"
    scores = SENTIMENT_SCORES
    titles = {
        "mae": "MAE",
        "correlation": "Correlation",
        "acc_7": "Acc-7",
        "acc_5": "Acc-5",
        "acc_2_non_negative": "Acc-2, 0 counts",
        "f1_non_negative": "F1, 0 counts",
        "acc_2_positive": "Acc-2, without 0",
        "f1_positive": "F1, without 0",
    }
    shares = frozenset(scores) - {"mae", "correlation"}
    unknown = 0.0

    def references(self, corpus, builder) -> list:
        return _targets(corpus, self.labels, builder)

    def answers(self, logits):
        return logits

    def counts(self, references, answers):
        return sentiment_counts(references[:, 0].astype(np.float64), answers[:, 0].astype(np.float64))

    def validation(self, references, answers, smoothing=0.0):
        counts = self.counts(references, answers)
        loss = float(self.scores["mae"](counts))
        return {"validation_loss": loss, "validation_acc_7": float(self.scores["acc_7"](counts))}

    def judgement(self, entry):
        """The lower error."""
        return (-entry["validation_loss"],)

    def details(self, counts, references, answers):
        return {}


TASKS = {task.name: task for task in (EmotionTask, YesNoTask, SentimentTask)}


def make_task(name: str, labels: Sequence[str]) -> EmotionTask:
    """The task of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in TASKS:
        raise ValueError(f"Expected a task out of {', '.join(TASKS)}, received {name!r}.")
    return TASKS[name](labels)


def task_labels(name: str, corpus, builder) -> list[str]:
    """
    What the answers of a task are called on a corpus.

    Args:
        name (`str`): one of `TASKS`.
        corpus (`datasets.Dataset`): in the shared schema.
        builder (`type[EmotionCorpusBuilder]`): of the corpus.

    Raises:
        ValueError: the corpus does not have what the task asks about.
    """
    if name == EmotionTask.name:
        return corpus.features["label"].names
    wanted = builder.YES_NO_TARGETS if name == YesNoTask.name else [SENTIMENT]
    held = builder.TARGETS[: len(corpus[0]["targets"] or ())]
    if not wanted or set(wanted) - set(held):
        raise ValueError(
            f"Expected a corpus with the targets {', '.join(wanted) or 'of yes/no questions'} for the task {name!r}, received "
            f"{', '.join(held) or 'none'}. Choose another --task or --dataset."
        )
    return list(wanted)


def _targets(corpus, labels: Sequence[str], builder) -> list[tuple[float, ...]]:
    places = [builder.TARGETS.index(label) for label in labels]
    return [tuple(row[place] for place in places) for row in corpus["targets"]]


def _plain(reference):
    return list(map(float, reference)) if np.ndim(reference) else int(reference)


__all__ = ["TASKS", "EmotionTask", "SentimentTask", "YesNoTask", "make_task", "task_labels"]
