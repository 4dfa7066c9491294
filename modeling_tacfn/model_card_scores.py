# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The sections of a model card that hold scores. Every number is one of the results file, or counted from its answers."""

from collections.abc import Callable, Mapping

import numpy as np
from huggingface_hub import EvalResult

from .aggregation import counts_by_speaker
from .model_card_facts import corpus_facts
from .model_card_source import CardSource
from .model_card_text import capitalised, counted, listed
from .results import LEARNING_CHECK, format_score, markdown_table, results_table


NO_RESULTS = "Not measured: no results lie beside the weights."
CONFUSION_PICTURE, RELIABILITY_PICTURE, ESTIMATES_PICTURE = "confusion_matrix.png", "reliability.png", "estimates.png"
# The Hub's names of the metrics.
METRICS = {
    "war": "accuracy",
    "uar": "recall",
    "macro_f1": "f1",
    "accuracy": "accuracy",
    "weighted_f1": "f1",
    "weighted_accuracy": "accuracy",
    "mae": "mae",
    "correlation": "pearsonr",
    **dict.fromkeys(("acc_7", "acc_5", "acc_2_non_negative", "acc_2_positive"), "accuracy"),
    **dict.fromkeys(("f1_non_negative", "f1_positive"), "f1"),
}
_EXPLAINED = {
    "emotion": "WAR is the share of clips that are right, UAR the mean of the labels' recalls.",
    "yes_no": "Weighted accuracy is the mean recall of yes and no; scores are means over the questions.",
    "sentiment": "MAE and correlation are of the sentiment from -3 to 3, Acc-7 and Acc-5 of the rounded one, Acc-2 of its sign.",
}
_MANY_ROWS = 100


def eval_results(source: CardSource, task_type: str) -> list[EvalResult] | None:
    """
    The scores as the Hub's `model-index` holds them.

    `None` where the scored clips are those of the training: a leaderboard has no column for the word of caution.
    """
    results = source.results
    if results is None or results["protocol"] == LEARNING_CHECK:
        return None
    summary, protocol, task = results["summary"], results["protocol"], source.task
    facts = corpus_facts(results["corpus"])
    runs = f"{counted(len(summary['folds']), 'fold')}, {counted(len(summary['seeds']), 'seed')}"
    if source.knows_speakers:
        runs += f", {counted(summary['num_speakers'], 'speaker')} tested"
    entries = []
    for name, shown in task.titles.items():
        score = summary[name]
        if score["mean"] is None or score["mean"] != score["mean"]:
            continue
        spread = {key: _rounded(score[key]) for key in ("sd", "interval_95") if score[key] not in (None, [None, None])}
        entries.append(
            EvalResult(
                task_type=task_type,
                task_name=f"Audio-visual emotion recognition ({task.name})",
                dataset_type=results["corpus"],
                dataset_name=f"{capitalised(facts.title)} ({protocol}; {runs})",
                dataset_split="test",
                metric_type=METRICS[name],
                metric_name=f"{shown} ({protocol})",
                metric_value=_rounded(score["mean"]),
                metric_args={"protocol": protocol, "folds": summary["folds"], "seeds": summary["seeds"], **spread},
            )
        )
    return entries or None


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return None if value is None else round(value, 4)


def results_section(source: CardSource) -> str:
    results = source.results
    if results is None:
        return NO_RESULTS
    rows = [results, source.grid] if source.grid else [results]
    lines = [results_table(rows, single_modality=False), _EXPLAINED[source.task.name]]
    if len(results["runs"]) == 1 and source.knows_speakers and results["protocol"] != LEARNING_CHECK:
        tested = results["runs"][0]["splits"]["test"]
        who = f" ({', '.join(tested)})" if len(tested) <= 20 else ""
        lines.append(
            f"These weights were scored on {counted(len(tested), 'speaker')}{who}: other speakers may be easier or harder."
        )
    if source.grid:
        lines.append(
            "The first row is these weights. The second is the same method over all its folds and seeds, which is what speaks "
            "of people to come."
        )
    if results.get("final"):
        lines.append(
            "No score of these very weights is known: everybody in the corpus is in their training. The scores, here and in all "
            "sections below, are of networks that were trained with the same options on a part of the speakers and tested on the "
            "others."
        )
    return "\n\n".join(line.strip() for line in lines)


