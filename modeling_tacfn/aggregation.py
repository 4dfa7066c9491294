# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""From the predictions of every run to the numbers that may be quoted, with their uncertainty.

A run is one trained network on one test fold: `{"fold", "seed", "predictions": [{"clip_id", "speaker", "label",
"probabilities"}, ...]}` (another task has other names for the last two), and optionally `"single_modality": {"audio": [...], ...}`, predictions of the same weights with
only one modality given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .tasks import EmotionTask, make_task


class _Predictions:
    """The predictions of many runs as arrays, checked."""

    def __init__(self, runs: Sequence[Mapping[str, Any]], task: EmotionTask, inputs: str | None = None):
        self.run_counts, self.fold_seeds, answers, references = [], [], [], []
        num_labels = len(task.labels)
        label_of: dict[str, Any] = {}
        speaker_of: dict[str, str] = {}
        fold_of: dict[tuple[str, Any], Any] = {}
        counts: dict[str, dict[Any, np.ndarray]] = {}
        for run in runs:
            fold, seed = run["fold"], run["seed"]
            if (fold, seed) in self.fold_seeds:
                raise ValueError(f"Expected one run per fold and seed, received fold {fold} with seed {seed} twice.")
            self.fold_seeds.append((fold, seed))
            predictions = run["predictions"] if inputs is None else run["single_modality"][inputs]
            if not predictions:
                raise ValueError(f"Expected predictions in the run of fold {fold} with seed {seed}, received none.")
            answer = np.array([item[task.answer_key] for item in predictions], dtype=np.float64)
            reference = np.array([item[task.reference_key] for item in predictions])
            if answer.ndim != 2 or answer.shape[1] != num_labels or not np.isfinite(answer).all():
                raise ValueError(
                    f"Expected {num_labels} finite {task.answer_key} per clip in fold {fold} with seed {seed}, received shape {answer.shape}."
                )
            for item in predictions:
                clip, speaker, label = item["clip_id"], _speaker(item), item[task.reference_key]
                if (label_of.setdefault(clip, label), speaker_of.setdefault(clip, speaker)) != (label, speaker):
                    raise ValueError(
                        f"Clip {clip} has another label or speaker in fold {fold} with seed {seed} than before."
                    )
                if fold_of.setdefault((speaker, seed), fold) != fold:
                    raise ValueError(
                        f"Speaker {speaker} is tested in the folds {fold_of[speaker, seed]} and {fold} with seed {seed}: the folds share a speaker."
                    )
            if len({item["clip_id"] for item in predictions}) < len(predictions):
                raise ValueError(
                    f"Some clip is there twice in fold {fold} with seed {seed}; repeats that pad a batch must be dropped."
                )
            speakers = np.array([_speaker(item) for item in predictions])
            for speaker in np.unique(speakers):
                mine = speakers == speaker
                counts.setdefault(speaker, {})[seed] = task.counts(reference[mine], answer[mine])
            self.run_counts.append(task.counts(reference, answer))
            answers.append(answer)
            references.append(reference)
        if not self.fold_seeds:
            raise ValueError("Expected at least one run, received none.")
        self.clips = {clip: (_comparable(label_of[clip]), speaker_of[clip]) for clip in label_of}
        self.speakers = sorted(counts)
        # A speaker scored with several seeds is still one speaker: his clips count once, as the mean over seeds.
        self.speaker_counts = np.stack([np.mean(list(counts[speaker].values()), axis=0) for speaker in self.speakers])
        self.answers, self.references = np.concatenate(answers), np.concatenate(references)


def counts_by_speaker(predictions: Sequence[Mapping[str, Any]], task: EmotionTask) -> dict[str, dict[str, Any]]:
    """
    What happened to the clips of each speaker, over all runs, from which his scores follow.

    Args:
        predictions (`Sequence[Mapping]`): of any number of runs; those of unknown speakers are left out.
        task ([`~tasks.EmotionTask`] or another): counts them.

    Returns:
        `dict[str, dict]`: by speaker, in natural order, `counts` (nested lists) and the number of `answers` they are made of.
    """
    chosen: dict[str, list[Mapping]] = {}
    for item in predictions:
        if item["speaker"] is not None:
            chosen.setdefault(str(item["speaker"]), []).append(item)
    speakers = {}
    for speaker, items in sorted(chosen.items(), key=lambda pair: (len(pair[0]), pair[0])):
        references, answers = (
            np.array([item[key] for item in items]) for key in (task.reference_key, task.answer_key)
        )
        speakers[speaker] = {"counts": task.counts(references, answers).tolist(), "answers": len(items)}
    return speakers


def _speaker(item: Mapping[str, Any]) -> str:
    """Whose clip it is. Where nobody knows, the clips are drawn one by one, which makes intervals too narrow."""
    return f"clip {item['clip_id']}" if item["speaker"] is None else str(item["speaker"])


def _comparable(label):
    return tuple(label) if isinstance(label, list) else label


def _bootstrap_weights(num_speakers: int, num_draws: int, seed: int) -> np.ndarray:
    """How often each speaker is in each draw with replacement: `(num_draws, num_speakers)`."""
    return np.random.default_rng(seed).multinomial(
        num_speakers, np.full(num_speakers, 1 / num_speakers), size=num_draws
    )


def _weighted(weights: np.ndarray, confusions: np.ndarray) -> np.ndarray:
    return np.tensordot(weights.astype(np.float64), confusions, axes=1)


def _interval(values: np.ndarray) -> list[float]:
    return [float(bound) for bound in np.nanquantile(values, (0.025, 0.975))]


