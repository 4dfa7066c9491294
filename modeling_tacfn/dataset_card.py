# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The card of a corpus on the Hub: what is in it, what was left out and why, whose it is, and how to use it."""

from collections import Counter
from collections.abc import Sequence

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
    return f"---\n{_metadata(builder, licence, table, features, data_files)}---\n\n{_text(repo_id, builder, table, features, left_out)}"


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


def _text(repo_id: str, builder, table, features: datasets.Features, left_out: str | None) -> str:
    is_shared = left_out is None
    people = {speaker for speaker in table["speaker_id"] if speaker is not None}
    whose = f" of {len(people)} speakers" if people else ""
    lines = [f"# {repo_id.rpartition('/')[2]}", ""]
    if is_shared:
        lines += [
            f"{len(table):,} clips{whose} of the corpus `{builder.NAME}`, prepared for modeling_tacfn: sound as features, faces found "
            "and cropped, in the settings of `processor_config.json`.",
        ]
    else:
        lines += [
            f"What is said of {len(table):,} clips{whose} of the corpus `{builder.NAME}`: their names, labels, speakers, folds and "
            "durations. The clips themselves are not here.",
        ]
    lines += ["", "## What is in it", "", "| column | what it is |", "|---|---|"]
    lines += [
        f"| `{name}` | {IS_WHAT[name]} |" for name in features if name in IS_WHAT and _holds_something(name, table)
    ]
    lines += ["", *_label_table(table)]
    lines += ["## What was left out", ""]
    if is_shared:
        lines += ["The recordings as they were published, and where they lie on the machine that prepared them."]
    else:
        lines += [
            f"Sound, pictures, texts and everything that was measured of them. {left_out} {builder.HOW_TO_GET} With the corpus "
            f"at hand, `tacfn prepare --dataset {builder.NAME}` makes the clips of these rows.",
        ]
    lines += ["", "## Use", "", "```python", "from datasets import load_dataset", ""]
    lines += [f'rows = load_dataset("{repo_id}", split="train"{", streaming=True" if is_shared else ""})', "```", ""]
    if is_shared:
        lines += ["To train on it:", "", "```bash", f"hf download {repo_id} --repo-type dataset --local-dir shards"]
        lines += [f"accelerate launch train.py --dataset {builder.NAME} --prepared shards", "```", ""]
    lines += ["## Source and licence", "", f"{builder.LICENSE}. {builder.HOW_TO_GET}"]
    if builder.HOMEPAGE:
        lines += ["", f"Source: {builder.HOMEPAGE}"]
    if is_shared:
        lines += ["", "Changed from the source: decoded, cropped and turned into features as said above."]
    if builder.CITATION:
        lines += ["", "```bibtex", builder.CITATION.strip(), "```"]
    return "\n".join(lines) + "\n"


def _holds_something(name: str, table) -> bool:
    """Whether a column is worth a line: columns that no clip of a corpus fills would only be asked about."""
    return name not in table.column_names or any(value is not None for value in table[name])


def _label_table(table) -> Sequence[str]:
    label = table.features["label"]
    counts = Counter(value for value in table["label"] if value is not None)
    if not counts:
        return []
    rows = [f"| {label.int2str(value)} | {counts[value]:,} |" for value in sorted(counts)]
    return ["| label | clips |", "|---|---:|", *rows, ""]


__all__ = ["dataset_card"]
