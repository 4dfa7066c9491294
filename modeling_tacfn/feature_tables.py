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
"""Read feature tables as OpenFace, openSMILE and their users publish them: one row per frame of a clip, or one row per clip.

Comma-separated (OpenFace 2, which writes a space after each comma), separated by semicolons or tabs (openSMILE's CSV sinks)
or ARFF (openSMILE's other sink). https://github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format,
https://audeering.github.io/opensmile/
"""

import csv
import math
import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


MAX_TABLE_BYTES = 256 * 2**20
# Columns that name the clip of a row: ours, openSMILE's, and that of openSMILE's Python package.
CLIP_COLUMNS = ("clip_id", "name", "file")
_MEDIA_SUFFIXES = (".wav", ".flac", ".mp3", ".mp4", ".flv", ".avi", ".mov", ".mkv", ".webm")


@dataclass(frozen=True)
class TableRow:
    """One row as written: its line in the file, counted from 1, and its cells."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class FeatureTable:
    """A table that was read but not yet understood as numbers.

    Attributes:
        path (`str`): its file.
        columns (`dict[str, int]`): name and position of each column, in the order of the file.
        rows (`dict[str | None, list[TableRow]]`): rows by the name of their clip; `None` where the table names none.
    """

    path: str
    columns: dict[str, int]
    rows: dict[str | None, list[TableRow]]

    def values(self, rows: list[TableRow], columns: list[str]) -> np.ndarray:
        """
        Numbers of some rows.

        Args:
            rows (`list[TableRow]`): of this table.
            columns (`list[str]`): their names.

        Returns:
            `np.ndarray` of shape `(num_rows, num_columns)`, float32; NaN as `read_table` says.

        Raises:
            ValueError: no such column, a row that is too short or too long, or a cell that is not a number.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise ValueError(
                f"{self.path}: expected the columns {missing}, found {_few(self.columns)}. Name the columns of this file in "
                "the processor's `feature_columns`."
            )
        for row in rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"{self.path}: expected {len(self.columns)} cells in row {row.line}, got {len(row.cells)}."
                )
        values = np.array([[self._number(row, column) for column in columns] for row in rows], np.float32)
        if "success" in self.columns:
            values[[not self._number(row, "success") > 0 for row in rows]] = np.nan
        return values

    def main_face(self, rows: list[TableRow]) -> list[TableRow]:
        """Of several faces (`face_id`, as `FaceLandmarkVidMulti` writes), the rows of the one that is tracked in most frames."""
        position = self.columns.get("face_id")
        faces: dict[str, list[TableRow]] = {}
        for row in rows:
            face = row.cells[position].strip() if position is not None and position < len(row.cells) else ""
            faces.setdefault(face, []).append(row)
        if len(faces) == 1:
            return rows

        def tracked(face_rows: list[TableRow]) -> int:
            if "success" not in self.columns:
                return len(face_rows)
            return sum(self._number(row, "success") > 0 for row in face_rows)

        # The first of equals, so that the same file always gives the same face.
        return max(faces.values(), key=tracked)

    def _number(self, row: TableRow, column: str) -> float:
        cell = row.cells[self.columns[column]].strip() if self.columns[column] < len(row.cells) else ""
        # ARFF writes ? for what is missing, C programs on Windows -nan(ind).
        if not cell or cell == "?" or cell.lower().lstrip("+-").startswith("nan"):
            return math.nan
        try:
            value = float(cell)
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise ValueError(f"{self.path}: expected a finite number or nothing in column {column!r}, got {cell!r}.")
        return value


