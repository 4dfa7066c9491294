# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A prepared corpus as Parquet shards: its table and, in each row, the prepared clip itself. They stream, locally and from the Hub."""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from tqdm.auto import tqdm
from transformers import AutoProcessor

from .files import atomic_path, save_json_atomic
from .prepared_clip import ClipReader


ABOUT = "prepared.json"
FORMAT, VERSION = "tacfn-prepared", 1
# A shard is what one process of a training reads at a time; a row group is what is in memory at once.
SHARD_BYTES = 400 * 2**20
ROWS_IN_MEMORY = 16
CLIP, ARRAYS = "clip", "arrays"


def write_shards(
    corpus, files: list[Path], processor, folder: str | os.PathLike, name: str, licence: str
) -> list[Path]:
    """
    Write a prepared corpus as Parquet shards with the processor that prepared it.

    A shard is written under another name first, and one that is there already is not written again, so that the same call
    goes on where it was stopped. No path of this machine gets into them.

    Args:
        corpus (`datasets.Dataset`): in the shared schema, the rows whose clips could be prepared.
        files (`list[Path]`): their prepared clips, as `prepare_clips` gives them.
        processor ([`TacfnProcessor`]): that prepared them; saved beside the shards.
        folder (`str` or `Path`): holds shards of this corpus, or nothing yet.
        name (`str`), licence (`str`): of the corpus.

    Returns:
        `list[Path]`: the shards.

    Raises:
        ValueError: the folder holds another corpus, or one that was prepared otherwise.
    """
    folder = Path(folder)
    identity = hashlib.sha256("".join(path.name for path in files).encode()).hexdigest()[:16]
    about = {"format": FORMAT, "version": VERSION, "corpus": name, "licence": licence}
    about |= {"num_clips": len(files), "identity": identity}
    if (folder / ABOUT).exists():
        before = about_shards(folder)
        if (before.get("identity"), before.get("licence")) != (identity, licence):
            raise ValueError(
                f"{folder} holds another prepared corpus, or this one prepared otherwise or under another licence; choose another "
                "folder."
            )
    groups = _groups([path.stat().st_size for path in files])
    shards = [folder / f"clips-{index:05d}-of-{len(groups):05d}.parquet" for index in range(len(groups))]
    save_json_atomic(folder / ABOUT, about | {"shards": [path.name for path in shards]})
    processor.save_pretrained(folder)
    with tqdm(total=len(files), desc="Writing shards", unit="clip") as bar:
        for path, rows in zip(shards, groups, strict=True):
            if not path.exists():
                _write_shard(corpus, files, rows, path, bar)
            else:
                bar.update(len(rows))
    return shards


def _groups(sizes: list[int]) -> list[range]:
    """Rows of each shard, so that none is much larger than the others."""
    starts, room = [0], SHARD_BYTES
    for row, size in enumerate(sizes):
        if size > room and row > starts[-1]:
            starts.append(row)
            room = SHARD_BYTES
        room -= size
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(sizes)], strict=True)]


def _write_shard(corpus, files: list[Path], rows: range, path: Path, bar) -> None:
    features = corpus.features.copy()
    features[CLIP], features[ARRAYS] = datasets.Value("binary"), datasets.List(datasets.Value("string"))
    schema = features.arrow_schema
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for start in range(rows.start, rows.stop, ROWS_IN_MEMORY):
            part = range(start, min(start + ROWS_IN_MEMORY, rows.stop))
            table = corpus.select(part).with_format("arrow")[:]
            contents = [files[row].read_bytes() for row in part]
            names = [np.load(io.BytesIO(content), allow_pickle=False).files for content in contents]
            table = table.append_column(CLIP, pa.array(contents, pa.binary()))
            table = table.append_column(ARRAYS, pa.array(names, pa.list_(pa.string())))
            for column in sorted({"video", "audio", "face_track"} & set(table.column_names)):
                bare = [None if path is None else Path(path).name for path in table[column].to_pylist()]
                table = table.set_column(table.schema.get_field_index(column), column, pa.array(bare, pa.string()))
            writer.write_table(table.cast(schema))
            bar.update(len(part))


