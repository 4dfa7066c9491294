# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A folder of one's own clips as a corpus, laid out as `videofolder` and `audiofolder` of `datasets` expect it.

Either a table says what each file is (`metadata.csv`, `.jsonl` or `.parquet`: columns `file_name` and `label`, and whatever is known
of `speaker_id`, `gender`, `text`, `start_seconds`, `end_seconds`, `intensity`, `session_id`, `utterance_group`, and `fold` or
`split`), or folders are named by label (`angry/clip.mp4`, `train/angry/clip.mp4`). https://huggingface.co/docs/datasets/video_dataset
"""

import hashlib
import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .base import (
    AUDIO_SUFFIXES,
    UNKNOWN_SPEAKER,
    VIDEO_SUFFIXES,
    CorpusConfig,
    CorpusScan,
    EmotionCorpusBuilder,
    unreadable,
    walk,
)
from .folds import natural_key
from .own_folder_metadata import METADATA_NAMES, MetadataRow, read_metadata


SOUND_SUFFIXES = (*AUDIO_SUFFIXES, ".mp3", ".ogg", ".opus", ".m4a", ".aac")
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval"),
}
GENDERS = {
    "f": "female",
    "w": "female",
    "female": "female",
    "woman": "female",
    "m": "male",
    "male": "male",
    "man": "male",
}


@dataclass
class OwnFolderConfig(CorpusConfig):
    """Options: `metadata` is the table, where it is not a `metadata.csv`, `.jsonl` or `.parquet` in the folder; `labels` the names of
    the labels in their order, those of the data in natural order if not given; `allow_outside` takes files outside of the folder."""

    metadata: str | None = None
    labels: list[str] | None = None
    allow_outside: bool = False


@dataclass
class OwnClip:
    """A clip as found: its row of the schema, what it was made of, and where it stands, for messages."""

    place: str
    row: dict[str, Any]
    key: tuple = ()
    # The file or take without which its clips cannot be told apart from others of the same person.
    source: str = ""
    split: str | None = None
    files: list[Path] = field(default_factory=list)


class OwnFolder(EmotionCorpusBuilder):
    """A folder of your own clips. `OwnFolder(data_dir=DIR)` or `OwnFolder(metadata="path/to/metadata.csv", labels=None)`.

    Paths in a table are relative to the folder of the table, or to `data_dir` if `metadata` names it. With `split`, the test part is
    fold 0, the validation part the next, and the training part the last.
    """

    BUILDER_CONFIG_CLASS = OwnFolderConfig
    NAME = "folder"
    LICENSE = "not stated"
    EXPECTED = "clips and a metadata.csv with the columns file_name, label and speaker_id, or folders named by label,"
    HOW_TO_GET = "Nothing is downloaded: the clips are your own."

    def scan(self, config: OwnFolderConfig) -> CorpusScan:
        scan = CorpusScan()
        self.root, tables = self.sources(config)
        clips = clips_of_tables(scan, self.root, tables, config) if tables else clips_of_tree(scan, self.root, config)
        clips = with_known_labels(scan, clips, config.labels)
        scan.labels = list(config.labels or sorted({clip.row["label"] for clip in clips}, key=natural_key))
        check_unique(clips)
        name_speakers(clips)
        assign_folds(clips)
        scan.rows = [clip.row for clip in clips]
        # A clip of which only one file could be read still changes with it.
        scan.files = [*dict.fromkeys([*scan.files, *(path for clip in clips for path in clip.files)])]
        return scan

    def sources(self, config: OwnFolderConfig) -> tuple[Path, dict[Path, Path]]:
        """The folder that holds all files, and the tables in it, each with the folder that its paths start from."""
        if config.metadata is None:
            root = self.corpus_folder(config)
            tables = sorted(path for path in walk(root) if path.name.lower() in METADATA_NAMES)
            for one, other in zip(tables, tables[1:], strict=False):
                if one.parent == other.parent:
                    raise ValueError(
                        f"Expected one table of metadata in a folder, found {one} and {other}: name one, or remove one."
                    )
            return root, {path: path.parent for path in tables}
        path = Path(config.metadata).expanduser()
        if not path.is_file() and config.data_dir is not None:
            path = Path(config.data_dir, path)
        if not path.is_file():
            raise FileNotFoundError(f"Expected a table of clips in {path.absolute()}, which is not a file.")
        path = path.absolute()
        root = path.parent if config.data_dir is None else self.corpus_folder(config)
        return root, {path: root}

    def raise_nothing_found(self, data_dir: str | None) -> None:
        super().raise_nothing_found(str(self.root))


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder once all links and `..` are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def clips_of_tree(scan: CorpusScan, root: Path, config: OwnFolderConfig) -> list[OwnClip]:
    """Clips of folders named by label: `label/clip.mp4` or `split/label/clip.mp4`, picture and sound of the same name together."""
    takes: dict[str, dict[str, Path]] = {}
    for path in scan.find_files(root, VIDEO_SUFFIXES + SOUND_SUFFIXES):
        if not config.allow_outside and not is_inside(path, root):
            scan.skip(path, "it leads out of the folder; `allow_outside` takes such files")
            continue
        kind = "video" if path.suffix.lower() in VIDEO_SUFFIXES else "audio"
        kept = takes.setdefault(path.relative_to(root).with_suffix("").as_posix(), {}).setdefault(kind, path)
        if kept != path:
            scan.skip(path, f"the same recording as {kept}")
    clips = []
    for take, files in takes.items():
        *folders, _ = take.split("/")
        main = files.get("video") or files["audio"]
        split = _split_of(folders[0]) if len(folders) == 2 else None
        if len(folders) != (1 if split is None else 2) or (split is None and _split_of(folders[0])):
            scan.skip(main, "not in a folder of its label (label/clip.mp4); other layouts need a metadata.csv")
            continue
        row = {"clip_id": take, "label": folders[-1], "utterance_group": take}
        row |= {kind: str(path) for kind, path in files.items()}
        key = (os.path.realpath(main), None, None)
        clips.append(OwnClip(str(main), row, key, source=take, split=split, files=list(files.values())))
    return clips


def clips_of_tables(scan: CorpusScan, root: Path, tables: dict[Path, Path], config: OwnFolderConfig) -> list[OwnClip]:
    """Clips as tables of metadata list them."""
    clips = []
    for table, start in tables.items():
        scan.files.append(table)
        for line in read_metadata(table):
            clip = _clip_of_line(scan, line, root, start, config.allow_outside)
            if clip is not None:
                clips.append(clip)
    if config.metadata is None:
        note_unlisted(scan, root, clips)
    return clips


def note_unlisted(scan: CorpusScan, root: Path, clips: list[OwnClip]) -> None:
    """Say how many recordings of the folder no table lists."""
    listed = {os.path.realpath(path) for clip in clips for path in clip.files}
    others = [
        path.relative_to(root).as_posix()
        for path in walk(root)
        if path.suffix.lower() in VIDEO_SUFFIXES + SOUND_SUFFIXES
        and os.path.realpath(path) not in listed
        and str(path) not in scan.skipped
    ]
    if others and clips:
        few = ", ".join(sorted(others, key=natural_key)[:3])
        scan.skip(root, f"{len(others)} of its recordings are not in the metadata, such as {few}")


def _clip_of_line(scan: CorpusScan, line: MetadataRow, root: Path, start: Path, allow_outside: bool) -> OwnClip | None:
    cells, place = line.cells, line.place
    if cells["label"] is None:
        scan.skip(place, "no label")
        return None
    files = {}
    for column in ("video", "audio", "file"):
        if cells.get(column) is None:
            continue
        path, kind = _find_file(cells[column], column, place, root, start, allow_outside)
        reason = unreadable(path) or (None if kind else f"{path.suffix or 'no suffix'} is none of video or sound")
        if reason:
            scan.skip(path, f"{reason} ({place})")
        elif kind in files:
            raise ValueError(f"{place}: expected one {kind} file, received {files[kind]} and {path}.")
        else:
            files[kind] = path
    if not files:
        if not any(cells.get(column) for column in ("video", "audio", "file")):
            scan.skip(place, "no file")
        return None
    main = files.get("video") or files["audio"]
    source = main.relative_to(root) if main.is_relative_to(root) else main
    source = source.with_suffix("").as_posix()
    begin, end = _seconds(line)
    take = source if begin is None and end is None else f"{source}@{begin or 0:g}-{'' if end is None else f'{end:g}'}"
    if "speaker_id" in cells and cells["speaker_id"] is None:
        raise ValueError(
            f"{place}: expected a speaker, received none. Name the speaker of every clip, or leave the column out of the table."
        )
    row = {
        **{column: cells.get(column) for column in ("label", "text", "intensity", "session_id")},
        **{kind: str(path) for kind, path in files.items()},
        "clip_id": cells.get("clip_id") or take,
        "utterance_group": cells.get("utterance_group") or take,
        "start_seconds": begin,
        "end_seconds": end,
        "gender": GENDERS.get((cells.get("gender") or "").lower()),
    }
    row |= {column: cells[column] for column in ("speaker_id", "license") if cells.get(column)}
    if "fold" in cells:
        row["fold"] = _fold(line)
    clip = OwnClip(place, row, (os.path.realpath(main), begin, end), files=list(files.values()))
    # Parts of one recording show the same people.
    clip.source = cells.get("utterance_group") or source
    if cells.get("split"):
        clip.split = _split_of(cells["split"])
        if clip.split is None:
            raise ValueError(f"{place}: expected the split {', '.join(SPLITS)}, received {cells['split']!r}.")
    if clip.split and "fold" in cells:
        raise ValueError(f"{place}: expected a column fold or a column split, received both.")
    return clip


def _find_file(
    text: str, column: str, place: str, root: Path, start: Path, allow_outside: bool
) -> tuple[Path, str | None]:
    if "\0" in text:
        raise ValueError(f"{place}: expected the path of a file, received one with a null character.")
    path = Path(os.path.normpath(Path(start, text)))
    # The real place counts: `..` after a link need not lead back.
    if not allow_outside and not (is_inside(Path(start, text), root) and is_inside(path, root)):
        raise ValueError(
            f"{place}: expected a file in {root}, received {text}, which leads out of it. The option `allow_outside` takes such files."
        )
    if column != "file":
        return path, column
    suffix = path.suffix.lower()
    return path, "video" if suffix in VIDEO_SUFFIXES else "audio" if suffix in SOUND_SUFFIXES else None


def _seconds(line: MetadataRow) -> tuple[float | None, float | None]:
    times = []
    for column in ("start_seconds", "end_seconds"):
        cell = line.cells.get(column)
        try:
            times.append(None if cell is None else float(cell))
        except ValueError:
            times.append(math.nan)
        if times[-1] is not None and not 0 <= times[-1] < math.inf:
            raise ValueError(f"{line.place}: expected a number of seconds from 0 as {column}, received {cell!r}.")
    begin, end = times
    if end is not None and end <= (begin or 0):
        raise ValueError(f"{line.place}: expected an end after the start, received {begin or 0:g} to {end:g} seconds.")
    return begin, end


def _fold(line: MetadataRow) -> int:
    cell = line.cells["fold"]
    if cell is None or not (cell.isascii() and cell.isdecimal()) or len(cell) > 6:
        raise ValueError(
            f"{line.place}: expected a fold from 0, received {cell!r}. Name the fold of every clip, or of none."
        )
    return int(cell)


def _split_of(name: str) -> str | None:
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def with_known_labels(scan: CorpusScan, clips: list[OwnClip], labels: list[str] | None) -> list[OwnClip]:
    """The clips whose label is one of `labels`, the others noted as skipped; all where no labels are named."""
    if labels is None:
        known = clips
    else:
        if not labels or len(set(labels)) < len(labels) or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"Expected `labels` as a list of different names, received {labels!r}.")
        known = [clip for clip in clips if clip.row["label"] in labels]
        for clip in clips:
            if clip.row["label"] not in labels:
                scan.skip(clip.place, f"its label {clip.row['label']!r} is none of `labels`")
    for clip in known:
        clip.row["label_raw"] = clip.row["label"]
    return known


def check_unique(clips: Iterable[OwnClip]) -> None:
    """Make sure that no recording has two labels and no two clips have one name."""
    labelled: dict[tuple, OwnClip] = {}
    named: dict[str, OwnClip] = {}
    for clip in clips:
        first = labelled.setdefault(clip.key, clip)
        if first.row["label"] != clip.row["label"]:
            raise ValueError(
                f"Expected one label of {clip.key[0]}, received {first.row['label']!r} ({first.place}) and "
                f"{clip.row['label']!r} ({clip.place})."
            )
        first = named.setdefault(clip.row["clip_id"], clip)
        if first is not clip:
            raise ValueError(
                f"Expected every clip once, received {clip.row['clip_id']!r} from {first.place} and from {clip.place}. Picture and "
                "sound of one take belong in one row, in the columns video and audio; else name the clips with a column clip_id."
            )


def name_speakers(clips: list[OwnClip]) -> None:
    """Where speakers are not known, count each file as one, and say loudly what that means."""
    unknown = [clip for clip in clips if "speaker_id" not in clip.row]
    if not unknown:
        return
    if len(unknown) < len(clips):
        known = next(clip for clip in clips if "speaker_id" in clip.row)
        raise ValueError(
            f"Expected a speaker of every clip or of none: {known.place} has one, {unknown[0].place} has none."
        )
    for clip in clips:
        # Names are dealt out at random but always alike, so that blocks of speakers are not blocks of labels.
        clip.row["speaker_id"] = f"{UNKNOWN_SPEAKER}{hashlib.sha256(clip.source.encode()).hexdigest()[:12]}"
    warnings.warn(
        f"folder: NOBODY IS KNOWN of {len(clips)} clips (no column speaker_id), so that each file counts as its own speaker. Training "
        "and test will share people: a score on such a random split of clips is not speaker-independent and must not be quoted as "
        "such. Add a metadata.csv with a column speaker_id.",
        UserWarning,
        stacklevel=5,
    )


def assign_folds(clips: list[OwnClip]) -> None:
    """Turn splits into folds, and make sure that no speaker and no take is in two of the folds that the user gave."""
    sides = [side for side in ("test", "validation", "train") if any(clip.split == side for clip in clips)]
    if sides:
        for clip in clips:
            if clip.split is None:
                raise ValueError(
                    f"Expected every clip in one of the splits {', '.join(sides)}; {clip.place} is in none."
                )
            clip.row |= {"split": clip.split, "fold": sides.index(clip.split)}
    given = [clip for clip in clips if "fold" in clip.row]
    if given and len(given) < len(clips):
        without = next(clip for clip in clips if "fold" not in clip.row)
        raise ValueError(
            f"Expected a fold of every clip or of none: {given[0].place} has one, {without.place} has none."
        )
    for column, what in (("speaker_id", "speaker"), ("utterance_group", "take")):
        seen: dict[str, OwnClip] = {}
        for clip in given:
            first = seen.setdefault(clip.row[column], clip)
            if first.row["fold"] != clip.row["fold"]:
                parts = [f"{one.split or 'fold ' + str(one.row['fold'])} ({one.place})" for one in (first, clip)]
                raise ValueError(
                    f"Expected each {what} in one fold, received {clip.row[column]!r} in {parts[0]} and in {parts[1]}. A score on "
                    "such folds measures recognition of people or takes already seen."
                )
