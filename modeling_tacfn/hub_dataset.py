# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A prepared corpus becomes a dataset of the Hub: the clips where the licence lets others have them, else what is said of them."""

import io
import os
import re
import tempfile
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_scripts.base import corpus_builder

from .dataset_card import dataset_card
from .hub import CARD, PROCESSOR, shareable
from .hub_upload import Pushed, push_files
from .processing_tacfn import TacfnProcessor
from .shards import ABOUT, CLIP, about_shards, shard_paths


# Licences, by their ids on the Hub, under which others may have the clips and what was made of them. Those that forbid
# derivatives (nd) are not among them: a prepared clip is one.
SHARING_LICENCES = (
    "apache-2.0",
    "cc0-1.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cdla-permissive-1.0",
    "cdla-permissive-2.0",
    "cdla-sharing-1.0",
    "mit",
    "odbl",
    "odc-by",
    "pddl",
    "unlicense",
)
# What may be told of a clip that others may not have.
METADATA_COLUMNS = (
    "clip_id",
    "label",
    "label_raw",
    "targets",
    "intensity",
    "speaker_id",
    "session_id",
    "utterance_group",
    "gender",
    "fold",
    "split",
    "start_seconds",
    "end_seconds",
    "license",
)
METADATA = "metadata.parquet"
SHARDS = re.compile(r"clips-\d{5}-of-\d{5}\.parquet")


def push_corpus(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    private: bool = True,
    revision: str | None = None,
    token: str | None = None,
) -> Pushed:
    """
    Push a prepared corpus to the Hub, as far as its licence allows.

    Of a corpus whose licence allows it the shards go, the processor that prepared them, and a card; `load_dataset` streams
    them, and `train.py --prepared` takes the downloaded folder. Of any other go its clips' ids, labels, speakers, folds and durations:
    no sound, no picture, no text and nothing measured. Pushed again without a change, nothing is committed.

    Args:
        folder (`str` or `Path`): what [`~modeling_tacfn.shards.write_shards`] wrote, `tacfn prepare --output` that is.
        repo_id (`str`): owner and name on the Hub.
        private (`bool`, *optional*, defaults to `True`): whether a repository that is made now is seen by its owner alone.
        revision (`str`, *optional*): branch to push to, made if need be; the main one if not given.
        token (`str`, *optional*): right to write; that of `hf auth login` or `HF_TOKEN` if not given.

    Returns:
        [`Pushed`]

    Raises:
        ValueError: there is no whole prepared corpus, or a column of it holds a path of this machine.
        HubError: it could not be pushed, and nothing was changed on the Hub.
    """
    folder = Path(folder)
    about, shards = about_shards(folder), shard_paths(folder)
    builder = corpus_builder(about["corpus"])
    licence = sharing_licence(builder, about["licence"])
    table, features = _table(shards)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tacfn-") as temporary:
        if licence is not None:
            check_columns(table)
            files = {path.name: path for path in map(Path, shards)}
            for name in (ABOUT, PROCESSOR):
                files[name], note = shareable(name, folder / name)
                notes += note
            card = dataset_card(repo_id, builder, licence, table, features, "clips-*.parquet", None)
            if builder.LICENSE_ID == "unknown":
                notes.append(f"The clips themselves were pushed under {licence}: the people in them must have agreed.")
        else:
            table = metadata_of(table, shards, TacfnProcessor.from_pretrained(folder))
            check_columns(table)
            files = {METADATA: Path(temporary, METADATA)}
            pq.write_table(_arrow(table), files[METADATA], compression="zstd")
            why, licence = builder.WHY_NOT_SHARED, builder.LICENSE_ID
            card = dataset_card(repo_id, builder, licence, table, table.features, METADATA, why)
            notes.append(
                f"Ids, labels, speakers, folds and durations only; the clips stay in {folder}. {why}{_remedy(builder)}"
            )
        files[CARD] = card.encode()
        message = "Push a prepared corpus with modeling_tacfn"
        return push_files(files, repo_id, "dataset", message, is_ours, private, revision, token, tuple(notes))


def _remedy(builder) -> str:
    if builder.LICENSE_ID != "unknown":
        return ""
    return (
        " If they are yours to give, name a licence that allows it, such as --license cc-by-4.0, and another --output."
    )


