# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The card of a corpus on the Hub: what is in it, what was left out and why, whose it is, and how to use it."""

from collections import Counter

import datasets
import yaml
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData


SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (float("inf"), "100K<n<1M"))
IS_WHAT = {
    "clip_id": "name of the clip in the corpus",
    "clip": "the prepared clip: sound features, face crops and measurements, a NumPy archive",
    "arrays": "what is in it",
    "label": "what is to be recognised",
    "label_raw": "the same as the corpus writes it",
    "targets": "yes/no answers, or values to estimate",
    "intensity": "how strongly it was played",
    "speaker_id": "who speaks",
    "session_id": "which recording session",
    "utterance_group": "the same take in any format",
    "gender": "of the speaker",
    "fold": "in which fold the clip is tested; no speaker is in two",
    "split": "side of the split that was published with the corpus",
    "start_seconds": "where the clip starts in its recording",
    "end_seconds": "where it ends",
    "duration_seconds": "how long it is",
    "features": "measurements of the clip",
    "text": "what is said",
    "license": "licence of the clip",
}


def dataset_card(
    repo_id: str,
    builder,
    licence: str,
    table: datasets.Dataset,
    features: datasets.Features,
    data_files: str,
    left_out: str | None,
) -> str:
    """
    The card of a corpus.

    Args:
        repo_id (`str`): where it is on the Hub.
        builder: class of the corpus, for its source, licence and citation.
        licence (`str`): its id on the Hub.
        table (`datasets.Dataset`): the rows, without the clips themselves.
        features (`datasets.Features`): of what is pushed.
        data_files (`str`): pattern of the files that hold it.
        left_out (`str`, *optional*): why the clips themselves are not in it, if they are not.

    Returns:
        `str`: Markdown with a YAML header.
    """
    sections = [
        f"# {repo_id.rpartition('/')[2]}",
        _summary(builder, table, left_out is None),
        "## What is in it",
        _columns(features, table),
        *_labels(table),
        "## What was left out",
        _left_out(builder, left_out),
        "## Use",
        *_use(repo_id, builder, left_out is None),
        "## Source and licence",
        *_source(builder, licence, left_out is None),
    ]
    return "\n\n".join([f"---\n{_metadata(builder, licence, table, features, data_files)}---", *sections]) + "\n"


def _metadata(builder, licence: str, table, features: datasets.Features, data_files: str) -> str:
    named = (
        {"license_name": builder.NAME.replace("_", "-"), "license_link": builder.HOMEPAGE}
        if licence == "other"
        else {}
    )
    card = DatasetCardData(
        license=licence,
        task_categories=["video-classification", "audio-classification"],
        size_categories=next(name for most, name in SIZES if len(table) < most),
        tags=["emotion-recognition", "audio-visual", "modeling_tacfn"],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": data_files}]}],
        **{key: value for key, value in named.items() if value},
    )
    info = datasets.DatasetInfo(features=features)
    DatasetInfosDict({"default": info}).to_dataset_card_data(card)
    return yaml.safe_dump(card.to_dict(), sort_keys=False, allow_unicode=True)


def _summary(builder, table, is_shared: bool) -> str:
    people = {speaker for speaker in table["speaker_id"] if speaker is not None}
    clips = f"{len(table):,} clips{f' of {len(people)} speakers' if people else ''} of the corpus `{builder.NAME}`"
    if is_shared:
        return (
            f"{clips}, prepared for modeling_tacfn: sound as features, faces found and cropped, with the numbers of "
            "`processor_config.json`."
        )
    return f"What is said of {clips}: names, labels, speakers, folds and durations. The clips themselves are not here."


def _columns(features: datasets.Features, table) -> str:
    filled = [name for name in features if name in IS_WHAT and _holds_something(name, features, table)]
    return "\n".join(["| column | what it is |", "|---|---|", *(f"| `{name}` | {IS_WHAT[name]} |" for name in filled)])


def _holds_something(name: str, features: datasets.Features, table) -> bool:
    """Whether a column is worth a line: of one that no clip of the corpus fills people would only ask."""
    if name not in table.column_names:
        return features[name] != datasets.Value("null")
    return any(value is not None for value in table[name])


def _labels(table) -> list[str]:
    label = table.features["label"]
    counts = Counter(value for value in table["label"] if value is not None)
    rows = [f"| {label.int2str(value)} | {counts[value]:,} |" for value in sorted(counts)]
    return ["\n".join(["| label | clips |", "|---|---:|", *rows])] if rows else []


def _left_out(builder, left_out: str | None) -> str:
    if left_out is None:
        return "The recordings as they were published."
    lines = ["Sound, pictures, texts and everything that was measured of them.", left_out]
    if builder.LICENSE_ID != "unknown":  # others can get the corpus, but nobody's own clips
        lines += [
            builder.HOW_TO_GET,
            f"With it, `tacfn prepare --dataset {builder.NAME}` makes the clips of these rows.",
        ]
    return " ".join(lines)


def _use(repo_id: str, builder, is_shared: bool) -> list[str]:
    how = ", streaming=True" if is_shared else ""
    load = f'```python\nfrom datasets import load_dataset\n\nrows = load_dataset("{repo_id}", split="train"{how})\n```'
    if not is_shared:
        return [load]
    train = [
        f"hf download {repo_id} --repo-type dataset --local-dir shards",
        f"accelerate launch train.py --dataset {builder.NAME} --prepared shards",
    ]
    told = "To train on it, with the options that it was prepared with (train.py names those that differ):"
    return [load, told, "\n".join(["```bash", *train, "```"])]


def _source(builder, licence: str, is_shared: bool) -> list[str]:
    stated = builder.LICENSE if licence == builder.LICENSE_ID else licence
    lines = [f"Licence: {stated}." + (f" Source: {builder.HOMEPAGE}" if builder.HOMEPAGE else "")]
    if is_shared:
        lines.append("Changed from the source: decoded, cropped and turned into features, as said above.")
    if builder.CITATION:
        lines.append(f"```bibtex\n{builder.CITATION.strip()}\n```")
    return lines


__all__ = ["dataset_card"]
