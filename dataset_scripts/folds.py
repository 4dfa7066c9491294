# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Speaker-independent splits: who is tested in which fold, who chooses the epoch, and a check that nobody is on two sides."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence

import datasets


SIDES = ("train", "validation", "test")


def natural_key(text: str) -> tuple:
    """Sort key that puts `"actor2"` before `"actor10"`."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", str(text)))


def speaker_folds(speakers: Iterable[str], num_folds: int) -> list[list[str]]:
    """Divide speakers into folds: contiguous blocks in natural order, larger blocks first.

    Twenty actors in five folds are 1-4, 5-8, 9-12, 13-16, 17-20. The order of `speakers` and repeats in it do not matter.

    Args:
        speakers (`Iterable[str]`): speaker ids, repeats allowed.
        num_folds (`int`): at least 1, at most the number of different speakers.

    Returns:
        `list[list[str]]`: the test speakers of each fold; every speaker is in exactly one.

    Raises:
        ValueError: If there are fewer speakers than folds, or a speaker is unknown (`None`).
    """
    speakers = list(speakers)
    if any(speaker is None for speaker in speakers):
        raise ValueError(
            "Expected a speaker id for every clip, received None: such clips cannot be split by speaker; leave them out."
        )
    distinct = sorted(set(speakers), key=natural_key)
    if not 1 <= num_folds <= len(distinct):
        raise ValueError(
            f"Expected between 1 and {len(distinct)} folds, because there are {len(distinct)} speakers, received {num_folds}."
        )
    size, larger = divmod(len(distinct), num_folds)
    starts = [fold * size + min(fold, larger) for fold in range(num_folds + 1)]
    return [distinct[start:stop] for start, stop in zip(starts, starts[1:], strict=False)]


def corpus_folds(dataset: datasets.Dataset) -> list[list[str]]:
    """The folds that the column `fold` of a corpus holds, as lists of test speakers."""
    members: dict[int, set[str]] = {}
    for speaker, fold in zip(dataset["speaker_id"], dataset["fold"], strict=True):
        members.setdefault(fold, set()).add(speaker)
    if None in members:
        raise ValueError(
            "The corpus has clips without a fold. Make folds with `speaker_folds(dataset['speaker_id'], num_folds)`."
        )
    return [sorted(members[fold], key=natural_key) for fold in sorted(members)]


def choose_validation_speakers(
    speakers: Iterable[str], count: int | None = None, seed: int = 0, genders: Mapping[str, str | None] | None = None
) -> list[str]:
    """Choose, among the speakers of a training part, those who decide the epoch.

    Args:
        speakers (`Iterable[str]`): speakers of the training part, the test speakers already taken away.
        count (`int`, *optional*, defaults to `None`): how many; `None` is a sixth of them, at least one.
        seed (`int`, *optional*, defaults to 0): the same seed and speakers always give the same choice.
        genders (`Mapping[str, str | None]`, *optional*, defaults to `None`): gender of each speaker; where known, the choice
            alternates between genders.

    Returns:
        `list[str]`: the chosen speakers, in natural order.

    Raises:
        ValueError: If `count` leaves nobody to train on or chooses nobody.
    """
    distinct = sorted(set(speakers), key=natural_key)
    count = max(1, len(distinct) // 6) if count is None else count
    if not 1 <= count < len(distinct):
        raise ValueError(
            f"Expected between 1 and {len(distinct) - 1} validation speakers out of {len(distinct)} training speakers, received {count}."
        )
    generator = random.Random(seed)
    groups: dict[str, list[str]] = {}
    for speaker in distinct:
        groups.setdefault((genders or {}).get(speaker) or "", []).append(speaker)
    queues = [groups[gender] for gender in sorted(groups)]
    for queue in queues:
        generator.shuffle(queue)
    generator.shuffle(queues)
    chosen: list[str] = []
    while len(chosen) < count:
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return sorted(chosen, key=natural_key)


def split_indices(
    dataset: datasets.Dataset,
    fold: int,
    folds: Sequence[Sequence[str]] | None = None,
    validation_speakers: Iterable[str] | int | None = None,
    seed: int = 0,
) -> dict[str, list[int]]:
    """Row numbers of the training, validation and test part of one fold, checked to share no speaker and no take.

    Args:
        dataset (`datasets.Dataset`): a corpus.
        fold (`int`): which fold is tested, from 0.
        folds (`Sequence[Sequence[str]]`, *optional*, defaults to `None`): test speakers of each fold; `None` reads the
            column `fold`.
        validation_speakers (`Iterable[str]` or `int`, *optional*, defaults to `None`): the speakers, or how many to choose
            with `choose_validation_speakers`; `None` is its default number, 0 or an empty list is no validation part.
        seed (`int`, *optional*, defaults to 0): seed of that choice.

    Returns:
        `dict[str, list[int]]`: `"train"`, `"validation"` and `"test"`, in the order of the rows.

    Raises:
        ValueError: If there is only one speaker, the fold does not exist, a named speaker is not in the training part, a
            part would be empty, or a speaker or a take would be on two sides.
    """
    folds = corpus_folds(dataset) if folds is None else [list(block) for block in folds]
    speakers = dataset["speaker_id"][:]
    known = set(speakers)
    if None in known:
        raise ValueError("Some clips have no speaker id: they cannot be split by speaker; leave them out.")
    if len(known) == 1:
        raise ValueError(
            f"Expected clips of at least two speakers, some to train on and others to test, received only those of speaker "
            f"{speakers[0]}. Add clips of others; or, to see only whether a network can learn from these, use "
            "`train.py --learning_check`, which scores the clips that it trains on."
        )
    if not 0 <= fold < len(folds):
        raise ValueError(f"Expected a fold from 0 to {len(folds) - 1}, received {fold}.")
    covered = [speaker for block in folds for speaker in block]
    doubled = sorted({speaker for speaker in covered if covered.count(speaker) > 1}, key=natural_key)
    if doubled:
        raise ValueError(f"Expected every speaker in one fold, received {', '.join(doubled)} in several.")
    if known - set(covered):
        missing = ", ".join(sorted(known - set(covered), key=natural_key))
        raise ValueError(
            f"Expected folds that cover every speaker, but {missing} would be trained on and never tested."
        )

    test = set(folds[fold])
    training = known - test
    if validation_speakers is None or isinstance(validation_speakers, int):
        genders = dict(zip(speakers, dataset["gender"], strict=True)) if "gender" in dataset.column_names else None
        nobody = validation_speakers == 0
        validation = set() if nobody else set(choose_validation_speakers(training, validation_speakers, seed, genders))
    else:
        validation = set(validation_speakers)
        if not validation <= training:
            outside = ", ".join(sorted(validation - training, key=natural_key))
            raise ValueError(
                f"Expected validation speakers from the training part of fold {fold}, received {outside}."
            )
    side_of = {
        speaker: "test" if speaker in test else "validation" if speaker in validation else "train" for speaker in known
    }
    splits: dict[str, list[int]] = {side: [] for side in SIDES}
    for index, speaker in enumerate(speakers):
        splits[side_of[speaker]].append(index)
    for side in ("train", "test"):
        if not splits[side]:
            raise ValueError(
                f"The {side} part of fold {fold} is empty: the corpus has only the speakers {', '.join(sorted(known))}."
            )
    check_disjoint(dataset, splits)
    return splits


def published_split_indices(dataset: datasets.Dataset) -> dict[str, list[int]]:
    """Row numbers of the split that was published with a corpus (column `split`), checked to share no speaker and no take.

    Of a corpus whose files name no speakers it cannot be known whether the sides share some.

    Args:
        dataset (`datasets.Dataset`): a corpus.

    Returns:
        `dict[str, list[int]]`: `"train"`, `"validation"` and `"test"`, in the order of the rows.

    Raises:
        ValueError: If a clip is on none of these sides, or a speaker or a take is on two.
    """
    splits: dict[str, list[int]] = {side: [] for side in SIDES}
    for index, side in enumerate(dataset["split"]):
        if side not in splits:
            raise ValueError(
                f"Expected every clip on one of the sides {', '.join(SIDES)}, received {side!r} for clip "
                f"{dataset[index]['clip_id']!r}. The corpus has no published split, or this clip is not part of it."
            )
        splits[side].append(index)
    check_disjoint(dataset, splits)
    return splits


def learning_check_indices(dataset: datasets.Dataset) -> dict[str, list[int]]:
    """Row numbers of a learning check: every clip is trained on, and the same clips are scored.

    The one split that is not speaker-independent, and the only one there is for a corpus of one speaker. Its score shows
    that a network can learn from such clips; it says nothing about people whom the network has not seen.

    Args:
        dataset (`datasets.Dataset`): a corpus.

    Returns:
        `dict[str, list[int]]`: all rows as `"train"` and as `"test"`, none as `"validation"`.
    """
    rows = list(range(len(dataset)))
    return {"train": rows, "validation": [], "test": list(rows)}


def check_disjoint(dataset: datasets.Dataset, splits: Mapping[str, Sequence[int]]) -> None:
    """Make sure that no clip, no speaker and no take (`utterance_group`) is on two sides of a split.

    Args:
        dataset (`datasets.Dataset`): a corpus.
        splits (`Mapping[str, Sequence[int]]`): row numbers of each side.

    Raises:
        ValueError: Naming what is shared, and by which sides.
    """
    for column in ("clip_id", "speaker_id", "utterance_group"):
        values, side_of = dataset[column][:], {}
        for side, indices in splits.items():
            for index in indices:
                value = values[index]
                # A missing take is nobody's take: two clips without one are not the same take.
                if value is not None and side_of.setdefault(value, side) != side:
                    raise ValueError(
                        f"{column} {value!r} is in both the {side_of[value]} and the {side} part. A score on such a split "
                        "measures recognition of people or takes already seen; make folds with `speaker_folds`."
                    )