def open_table(path: str | os.PathLike) -> FeatureTable:
    """
    Read a file of features, without asking which of them are wanted.

    Args:
        path (`str` or `os.PathLike`): CSV with a header, separated by commas, semicolons or tabs, or ARFF.

    Returns:
        `FeatureTable`: its columns, and its rows by clip.

    Raises:
        ValueError: no such file, a file that is too large, or something else than such a table.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"expected a CSV file of features, found no file at {path!r}.")
    status = os.stat(path)
    if status.st_size > MAX_TABLE_BYTES:
        raise ValueError(
            f"{path}: expected a table of at most {MAX_TABLE_BYTES >> 20} MiB, got {status.st_size >> 20}."
        )
    return _parse(path, status.st_mtime_ns, status.st_size)


def read_table(source: str | os.PathLike, columns: list[str]) -> np.ndarray:
    """
    Read the named columns of one clip.

    Args:
        source (`str` or `os.PathLike`): a file as `open_table` takes; `file.csv#clip` takes the rows of that clip, which a
            column `clip_id`, `name` or `file` names.
        columns (`list[str]`): names in the order the network was trained with. Spaces around a file's names are ignored.

    Returns:
        `np.ndarray` of shape `(num_rows, num_columns)`, float32. NaN where a cell is empty, and in every cell of a row
        whose `success` is 0, which is how OpenFace marks a frame without a face. Of several faces, the one in most frames.

    Raises:
        ValueError: no such file, clip or column, or a cell that is not a number.
    """
    path, clip_id = _split(os.fspath(source))
    table = open_table(path)
    return table.values(table.main_face(_choose(table, clip_id)), columns)


def _split(source: str) -> tuple[str, str | None]:
    if "#" not in source or os.path.isfile(source):
        return source, None
    path, clip_id = source.rsplit("#", 1)
    return path, clip_id


@lru_cache(maxsize=4)
def _parse(path: str, modified: int, size: int) -> FeatureTable:
    """A corpus' table is asked for once per clip, so that it is kept until the file changes."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, rows = _read_arff(file) if _is_arff(file) else _read_csv(file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, got something else ({error}).") from error
    if not rows:
        raise ValueError(f"{path}: expected a header and at least one row, got {int(bool(header))} line(s).")
    columns = {name.strip().strip("'\""): index for index, name in enumerate(header)}
    if len(columns) < len(header):
        names = [name.strip() for name in header]
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{path}: expected every column once, got {_few(doubled)} twice.")
    by_clip: dict[str | None, list[TableRow]] = {}
    for row in rows:
        by_clip.setdefault(_clip_of(row, columns), []).append(row)
    return FeatureTable(path, columns, by_clip)


def forget_tables() -> None:
    """Let go of the tables that are kept because they may be asked for again."""
    _parse.cache_clear()


def _is_arff(file) -> bool:
    first = next((line for line in file if line.strip() and not line.startswith("%")), "")
    file.seek(0)
    return first.lower().startswith("@relation")


def _read_csv(file) -> tuple[list[str], list[TableRow]]:
    first = file.readline()
    file.seek(0)
    reader = csv.reader(file, delimiter=max(",;\t", key=first.count))
    header = next(reader, [])
    return header, [TableRow(reader.line_num, cells) for cells in reader if cells]


def _read_arff(file) -> tuple[list[str], list[TableRow]]:
    header, lines_before = [], 0
    for line in iter(file.readline, ""):
        lines_before += 1
        word, _, rest = line.strip().replace("\t", " ").partition(" ")
        if word.lower() == "@attribute":
            rest = rest.strip()
            quote = rest[:1] if rest[:1] in ("'", '"') else None
            header.append(rest[1:].partition(quote)[0] if quote else rest.partition(" ")[0])
        elif word.lower() == "@data":
            break
    reader = csv.reader(file, quotechar="'", skipinitialspace=True)
    rows = [
        TableRow(lines_before + reader.line_num, cells) for cells in reader if cells and not cells[0].startswith("%")
    ]
    return header, rows


def _clip_of(row: TableRow, columns: dict[str, int]) -> str | None:
    key = next((column for column in CLIP_COLUMNS if column in columns), None)
    if key is None or columns[key] >= len(row.cells):
        return None
    clip = row.cells[columns[key]].strip()
    if key == "clip_id":
        return clip
    # openSMILE names the clip as it was told to, often by its file, or 'unknown'.
    clip = clip.strip("'\"").replace("\\", "/").rsplit("/", 1)[-1]
    stem, suffix = os.path.splitext(clip)
    clip = stem if suffix.lower() in _MEDIA_SUFFIXES else clip
    return None if clip in ("", "unknown") else clip


def _choose(table: FeatureTable, clip_id: str | None) -> list[TableRow]:
    path, rows_of_clip = table.path, table.rows
    if clip_id is None:
        if len(rows_of_clip) > 1:
            raise ValueError(
                f"{path} holds {len(rows_of_clip)} clips: expected one of them to be named, as in "
                f"'{os.path.basename(path)}#{next(iter(rows_of_clip))}'."
            )
        return next(iter(rows_of_clip.values()))
    if set(rows_of_clip) == {None}:
        raise ValueError(
            f"{path}: clip {clip_id!r} was asked for, but there is no `clip_id` column. Pass the path alone."
        )
    if clip_id not in rows_of_clip:
        raise ValueError(
            f"{path}: expected a row of clip {clip_id!r}, found {len(rows_of_clip)} others, among them "
            f"{_few(rows_of_clip)}."
        )
    return rows_of_clip[clip_id]


def _few(names) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
