# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Tables that say of each file of a folder what it is: CSV, JSON lines or Parquet, as `videofolder` and `audiofolder` of `datasets` read them."""

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet


METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
# Our name of each column, and the names it may have; case and spaces around do not matter.
COLUMNS = {
    "file": ("file_name", "file", "path"),
    "video": ("video", "video_file_name"),
    "audio": ("audio", "audio_file_name"),
    "label": ("label",),
    "clip_id": ("clip_id", "id"),
    "speaker_id": ("speaker_id", "speaker"),
    "gender": ("gender", "sex"),
    "text": ("text", "transcript"),
    "start_seconds": ("start_seconds",),
    "end_seconds": ("end_seconds",),
    "intensity": ("intensity",),
    "session_id": ("session_id", "session"),
    "utterance_group": ("utterance_group",),
    "fold": ("fold",),
    "split": ("split",),
    "license": ("license",),
}


@dataclass(frozen=True)
class MetadataRow:
    """One row: where it stands, for messages, and its cells as text by our names of the columns; `None` where empty."""

    place: str
    cells: dict[str, str | None]


def read_metadata(path: Path) -> list[MetadataRow]:
    """Read a table of clips; columns of other names are passed over.

    Args:
        path (`Path`): file with the suffix `.csv`, `.jsonl` or `.parquet`.

    Returns:
        `list[MetadataRow]`: its rows, each with the columns that the table has.

    Raises:
        ValueError: If it is no such table, if it names no files or no labels, or a cell holds more than a word or number.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_json_lines, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise ValueError(f"Expected metadata in a file {', '.join(readers)}, received {path}.")
    try:
        lines = list(readers[path.suffix.lower()](path))
    # What pyarrow finds damaged inside a file is an OSError.
    except (UnicodeDecodeError, csv.Error, pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"Expected a {path.suffix[1:]} table in {path}, received something else ({error})."
        ) from error
    headers = list(dict.fromkeys(header for _, line in lines for header in line))
    names = _our_names(path, headers)
    if not {"file", "video", "audio"} & set(names):
        raise ValueError(
            f"Expected a column file_name, video or audio in {path}, found {', '.join(headers) or 'none'}."
        )
    if "label" not in names:
        raise ValueError(f"Expected a column label in {path}, found {', '.join(headers)}.")
    rows = []
    for place, line in lines:
        cells = {name: _as_text(line.get(header), f"{place}, column {header}") for name, header in names.items()}
        rows.append(MetadataRow(place, cells))
    return rows


def _our_names(path: Path, headers: list[str]) -> dict[str, str]:
    written = {}
    for header in headers:
        written.setdefault(str(header).strip().lower(), header)
    names = {}
    for name, aliases in COLUMNS.items():
        present = [written[alias] for alias in aliases if alias in written]
        if len(present) > 1:
            raise ValueError(f"Expected one column of {', '.join(aliases)} in {path}, found {' and '.join(present)}.")
        if present:
            names[name] = present[0]
    return names


def _read_csv(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        reader = csv.DictReader(file, delimiter=max(",;\t", key=first.count))
        for line in reader:
            place = f"{path}, line {reader.line_num}"
            if None in line or None in line.values():
                raise ValueError(
                    f"{place}: expected {len(reader.fieldnames)} cells, as the header has, received more or fewer."
                )
            yield place, line


def _read_json_lines(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, text in enumerate(file, start=1):
            place = f"{path}, line {number}"
            if not text.strip():
                continue
            try:
                line = json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"{place}: expected one JSON object, received something else ({error}).") from error
            if not isinstance(line, dict):
                raise ValueError(f"{place}: expected one JSON object, received {type(line).__name__}.")
            yield place, line


def _read_parquet(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    table = pyarrow.parquet.ParquetFile(path)
    wanted = {alias for aliases in COLUMNS.values() for alias in aliases}
    # A data set of the Hub may hold the recordings themselves in other columns.
    columns = [name for name in table.schema_arrow.names if name.strip().lower() in wanted]
    for number, line in enumerate(table.read(columns=columns).to_pylist(), start=1):
        yield f"{path}, row {number}", line


def _as_text(value: Any, place: str) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (dict, list, bytes)):
        raise ValueError(f"{place}: expected a word or a number, received {type(value).__name__}.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # whole numbers become fractions where a column has gaps
    return str(value).strip() or None
