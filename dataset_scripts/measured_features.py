# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What other programs measured of the clips of a corpus, such as OpenFace's action units or openSMILE's functionals, as features of its rows.

Three shapes of output are read, by the reader that prediction uses (`modeling_tacfn.feature_tables`): a folder with one file per
clip, named like the clip (OpenFace 2's `FeatureExtraction`; openSMILE with one output per sound), one file with a row per clip
(openSMILE's functionals, or a table of means with a column `clip_id`), and one file with the frames of many clips.
"""

import fnmatch
import hashlib
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from modeling_tacfn.feature_arrays import mean_of_known
from modeling_tacfn.feature_tables import FeatureTable, TableRow, open_table
from modeling_tacfn.files import atomic_path

from .base import CorpusScan, walk
from .folds import natural_key


TABLE_SUFFIXES = (".csv", ".arff", ".tsv", ".txt")
# Where a row stands in its clip. Without one of them a table holds one row per clip.
TIME_COLUMNS = ("frame", "timestamp", "frameTime", "frameIndex", "start")
# Not measurements, so that a pattern never chooses them; their own name does.
BOOKKEEPING = frozenset(
    {*TIME_COLUMNS, "clip_id", "name", "file", "end", "face_id", "confidence", "success", "class", ""}
)
OPTIONS = ("path", "columns", "reduce")
# Raised whenever the same files are read otherwise.
_CACHE_VERSION = 1

Skip = Callable[[Path | str, str], None]


@dataclass
class Measurements:
    """One named feature of many clips.

    Attributes:
        columns (`list[str]`): names of its numbers, in their order.
        values (`dict[str, np.ndarray]`): by the clip's name in the files, float32 of shape `(num_columns,)`, or
            `(num_steps, num_columns)` with NaN in steps that are not known.
        places (`dict[str, str]`): file, and line in a file of many clips, of each clip.
        files (`list[Path]`): what was read.
    """

    columns: list[str]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def choose_columns(available: Iterable[str], wanted: str | list[str] = "*") -> list[str]:
    """Columns by name or pattern, each once.

    Args:
        available (`Iterable[str]`): names in the order of the file.
        wanted (`str` or `list[str]`, *optional*, defaults to `"*"`): names, or patterns with `*`, `?` and `[…]` such as
            `"AU*_r"`; what several patterns find stands in the order of the patterns. A pattern passes over bookkeeping
            (frame, time, confidence, …).

    Returns:
        `list[str]`: the names.

    Raises:
        ValueError: a name or pattern finds nothing.
    """
    available = list(available)
    chosen: dict[str, None] = {}
    missing = []
    for pattern in [wanted] if isinstance(wanted, str) else list(wanted):
        found = [pattern] if pattern in available else []
        if not found:
            found = [name for name in available if name not in BOOKKEEPING and fnmatch.fnmatchcase(name, str(pattern))]
        chosen.update(dict.fromkeys(found))
        if not found:
            missing.append(str(pattern))
    if missing or not chosen:
        shown = ", ".join(available[:8]) + (f" and {len(available) - 8} more" if len(available) > 8 else "")
        raise ValueError(
            f"Expected columns of measurements, missing: {', '.join(missing) or 'all'}. There are: {shown}."
        )
    return list(chosen)


def read_measurements(
    path: str | os.PathLike,
    columns: str | list[str] = "*",
    reduce: str | None = "mean",
    skip: Skip | None = None,
    what: str = "a value",
) -> Measurements:
    """Read what was measured of clips. Whatever cannot be used is named, with the reason, and left out.

    Args:
        path (`str` or `os.PathLike`): a file, or a folder whose files (and those of its folders) are read.
        columns (`str` or `list[str]`, *optional*, defaults to `"*"`): as in `choose_columns`.
        reduce (`str`, *optional*, defaults to `"mean"`): `"mean"` over the known steps of a clip, one vector per clip; `None`
            keeps the steps.
        skip (`Callable`, *optional*, defaults to `None`): takes what is left out and why, as `CorpusScan.skip` does.
        what (`str`, *optional*, defaults to `"a value"`): what one number is, for messages.

    Returns:
        `Measurements`: in natural order of files, then in the order of their rows.

    Raises:
        FileNotFoundError: there is no such file or folder, or no table in the folder.
        ValueError: no table has the columns.
    """
    if reduce not in ("mean", None):
        raise ValueError(f"Expected `reduce` to be 'mean' or null, which keeps every step, received {reduce!r}.")
    skip = skip or (lambda item, reason: None)
    path = Path(path)
    tables: dict[Path, FeatureTable] = {}
    choices: Counter[tuple[str, ...]] = Counter()
    problem: ValueError | None = None
    for file in _table_files(path):
        try:
            tables[file] = open_table(file)
            choices[tuple(choose_columns(tables[file].columns, columns))] += 1
        except ValueError as error:
            skip(file, str(error))
            problem, _ = error, tables.pop(file, None)
    if not choices:
        raise ValueError(f"No table with the measurements asked for in {path}: {problem}")
    # Files of one run of one program agree; one that does not is named below.
    chosen = list(choices.most_common(1)[0][0])
    found = Measurements(chosen, files=list(tables))
    for file, table in tables.items():
        absent = [column for column in chosen if column not in table.columns]
        if absent:
            skip(file, f"no column {', '.join(absent[:3])}, which other files have")
            continue
        alone = path.is_dir() and set(table.rows) <= {None}
        for clip, rows in table.rows.items():
            name = clip if clip is not None else _clip_of_file(file, path)
            if alone or any(column in table.columns for column in TIME_COLUMNS):
                _read_steps(found, table, name, rows, reduce, skip, what)
            else:
                for row in rows:
                    _read_row(found, table, name, row, reduce, skip, what)
    return found


def attach_measurements(
    scan: CorpusScan,
    wanted: dict[str, dict[str, Any]],
    folder: Path,
    take_of: Callable[[str], str | None],
    cache_dir: Path | None = None,
) -> dict[str, Measurements]:
    """Give the rows of a corpus the features that are asked for; a clip without one of them is named and left out.

    A measured clip belongs to the row that has its name as `clip_id`, else to the rows of its take (`utterance_group`), else,
    where folders are part of the names, to the row whose last part is the last part of its name.

    Args:
        scan (`CorpusScan`): its rows get the entry `features`, its files those that were read.
        wanted (`dict[str, dict]`): for each feature `path` (a relative one is looked for in `folder`), and optionally
            `columns` and `reduce`, as in `read_measurements`.
        folder (`Path`): folder of the corpus.
        take_of (`Callable`): from the name of a file to the take it names, or `None`.
        cache_dir (`Path`, *optional*, defaults to `None`): where the numbers of a folder are kept, so that thousands of large
            files are not read again as long as none of them changes.

    Returns:
        `dict[str, Measurements]`: what was read.

    Raises:
        FileNotFoundError: a path is not there.
        ValueError: an option is unknown, a feature is there already, or none of the clips measured is in the corpus.
    """
    read = {}
    for name, options in wanted.items():
        if not isinstance(options, dict) or "path" not in options or set(options) - set(OPTIONS):
            raise ValueError(
                f"Expected the feature {name!r} as a mapping with `path` and, if need be, `columns` and `reduce`, received {options!r}."
            )
        path = Path(folder, os.path.expanduser(options["path"]))
        choice = {"columns": options.get("columns", "*"), "reduce": options.get("reduce", "mean")}
        if cache_dir is not None and path.is_dir():
            measured = _read_once(path, choice, scan.skip, cache_dir)
        else:
            measured = read_measurements(path, **choice, skip=scan.skip)
        scan.files += measured.files
        _join(scan, name, path, measured, take_of)
        read[name] = measured
    return read


def _read_once(path: Path, choice: dict[str, Any], skip: Skip, cache_dir: Path) -> Measurements:
    """What `read_measurements` returns and skips, from the last time if the files are still the same."""
    files = [(file, file.stat()) for file in _table_files(path)]
    content = [_CACHE_VERSION, choice, [[str(file), status.st_size, status.st_mtime_ns] for file, status in files]]
    kept = cache_dir / f"measured_{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]}.npz"
    try:
        with np.load(kept, allow_pickle=False) as stored:
            about, steps = json.loads(str(stored["about"])), np.split(stored["values"], stored["ends"][:-1])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        noted: dict[str, str] = {}
        found = read_measurements(path, **choice, skip=lambda item, reason: noted.update({str(item): reason}))
        values = [np.atleast_2d(array) for array in found.values.values()]
        about = {
            "columns": found.columns,
            "places": found.places,
            "skipped": noted,
            "files": list(map(str, found.files)),
        }
        if values:
            with atomic_path(kept) as temporary:
                ends = np.cumsum([len(array) for array in values])
                np.savez(temporary, about=json.dumps(about), values=np.concatenate(values), ends=ends)
    else:
        arrays = [array[0] for array in steps] if choice["reduce"] else steps
        places = about["places"]
        found = Measurements(
            about["columns"], dict(zip(places, arrays, strict=True)), places, list(map(Path, about["files"]))
        )
    for item, reason in about["skipped"].items():
        skip(item, reason)
    return found


def _table_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"Expected measurements of clips in {path}, a file or a folder, which does not exist.")
    # OpenFace leaves, beside each table, a file of details, which is no table.
    files = [
        file for file in walk(path) if file.suffix.lower() in TABLE_SUFFIXES and not file.stem.endswith("_of_details")
    ]
    if not files:
        raise FileNotFoundError(f"Expected measurements of clips in {path}, found no file {' '.join(TABLE_SUFFIXES)}.")
    return sorted(files, key=lambda file: natural_key(file.relative_to(path).as_posix()))


def _clip_of_file(file: Path, path: Path) -> str:
    return file.stem if file == path else file.relative_to(path).with_suffix("").as_posix()


def _read_row(
    found: Measurements, table: FeatureTable, clip: str, row: TableRow, reduce, skip: Skip, what: str
) -> None:
    place = f"{table.path}, line {row.line}"
    try:
        values = table.values([row], found.columns)
    except ValueError as error:
        skip(place, str(error))
        return
    unknown = [column for column, value in zip(found.columns, values[0], strict=True) if not np.isfinite(value)]
    if unknown:
        skip(place, f"{what} is not a finite number ({', '.join(unknown[:3])})")
    elif clip in found.values:
        first = found.places[clip]
        skip(
            place, f"a second line for {clip}, the first is {first}; lines of frames need a column frame or frameTime"
        )
    else:
        found.values[clip] = values[0] if reduce else values
        found.places[clip] = place


def _read_steps(
    found: Measurements, table: FeatureTable, clip: str, rows: list[TableRow], reduce, skip: Skip, what: str
) -> None:
    place = table.path if len(table.rows) == 1 else f"{clip} in {table.path}"
    if clip in found.values:
        skip(place, f"a second measurement of {clip}, the first is {found.places[clip]}")
        return
    rows = table.main_face(rows)
    steps = _first_of_each_time(table, rows)
    if len(steps) < len(rows):
        skip(
            f"{clip} in {table.path}",
            f"{len(rows) - len(steps)} of its lines repeat a time; the first of each is kept",
        )
    rows = steps
    try:
        values = table.values(rows, found.columns)
    except ValueError as error:
        skip(place, str(error))
        return
    known = np.isfinite(values)
    if not known.any():
        skip(place, f"no step of {clip} is known: a face was never tracked, or nothing was measured")
    elif reduce and not known.any(axis=0).all():
        unknown = [column for column, any_known in zip(found.columns, known.any(axis=0), strict=True) if not any_known]
        skip(place, f"{what} is not a finite number in any step ({', '.join(unknown[:3])})")
    else:
        found.values[clip] = mean_of_known(values) if reduce else values
        found.places[clip] = place


def _first_of_each_time(table: FeatureTable, rows: list[TableRow]) -> list[TableRow]:
    # openSMILE adds to a file that is there: run twice, it writes every step twice.
    position = next((table.columns[column] for column in TIME_COLUMNS if column in table.columns), None)
    if position is None:
        return rows
    steps: dict[str | int, TableRow] = {}
    for row in rows:
        steps.setdefault(row.cells[position].strip() if position < len(row.cells) else row.line, row)
    return list(steps.values())


def _join(
    scan: CorpusScan, name: str, path: Path, measured: Measurements, take_of: Callable[[str], str | None]
) -> None:
    by_take = {}
    for clip in measured.values:
        by_take.setdefault(take_of(clip), clip)
    by_take.pop(None, None)
    last_parts = Counter(PurePosixPath(row["clip_id"]).name for row in scan.rows)
    by_last_part = {part: clip for part, clip in _by_last_part(measured.values).items() if last_parts[part] == 1}
    kept, used, missing = [], set(), []
    for row in scan.rows:
        clip = row["clip_id"] if row["clip_id"] in measured.values else by_take.get(row.get("utterance_group"))
        clip = clip or by_last_part.get(PurePosixPath(row["clip_id"]).name)
        if clip is None:
            missing.append(row["clip_id"])
            continue
        features = row.get("features") or {}
        if name in features:
            raise ValueError(f"The corpus has a feature {name!r} of its own; give the measured one another name.")
        used.add(clip)
        kept.append(row | {"features": features | {name: measured.values[clip]}})
    if not kept:
        raise ValueError(
            f"Expected measurements named like the clips, such as {_few(missing)}, found in {path} those of "
            f"{_few(measured.values) or 'no clip'}{_reasons(scan)}."
        )
    for clip_id in missing:
        scan.skip(clip_id, f"no {name} in {path}")
    takes = {take_of(clip) for clip in used}
    unused = [clip for clip in measured.values if clip not in used and take_of(clip) not in takes]
    if unused:
        scan.skip(path, f"{len(unused)} of the clips measured are not in the corpus: {_few(unused)}")
    scan.rows[:] = kept


def _by_last_part(names: Iterable[str]) -> dict[str, str]:
    """The names whose last part is that of no other."""
    names = list(names)
    counts = Counter(PurePosixPath(name).name for name in names)
    return {PurePosixPath(name).name: name for name in names if counts[PurePosixPath(name).name] == 1}


def _reasons(scan: CorpusScan) -> str:
    return (
        ""
        if not scan.skipped
        else "; left out: " + "; ".join(f"{item}: {why}" for item, why in list(scan.skipped.items())[:3])
    )


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