def per_class(source: CardSource) -> str:
    """Recall of each label, or of each question beside what always answering no scores."""
    summary = (source.results or {}).get("summary", {})
    if classes := summary.get("per_class"):
        columns = ("recall", "precision", "f1")
        lines = [["Label", "Recall", "Precision", "F1", "Test clips"], ["---", *["---:"] * 4]]
        lines += [
            [name, *(_share(item[key]) for key in columns), str(item["support"])] for name, item in classes.items()
        ]
        return f"{markdown_table(lines)}\n\nPercent; a clip counts once for every seed that scored it."
    if questions := summary.get("per_question"):
        titles = source.task.titles
        lines = [["Question", *titles.values(), "Yes", "No", *(f"{title}, always no" for title in titles.values())]]
        lines.append(["---", *["---:"] * (2 * len(titles) + 2)])
        for name, item in questions.items():
            said, always = ([_share(part[key]) for key in titles] for part in (item, item["always_no"]))
            lines.append([name, *said, str(item["yes"]), str(item["no"]), *always])
        return f"{markdown_table(lines)}\n\nPercent; yes and no are the test clips with that answer."
    return NO_RESULTS if source.results is None else "A number is estimated; there are no classes."


def confusion(source: CardSource) -> str:
    """The picture where there is one, else the counts."""
    shown = [name for name in source.pictures if name.startswith("confusion_matrix")]
    if shown:
        alt = "True labels in rows, answers in columns"
        return "\n\n".join(f"![{alt}]({name})" for name in shown)
    if ESTIMATES_PICTURE in source.pictures:
        return f"![Estimated against true sentiment]({ESTIMATES_PICTURE})"
    counts = (source.results or {}).get("summary", {}).get("confusion")
    if counts is None:
        return NO_RESULTS if source.results is None else "Not kept in the results."
    labels = source.task.labels
    lines = [["True", *labels], ["---", *["---:"] * len(labels)]]
    lines += [[name, *map(str, row)] for name, row in zip(labels, counts, strict=True)]
    return f"{markdown_table(lines)}\n\nClips, true labels in rows and answers in columns, over all folds and seeds."


def missing(source: CardSource) -> str:
    """Scores of the same weights with one input alone, and under noise, where that was measured."""
    if source.results is None:
        return NO_RESULTS
    task, parts = source.task, []
    alone = source.results.get("single_modality") or {}
    names = list(task.titles)[:3]
    if alone:
        given = {"all": source.results["summary"], **alone}
        lines = [["Inputs", *(task.titles[name] for name in names)], ["---", *["---:"] * len(names)]]
        lines += [[key, *(format_score(part[name], task, name) for name in names)] for key, part in given.items()]
        parts.append(markdown_table(lines))
    conditions = source.results.get("missing") or []
    if len(conditions) > 1:
        lines = [["Condition", "WAR", "UAR"], ["---", "---:", "---:"]]
        lines += [[item["condition"], *(format_score(item[name]) for name in ("war", "uar"))] for item in conditions]
        parts.append(markdown_table(lines))
    if not parts:
        taken = source.config.modalities
        return "It has one input only." if len(taken) == 1 else "Not kept in the results."
    note = "The same weights; nothing was trained for this. Read as the table of results."
    if any(item["kind"] == "noise" for item in conditions):
        note += " Noise is white and lies under the voice; its number is the signal-to-noise ratio."
    return "\n\n".join([*parts, note])


def by_speaker(source: CardSource) -> dict[str, tuple[np.ndarray, int]]:
    """Counts of each known test speaker, over all folds and seeds, and of how many answers they are made."""
    if not source.knows_speakers:
        return {}
    kept = source.results.get("speakers") or counts_by_speaker(source.predictions, source.task)
    return {speaker: (np.array(item["counts"]), item["answers"]) for speaker, item in kept.items()}


def spread(source: CardSource) -> str:
    """A sentence on how much the people differ for whom it was scored; empty where that is not known."""
    counts, task = by_speaker(source), source.task
    name, title = next(iter(task.titles.items()))
    values = {speaker: float(task.scores[name](part)) for speaker, (part, _) in counts.items()}
    if len(values) < 2:
        return ""
    said = [_number(task, name, value) for value in (min(values.values()), max(values.values()))]
    return f"It is not equally right about everybody: {title} goes from {said[0]} to {said[1]} between the tested speakers (below)."