def checked_licence(builder, licence: str | None) -> str:
    """The licence that clips are prepared under: the corpus's own, or the one that is named for clips whose licence nobody states."""
    if licence is None:
        return builder.LICENSE
    if builder.LICENSE_ID != "unknown":
        raise ValueError(
            f"--license {licence}: the licence of {builder.NAME} is known, {builder.LICENSE}; leave the option out."
        )
    if licence.lower() not in SHARING_LICENCES:
        raise ValueError(
            f"--license {licence}: expected a licence under which others may have the clips, one of {', '.join(SHARING_LICENCES)}. "
            "Left out, only ids, labels, speakers, folds and durations are pushed."
        )
    return licence.lower()


def with_licence(corpus: datasets.Dataset, builder, licence: str) -> datasets.Dataset:
    """The rows under a licence; a ValueError if some of them have another of their own."""
    if licence == builder.LICENSE:
        return corpus
    others = sorted(set(corpus["license"]) - {builder.LICENSE, licence})
    if others:
        raise ValueError(
            f"--license {licence}: expected clips whose licence is not stated, but the metadata of some says {', '.join(map(str, others))}. "
            "Leave the option out, or prepare those clips apart."
        )
    features = corpus.features
    return (
        corpus.remove_columns("license")
        .add_column("license", [licence] * len(corpus))
        .select_columns(list(features))
        .cast(features)
    )


def sharing_licence(builder, licence: str) -> str | None:
    """Under which licence (its id on the Hub) the clips themselves may be pushed; `None` if they may not."""
    if builder.MAY_SHARE_MEDIA:
        return builder.LICENSE_ID
    return licence if builder.LICENSE_ID == "unknown" and licence in SHARING_LICENCES else None


def _table(shards: list[str]) -> tuple[datasets.Dataset, datasets.Features]:
    """The rows of all shards without their clips, which are large, and the columns of the whole."""
    schema = pq.read_schema(shards[0])
    features = datasets.Features.from_arrow_schema(schema)
    light = [name for name in features if name not in (CLIP, "features")]
    rows = pa.concat_tables([pq.read_table(path, columns=light) for path in shards])
    kept = datasets.Features({name: features[name] for name in light})
    return datasets.Dataset(rows.cast(kept.arrow_schema)), features


def _arrow(table: datasets.Dataset) -> pa.Table:
    return table.with_format("arrow")[:].cast(table.features.arrow_schema)


def metadata_of(table: datasets.Dataset, shards: list[str], processor: TacfnProcessor) -> datasets.Dataset:
    """What may be told of clips that others may not have: the columns of `METADATA_COLUMNS`, and `duration_seconds`."""
    known = [
        None if start is None or end is None else end - start
        for start, end in zip(table["start_seconds"], table["end_seconds"], strict=True)
    ]
    if None in known:
        known = [
            new if old is None else old for old, new in zip(known, _sound_seconds(shards, processor), strict=True)
        ]
    column = pa.array([None if value is None else round(value, 3) for value in known], pa.float64())
    return table.select_columns(list(METADATA_COLUMNS)).add_column("duration_seconds", column)


def _sound_seconds(shards: list[str], processor: TacfnProcessor) -> list[float | None]:
    """How long the sound of each prepared clip is, by its number of steps; `None` of a clip without sound."""
    step = processor.feature_extractor.hop_length / processor.feature_extractor.sampling_rate
    seconds: list[float | None] = []
    for path in shards:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=16, columns=[CLIP]):
                for clip in batch.column(0):
                    with np.load(io.BytesIO(clip.as_py()), allow_pickle=False) as arrays:
                        has_sound = "input_features" in arrays.files
                        seconds.append(len(arrays["input_features"]) * step if has_sound else None)
    return seconds


def check_columns(table: datasets.Dataset) -> None:
    """Refuse a text that is a path of this machine, whichever column it came in by."""
    for name, kind in table.features.items():
        if not (isinstance(kind, datasets.Value) and kind.dtype == "string"):
            continue
        found = next((value for value in table[name] if value and os.path.isabs(value)), None)
        if found is not None:
            raise ValueError(
                f"the column {name} holds a path of this machine, {found}; expected none. Name the clips otherwise."
            )


def is_ours(name: str) -> bool:
    """Whether a file of a repository is replaced as a whole by a push, so that none is left of another preparation."""
    return name in (ABOUT, PROCESSOR, METADATA) or SHARDS.fullmatch(name) is not None


__all__ = ["push_corpus"]