def about_shards(folder: str | os.PathLike) -> dict:
    """What a folder of shards says of itself: `corpus`, `licence`, `num_clips`, `shards`; a ValueError if it is none."""
    try:
        about = json.loads((Path(folder) / ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected a prepared corpus in {folder}, as `tacfn prepare --output` writes it, got none ({error})."
        ) from error
    if about["version"] > VERSION:
        raise ValueError(f"{folder}: expected version {VERSION}, got {about['version']}; upgrade modeling_tacfn.")
    return about


def shard_paths(folder: Path) -> list[str]:
    """The files of a prepared corpus; a ValueError if some are missing."""
    names = about_shards(folder)["shards"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder}: expected {len(names)} shards, but {len(missing)} are missing, among them {missing[0]}. The writing was "
            "stopped, or the copy was: run the same `tacfn prepare` again, or copy the rest."
        )
    return [str(folder / name) for name in names]


def load_shards(folder: str | os.PathLike, cache_dir: str | os.PathLike | None = None):
    """
    A prepared corpus for training in any order: its table, its clips, and the processor that prepared them.

    The table is mapped into memory, not read; a clip is read when it is asked for.

    Args:
        folder (`str` or `Path`): what [`write_shards`] wrote.
        cache_dir (`str` or `Path`, *optional*): where `datasets` keeps its copy.

    Returns:
        `tuple`: `datasets.Dataset` in the shared schema, `list[PreparedClip]`, and the processor.

    Raises:
        ValueError: there is no prepared corpus, or part of it is missing.
    """
    folder = Path(folder)
    table = datasets.load_dataset(
        "parquet",
        data_files=shard_paths(folder),
        split="train",
        cache_dir=None if cache_dir is None else str(cache_dir),
    )
    reader, column = ClipReader(), table.select_columns([CLIP])
    clips = [reader.clip(Row(column, row), names) for row, names in enumerate(table[ARRAYS])]
    return table.remove_columns([CLIP, ARRAYS]), clips, AutoProcessor.from_pretrained(folder)


@dataclass(frozen=True, eq=False)
class Row:
    """Opens the prepared clip in a row of a table, which is mapped into memory."""

    column: datasets.Dataset
    row: int

    def __call__(self) -> io.BytesIO:
        return io.BytesIO(self.column[self.row][CLIP])


def as_streaming_dataset(folder: str | os.PathLike, revision: str | None = None) -> datasets.IterableDataset:
    """
    A prepared corpus as a stream of rows, each with its `clip` as a [`PreparedClip`].

    Shards are divided among the workers of a `DataLoader`, and among processes by
    `datasets.distributed.split_dataset_by_node(stream, rank, world_size, strategy="shards")`, so that none reads another's.
    (Without that strategy, processes that do not divide the number of shards each read all of them and skip what is not
    theirs.)

    Args:
        folder (`str` or `Path`): what [`write_shards`] wrote, or its name on the Hub (`owner/name`).
        revision (`str`, *optional*): of a name on the Hub: the commit or branch.

    Raises:
        ValueError: there is no prepared corpus, or part of it is missing.
    """
    if not os.path.isdir(folder) and _is_hub_name(folder):
        stream = datasets.load_dataset(os.fspath(folder), split="train", streaming=True, revision=revision)
        if stream.features is None or not {CLIP, ARRAYS} <= set(stream.features):
            raise ValueError(
                f"expected prepared clips in {folder}, got only what is said of them: its licence allows no more. Prepare the corpus "
                "here with `tacfn prepare`."
            )
    else:
        stream = datasets.load_dataset("parquet", data_files=shard_paths(Path(folder)), split="train", streaming=True)
    return stream.map(_with_clip, remove_columns=[ARRAYS])


def _is_hub_name(folder: str | os.PathLike) -> bool:
    try:
        validate_repo_id(os.fspath(folder))
    except HFValidationError:
        return False
    return "/" in os.fspath(folder)


def _with_clip(row: dict) -> dict:
    # Nothing is remembered: a stream comes by once.
    return {CLIP: ClipReader(room=0).clip(partial(io.BytesIO, row[CLIP]), row[ARRAYS])}