def between_speakers(source: CardSource) -> str:
    """Scores of every test speaker, and of the sexes where the names of the speakers tell them."""
    if source.results is None:
        return NO_RESULTS
    counts = by_speaker(source)
    if not counts:
        kept = (
            "The corpus does not say who speaks."
            if source.predictions
            else "Answers to single clips are not in this file."
        )
        return f"Not known. {kept}"
    task, names = source.task, list(source.task.titles)[:2]
    sex_of = corpus_facts(source.corpus).sex_of
    values = {speaker: [float(task.scores[name](part)) for name in names] for speaker, (part, _) in counts.items()}
    parts = []
    if len(values) > 1:
        lines = [["", *(task.titles[name] for name in names)], ["---", *["---:"] * len(names)]]
        for title, function in (("lowest", np.nanmin), ("median", np.nanmedian), ("highest", np.nanmax)):
            column = [function([row[index] for row in values.values()]) for index in range(len(names))]
            lines.append([title, *(_number(task, name, value) for name, value in zip(names, column, strict=True))])
        parts.append(markdown_table(lines))
    if len(values) <= _MANY_ROWS:
        lines = [["Speaker", *["Sex"] * (sex_of is not None), *(task.titles[name] for name in names), "Answers"]]
        lines.append(["---", *["---"] * (sex_of is not None), *["---:"] * (len(names) + 1)])
        for speaker, row in values.items():
            sex = [sex_of(speaker)] if sex_of else []
            said = [_number(task, name, value) for name, value in zip(names, row, strict=True)]
            lines.append([speaker, *sex, *said, str(counts[speaker][1])])
        parts.append(markdown_table(lines))
    parts.append(_by_sex(source, counts, sex_of) if sex_of else "The sex of the speakers is not in the results.")
    return "\n\n".join(parts)


def _by_sex(source: CardSource, counts: Mapping, sex_of: Callable[[str], str]) -> str:
    task, names, groups = source.task, list(source.task.titles)[:2], {}
    for speaker, (part, _) in counts.items():
        groups.setdefault(sex_of(speaker), []).append(part)
    lines = [["Sex", "Speakers", *(task.titles[name] for name in names)], ["---", "---:", *["---:"] * len(names)]]
    for sex, parts in sorted(groups.items()):
        total = np.sum(parts, axis=0)
        said = [_number(task, name, float(task.scores[name](total))) for name in names]
        lines.append([sex, str(len(parts)), *said])
    return (
        f"{markdown_table(lines)}\n\nThe sex is what the corpus says of its speakers; nothing is known of other groups of "
        "people. With few speakers a difference may be one of the people, not of the sexes."
    )


def calibration(source: CardSource) -> str:
    if source.results is None:
        return NO_RESULTS
    error = source.results["summary"].get("expected_calibration_error")
    if error is None:
        return f"Not measured for {'yes/no questions' if source.task.name == 'yes_no' else 'a sentiment'}."
    said = f"Expected calibration error (15 bins of equal width): {error:.3f}; 0 is a network whose confidence is its accuracy."
    smoothing = source.settings.get("label_smoothing")
    if smoothing:
        said += f" It was trained with a label smoothing of {smoothing}, which lowers its confidence."
    if RELIABILITY_PICTURE in source.pictures:
        said += f"\n\n![Accuracy by confidence]({RELIABILITY_PICTURE})"
    elif not source.predictions:
        said += " Answers to single clips are not in this file, so there is no picture."
    return said


def comparison(source: CardSource) -> str:
    """All methods of the results file under the protocol of this one."""
    return results_table(source.others, single_modality=False).strip() if source.others else ""


def headline(source: CardSource) -> str:
    """The first two scores, for the top of the card."""
    results = source.results
    if results is None:
        return ""
    summary = results["summary"]
    tested = counted(summary["num_clips"], "clip")
    if results["protocol"] == LEARNING_CHECK:
        tested += " of its own training"
    elif source.knows_speakers:
        tested += f" of {counted(summary['num_speakers'], 'speaker')}"
    said = f"On {tested}: {_first_scores(source.task, summary)}."
    if always := summary.get("always_no"):
        beside = (f"{title} {_share(always[name])}" for name, title in list(source.task.titles.items())[:2])
        said += f" Answering no to everything: {listed(beside)}."
    if source.grid:
        said += f" The method over all its folds and seeds: {_first_scores(source.task, source.grid['summary'])}."
    return said


def _first_scores(task, summary: Mapping) -> str:
    names = list(task.titles)[:2]
    percent = " percent" if set(names) <= task.shares else ""
    return listed(f"{task.titles[name]} {format_score(summary[name], task, name)}" for name in names) + percent


def _share(value: float | None) -> str:
    return "–" if value is None or value != value else f"{100 * value:.1f}"


def _number(task, name: str, value: float) -> str:
    return _share(value) if name in task.shares else ("–" if value != value else f"{value:.3f}")
