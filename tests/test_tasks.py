# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Tasks: what is asked, how answers are scored, and that a training asks and scores just that."""

import json

import datasets
import numpy as np
import pytest
import torch
from tone_corpus import AUDIO_PROCESSOR, NETWORK, write_tones
from transformers import AutoModel

from dataset_scripts.base import CORPORA
from modeling_tacfn import AudioVisualEmotionPipeline, experiment
from modeling_tacfn.aggregation import paired_test, summarize
from modeling_tacfn.cli import table as clip_table
from modeling_tacfn.comparison_plots import plot_comparison
from modeling_tacfn.modeling_av_common import classification_loss
from modeling_tacfn.prediction import load, predict
from modeling_tacfn.prediction_plot import plot_prediction
from modeling_tacfn.results import load_results, results_latex, results_table
from modeling_tacfn.sentiment_scores import sentiment_scores, yes_no_scores
from modeling_tacfn.tasks import TASKS, EmotionTask, SentimentTask, YesNoTask, make_task


DRAW = np.random.default_rng(0)
QUESTIONS = ["happy", "sad", "angry"]
YES_NO = (DRAW.random((60, 3)) < 0.3).astype(float), DRAW.random((60, 3))
SENTIMENT = np.round(DRAW.normal(0, 1.5, (60, 1)), 1), DRAW.normal(0, 1.5, (60, 1))
SENTIMENT[0][:5] = 0


def test_yes_no_scores_are_those_of_the_literature():
    task, (truth, answers) = YesNoTask(QUESTIONS), YES_NO
    expected = yes_no_scores(truth, (answers > 0.5).astype(int), QUESTIONS)
    counts = task.counts(truth, answers)
    for name, score in task.scores.items():
        assert score(counts) == pytest.approx(np.mean([expected[question][name] for question in QUESTIONS]))
    details = task.details(counts, truth, answers)
    beside = [expected[question]["always_no"]["accuracy"] for question in QUESTIONS]
    assert details["always_no"]["accuracy"] == pytest.approx(np.mean(beside))
    assert details["per_question"]["sad"]["weighted_f1"] == pytest.approx(expected["sad"]["weighted_f1"])
    assert details["per_question"]["sad"]["yes"] == expected["sad"]["yes"]


def test_sentiment_scores_are_those_of_the_literature():
    task, (truth, answers) = SentimentTask(["sentiment"]), SENTIMENT
    expected = sentiment_scores(truth[:, 0], answers[:, 0])
    counts = task.counts(truth, answers)
    for name, score in task.scores.items():
        assert score(counts) == pytest.approx(expected[name], abs=1e-9), name
    constant = task.counts(truth, np.ones_like(truth))
    assert np.isnan(task.scores["correlation"](constant))


@pytest.mark.parametrize(
    ("task", "truth", "answers"),
    [
        (EmotionTask(QUESTIONS), DRAW.integers(0, 3, 60), DRAW.dirichlet(np.ones(3), 60)),
        (YesNoTask(QUESTIONS), *YES_NO),
        (SentimentTask(["sentiment"]), *SENTIMENT),
    ],
    ids=TASKS,
)
def test_counts_add_up_over_clips(task, truth, answers):
    parts = [task.counts(truth[part], answers[part]) for part in (slice(0, 7), slice(7, 8), slice(8, 60))]
    np.testing.assert_allclose(np.sum(parts, axis=0), task.counts(truth, answers))
    many = np.stack([task.counts(truth, answers), parts[2]])
    for name, score in task.scores.items():
        assert score(many).shape == (2,), name
        assert score(many)[1] == pytest.approx(score(parts[2]))
    entries = [task.validation(truth, made, 0.1) for made in (answers, _perfect(task, truth))]
    assert task.judgement(entries[1]) > task.judgement(entries[0])


def _perfect(task, truth):
    if isinstance(task, YesNoTask):
        return truth
    return truth if isinstance(task, SentimentTask) else np.eye(3)[truth]


def runs_of(task, noise: float) -> list[dict]:
    """Three speakers in two folds; the more noise, the worse."""
    draw, runs = np.random.default_rng(1), []
    for fold, speakers in enumerate((["a"], ["b", "c"])):
        predictions = []
        for index in range(30):
            truth = (
                float(draw.integers(-3, 4))
                if isinstance(task, SentimentTask)
                else (draw.random(3) < 0.4).astype(float)
            )
            answer = np.clip(
                truth + draw.normal(0, noise, np.shape(truth)), *((-3, 3) if np.ndim(truth) == 0 else (0, 1))
            )
            row = {"clip_id": f"{fold}/{index}", "speaker": speakers[index % len(speakers)]}
            predictions.append(row | task.row(np.atleast_1d(truth), np.atleast_1d(answer)))
        runs.append({"fold": fold, "seed": 0, "predictions": predictions})
    return runs