def summarize(
    runs: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    inputs: str | None = None,
    num_draws: int = 10_000,
    seed: int = 0,
    task: str = EmotionTask.name,
) -> dict[str, Any]:
    """Sum up the runs of one method.

    Each score has its `mean` and standard deviation `sd` (divided by runs - 1) over all folds and seeds; `pooled`, the
    score of all test clips together, a clip scored with several seeds counting once; and `interval_95`, the 95 % interval of
    `pooled` when speakers are drawn again with replacement. With one speaker there is no interval, with one run no `sd`.

    Args:
        runs (`Sequence[Mapping]`): runs, at most one per fold and seed; folds may be missing while training goes on.
        labels (`Sequence[str]`): names of the classes, in order.
        inputs (`str`, *optional*, defaults to `None`): which `single_modality` predictions to sum up; `None` is those with
            all modalities.
        num_draws (`int`, *optional*, defaults to 10000): draws of the bootstrap.
        seed (`int`, *optional*, defaults to 0): its seed.
        task (`str`, *optional*, defaults to `"emotion"`): one of `tasks.TASKS`.

    Returns:
        `dict`: `war`, `uar`, `macro_f1` as above, `per_class`, `confusion` summed over all runs, `expected_calibration_error`
        (or the scores and details of another task), and `num_runs`, `folds`, `seeds`, `num_clips`, `num_speakers`.

    Raises:
        ValueError: If the runs contradict each other: a fold and seed, or a clip, twice; a speaker in two folds.
    """
    chosen = make_task(task, labels)
    predictions = _Predictions(runs, chosen, inputs)
    per_speaker = predictions.speaker_counts
    per_run = np.stack(predictions.run_counts)
    several = len(predictions.speakers) > 1
    draws = _weighted(_bootstrap_weights(len(per_speaker), num_draws, seed), per_speaker) if several else None
    summary: dict[str, Any] = {
        "num_runs": len(per_run),
        "folds": sorted({fold for fold, _ in predictions.fold_seeds}),
        "seeds": sorted({run_seed for _, run_seed in predictions.fold_seeds}),
        "num_clips": len(predictions.clips),
        "num_speakers": len(predictions.speakers),
    }
    for name, function in chosen.scores.items():
        values = function(per_run)
        summary[name] = {
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
            "pooled": float(function(per_speaker.sum(0))),
            "interval_95": _interval(function(draws)) if several else None,
        }
    return summary | chosen.details(per_run.sum(0), predictions.references, predictions.answers)


def paired_test(
    runs_a: Sequence[Mapping[str, Any]],
    runs_b: Sequence[Mapping[str, Any]],
    num_labels: int,
    metric: str = "uar",
    num_permutations: int = 10_000,
    seed: int = 0,
    task: str = EmotionTask.name,
) -> dict[str, Any]:
    """Ask whether two methods differ on the same clips, by permutation over speakers.

    If the methods were equal, it would not matter which of the two made a speaker's predictions: for each permutation they
    change places for a random half of the speakers. All permutations are tried where there are no more than asked for.
    Speakers, not clips, are exchanged, because the clips of one speaker are not independent.

    Args:
        runs_a (`Sequence[Mapping]`): runs of the first method.
        runs_b (`Sequence[Mapping]`): runs of the second, on the same clips.
        num_labels (`int`): number of classes.
        metric (`str`, *optional*, defaults to `"uar"`): `"war"`, `"uar"` or `"macro_f1"`, or a score of the task.
        num_permutations (`int`, *optional*, defaults to 10000): at most so many permutations, and draws of the interval.
        seed (`int`, *optional*, defaults to 0): seed of both.
        task (`str`, *optional*, defaults to `"emotion"`): one of `tasks.TASKS`.

    Returns:
        `dict`: `metric`, `difference` (first minus second, pooled), `interval_95` of it, bootstrapped over speakers, two-sided
        `p_value`, `exact`, `num_permutations`, `num_speakers`.

    Raises:
        ValueError: If the methods were not scored on the same clips, or there is only one speaker.
    """
    chosen = make_task(task, [str(label) for label in range(num_labels)])
    if metric not in chosen.scores:
        raise ValueError(f"Expected a score out of {', '.join(chosen.scores)}, received {metric!r}.")
    first, second = _Predictions(runs_a, chosen), _Predictions(runs_b, chosen)
    if first.clips != second.clips:
        different = sorted({clip for clip, _ in first.clips.items() ^ second.clips.items()})
        raise ValueError(
            f"Expected two methods scored on the same clips, but {len(different)} differ, such as {different[0]}."
        )
    num_speakers = len(first.speakers)
    if num_speakers < 2:
        raise ValueError("Expected at least two speakers, received one: nothing can be said about other people.")
    function = chosen.scores[metric]
    a, b = first.speaker_counts, second.speaker_counts

    exact = 2**num_speakers <= num_permutations
    if exact:
        codes = np.arange(2**num_speakers)[:, None]
        signs = 1 - 2 * ((codes >> np.arange(num_speakers)) & 1)
    else:
        signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, size=(num_permutations, num_speakers))
    middle, half = (a + b).sum(0) / 2, _weighted(signs, (a - b) / 2)
    difference = float(function(a.sum(0)) - function(b.sum(0)))
    permuted = function(middle + half) - function(middle - half)
    extreme = int((np.abs(permuted) >= abs(difference) - 1e-12).sum())
    weights = _bootstrap_weights(num_speakers, num_permutations, seed)
    return {
        "metric": metric,
        "difference": difference,
        "interval_95": _interval(function(_weighted(weights, a)) - function(_weighted(weights, b))),
        # The permutation that was observed is one of them; without it a sampled p could be 0.
        "p_value": extreme / len(signs) if exact else (extreme + 1) / (len(signs) + 1),
        "exact": exact,
        "num_permutations": len(signs),
        "num_speakers": num_speakers,
    }
