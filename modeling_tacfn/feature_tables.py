# Copyright 2026 The modeling_tacfn authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Read feature tables as OpenFace and its users publish them: CSV, one row per frame of a clip or one row per clip."""

import csv
import math
import os
from functools import lru_cache

import numpy as np


MAX_TABLE_BYTES = 256 * 2**20


def read_table(source: str | os.PathLike, columns: list[str]) -> np.ndarray:
    """
    Read the named columns of one clip.

    Args:
        source (`str` or `os.PathLike`): a CSV file; `file.csv#clip_id` takes the rows with that value in its `clip_id`.
        columns (`list[str]`): names in the order the network was trained with. Spaces around a file's names are ignored.

    Returns:
        `np.ndarray` of shape `(num_rows, num_columns)`, float32. NaN where a cell is empty, and in every cell of a row
        whose `success` is 0, which is how OpenFace marks a frame without a face.

    Raises:
        ValueError: no such file, clip or column, or a cell that is not a number.
    """
    path, clip_id = _split(os.fspath(source))
    if not os.path.isfile(path):
        raise ValueError(f"expected a CSV file of features, found no file at {path!r}.")
    status = os.stat(path)
    if status.st_size > MAX_TABLE_BYTES:
        raise ValueError(
            f"{path}: expected a table of at most {MAX_TABLE_BYTES >> 20} MiB, got {status.st_size >> 20}."
        )
    names, rows_of_clip = _parse(path, status.st_mtime_ns, status.st_size)
    missing = [column for column in columns if column not in names]
    if missing:
        raise ValueError(
            f"{path}: expected the columns {missing}, found {_few(names)}. Name the columns of this file in the processor's "
            "`feature_columns`."
        )
    rows = _choose(path, rows_of_clip, clip_id)
    values = np.array([[_number(path, row, names[column], column) for column in columns] for row in rows], np.float32)
    if "success" in names:
        tracked = np.array([_number(path, row, names["success"], "success") for row in rows])
        values[~(tracked > 0)] = np.nan
    return values


def _split(source: str) -> tuple[str, str | None]:
    if "#" not in source or os.path.isfile(source):
        return source, None
    path, clip_id = source.rsplit("#", 1)
    return path, clip_id


@lru_cache(maxsize=4)
def _parse(path: str, modified: int, size: int) -> tuple[dict[str, int], dict[str | None, list[list[str]]]]:
    """Header and rows by clip. A corpus' table is asked for once per clip, so that it is kept until the file changes."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, got something else ({error}).") from error
    if len(lines) < 2:
        raise ValueError(f"{path}: expected a header and at least one row, got {len(lines)} line(s).")
    names = {name.strip(): index for index, name in enumerate(lines[0])}
    rows: dict[str | None, list[list[str]]] = {}
    key = names.get("clip_id")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            raise ValueError(f"{path}: expected {len(lines[0])} cells in row {number}, got {len(line)}.")
        rows.setdefault(None if key is None else line[key].strip(), []).append(line)
    return names, rows


def _choose(path: str, rows_of_clip: dict, clip_id: str | None) -> list[list[str]]:
    if clip_id is None:
        if len(rows_of_clip) > 1:
            raise ValueError(
                f"{path} holds {len(rows_of_clip)} clips: expected one of them to be named, as in "
                f"'{os.path.basename(path)}#{next(iter(rows_of_clip))}'."
            )
        return next(iter(rows_of_clip.values()))
    if None in rows_of_clip:
        raise ValueError(
            f"{path}: clip {clip_id!r} was asked for, but there is no `clip_id` column. Pass the path alone."
        )
    if clip_id not in rows_of_clip:
        raise ValueError(
            f"{path}: expected a row of clip {clip_id!r}, found {len(rows_of_clip)} others, among them "
            f"{_few(rows_of_clip)}."
        )
    return rows_of_clip[clip_id]


def _number(path: str, row: list[str], index: int, column: str) -> float:
    cell = row[index].strip()
    try:
        value = float(cell) if cell else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise ValueError(f"{path}: expected a finite number or nothing in column {column!r}, got {cell!r}.")
    return value


def _few(names) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