@pytest.mark.parametrize("name", ["yes_no", "sentiment"])
def test_intervals_and_paired_tests_are_over_speakers(name):
    task = make_task(name, QUESTIONS if name == "yes_no" else ["sentiment"])
    good, bad = runs_of(task, 0.2), runs_of(task, 1.5)
    summary = summarize(good, task.labels, task=name)
    metric = next(iter(task.scores))
    low, high = summary[metric]["interval_95"]
    assert low <= summary[metric]["pooled"] <= high
    assert summary["num_speakers"] == 3
    test = paired_test(good, bad, len(task.labels), metric, task=name)
    assert test["difference"] < 0 if name == "sentiment" else test["difference"] > 0
    with pytest.raises(ValueError, match="Expected a score out of"):
        paired_test(good, bad, len(task.labels), "war", task=name)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="a task out of emotion, yes_no, sentiment, received 'moods'"):
        make_task("moods", [])


def test_a_number_is_learnt_by_its_absolute_error():
    logits, labels = torch.tensor([[1.0], [-2.0]]), torch.tensor([[0.0], [1.0]])
    assert classification_loss(logits, labels, "regression") == 2.0
    assert classification_loss(logits, labels, "regression", torch.tensor([True, False])) == 1.0


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.setitem(CORPORA, "asked_tones", "tone_corpus:AskedTones")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    corpus = write_tones(tmp_path / "corpus")

    def train(task, *more, epochs=25):
        folder = tmp_path / f"{task}_{len(more)}"
        given = ["--dataset", "asked_tones", "--data_dir", str(corpus), "--task", task, "--published_split"]
        given += ["--model", json.dumps(NETWORK), "--audio_processor", json.dumps(AUDIO_PROCESSOR), "--num_proc", "1"]
        given += ["--cache_dir", str(tmp_path / "cache"), "--epochs", str(epochs), "--learning_rate", "0.01"]
        given += ["--batch_size", "6", "--report_to", "none", "--output_dir", str(folder), *more]
        return experiment.main(given), folder

    return train


def test_a_network_learns_to_answer_yes_and_no(trained, tmp_path):
    results, folder = trained("yes_no", "--augmentation", "{mixup: 0.3}")
    assert (results["task"], results["labels"], results["protocol"]) == (
        "yes_no",
        ["calm", "angry"],
        "published split",
    )
    assert results["summary"]["accuracy"]["mean"] > results["summary"]["always_no"]["accuracy"] == 0.5
    assert set(results["runs"][0]["predictions"][0]) == {"clip_id", "speaker", "targets", "probabilities"}
    assert results["runs"][0]["splits"] == {"train": [], "validation": [], "test": []}
    assert AutoModel.from_pretrained(folder).config.problem_type == "multi_label_classification"
    assert (folder / "confusion_matrix_angry.png").stat().st_size > 5000
    tone = {"audio": str(tmp_path / "corpus" / "s0_calm_0.wav"), "features": {"units": np.zeros(5, np.float32)}}
    scores = predict(*load(folder), **tone).scores
    assert set(scores) == {"calm", "angry"}
    assert abs(sum(scores.values()) - 1) > 1e-6, "yes and no of two questions are not shares of one answer"
    table = results_table([load_results(folder / "results.json")], single_modality=False)
    assert "| Accuracy | Weighted F1 | Weighted accuracy |" in table
    assert "Answering no to everything: Accuracy 50.0" in table


@pytest.mark.slow
def test_a_network_learns_a_number(trained, tmp_path):
    results, folder = trained("sentiment")
    summary = results["summary"]
    assert summary["mae"]["mean"] < 1.5 - 0.3  # always guessing the middle is wrong by 1.5
    assert AutoModel.from_pretrained(folder).config.num_labels == 1
    assert (folder / "estimates.png").stat().st_size > 5000
    tone = tmp_path / "corpus" / "s0_calm_0.wav"
    features = {"units": np.zeros(5, np.float32)}
    prediction = predict(*load(folder), audio=tone, features=features, source="tone")
    plot_prediction(prediction, tmp_path / "prediction.png")
    assert clip_table(prediction).endswith(f"sentiment    {prediction.scores['sentiment']:+.2f}")
    model, processor = load(folder)
    pipe = AudioVisualEmotionPipeline(model, processor, device="cpu")
    (answer,) = pipe({"audio": str(tone), "features": features})
    assert answer == {"label": "sentiment", "score": pytest.approx(prediction.scores["sentiment"], abs=1e-5)}
    table = results_table([results], single_modality=False)
    assert f"| {summary['mae']['mean']:.3f}" in table
    assert "MAE & Correlation" in results_latex([results])
    plot_comparison([results], tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="results of one task in a table, received sentiment, yes_no"):
        results_table([results, trained("yes_no", epochs=1)[0]])


def test_a_corpus_is_not_asked_what_it_does_not_know(trained, monkeypatch):
    monkeypatch.setattr("tone_corpus.AskedTones.YES_NO_TARGETS", [])
    with pytest.raises(
        ValueError, match="targets of yes/no questions for the task 'yes_no', received sentiment, calm, angry"
    ):
        trained("yes_no")
