# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What every corpus shares: one schema, one builder, one way to load.

`datasets` no longer runs scripts named by path, so a corpus here is a builder class that is imported and called;
`load_corpus` does that. A builder owns the names and labels of its corpus and nothing else: files stay undecoded paths.
"""

import hashlib
import importlib
import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from .folds import natural_key, speaker_folds


# Builders are imported when asked for, so that one corpus never needs what only another needs.
CORPORA = {
    "synthetic": "dataset_scripts.synthetic:Synthetic",
    "ravdess": "dataset_scripts.ravdess:Ravdess",
    "ravdess_au": "dataset_scripts.ravdess_au:RavdessAu",
    "crema_d": "dataset_scripts.crema_d:CremaD",
    "folder": "dataset_scripts.own_folder:OwnFolder",
    "iemocap": "dataset_scripts.iemocap:Iemocap",
    "iemocap_words": "dataset_scripts.iemocap_words:IemocapWords",
    "cmu_mosei": "dataset_scripts.cmu_mosei:CmuMosei",
    "cmu_mosi": "dataset_scripts.cmu_mosei:CmuMosi",
}
# How a speaker is called of whom nothing is known: scores on such clips are not speaker-independent, and say so.
UNKNOWN_SPEAKER = "unknown-"
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".flv")
AUDIO_SUFFIXES = (".wav", ".flac")


def corpus_features(labels: list[str], features: dict[str, Any] | None = None) -> datasets.Features:
    """The columns of every corpus; absent values are null.

    Args:
        labels (`list[str]`): label names, in order.
        features (`dict[str, Any]`, *optional*, defaults to `None`): type of each ready-made feature the corpus has.

    Returns:
        `datasets.Features`: the schema.
    """
    text = datasets.Value("string")
    return datasets.Features(
        {
            "clip_id": text,
            "video": text,  # a path, never decoded here
            "audio": text,  # a path; null where the sound is inside the video or there is none
            "start_seconds": datasets.Value("float64"),
            "end_seconds": datasets.Value("float64"),
            "audio_offset_seconds": datasets.Value("float64"),  # when the sound file starts, on the clock of the video
            # Left, top, right, bottom as fractions: where in the picture the speaker is, if others are in it.
            "frame_region": datasets.List(datasets.Value("float64")),
            "label": datasets.ClassLabel(names=list(labels)),
            "label_raw": text,  # as the corpus writes it
            "targets": datasets.List(datasets.Value("float32")),  # what the builder's TARGETS name, if it has any
            "intensity": text,
            "speaker_id": text,
            "session_id": text,
            "utterance_group": text,  # the same take in any format
            "gender": text,  # "female", "male" or null
            "text": text,
            "features": dict(features) if features else datasets.Value("null"),
            "face_track": text,  # a path to OpenFace's table of where the face is in `video`; null: it has to be found
            # Where the clip is tested in the corpus's folds; `folds.NEVER_TESTED` where a published list never does.
            "fold": datasets.Value("int32"),
            "split": text,  # side of the split that was published with the corpus: one of `folds.SIDES`
            "license": text,
        }
    )


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Options of a corpus; subclasses add their own fields, which `load_corpus` takes as keyword arguments.

    Every corpus has `features`: measurements of its clips by other programs, as `measured_features.attach_measurements` takes
    them, such as `{"action_units": {"path": "openface", "columns": "AU*_r", "reduce": "mean"}}`.
    """

    features: dict[str, Any] | None = None


@dataclass
class CorpusScan:
    """What was found in a folder: the rows of the corpus, the files they come from, and what was left out and why."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    # Names of the labels in order, of a corpus that only its clips tell them; `None` where the builder knows them.
    labels: list[str] | None = None

    def skip(self, item: Path | str, reason: str) -> None:
        self.skipped[str(item)] = reason

    def find_files(self, folder: Path, suffixes: Iterable[str]) -> list[Path]:
        """Readable files with one of `suffixes` in a folder tree, in natural order; the others are noted as skipped."""
        found = [path for path in walk(folder) if path.suffix.lower() in suffixes]
        readable = []
        for path in sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix())):
            reason = unreadable(path)
            if reason:
                self.skip(path, reason)
            else:
                readable.append(path)
        self.files += readable
        return readable

    def warn(self, corpus: str) -> None:
        """Say once what was left out."""
        if not self.skipped:
            return
        shown = "; ".join(f"{item}: {reason}" for item, reason in list(self.skipped.items())[:5])
        more = f"; and {len(self.skipped) - 5} more" if len(self.skipped) > 5 else ""
        warnings.warn(
            f"{corpus}: skipped {len(self.skipped)} of the items found, {len(self.rows)} clips remain. {shown}{more}",
            UserWarning,
            stacklevel=3,
        )

    def fingerprint(self) -> str:
        """Changes when a file is added, removed, replaced or touched, and when the reading of the names changes."""
        digest = hashlib.sha256()
        for path in self.files:
            stat = path.stat()
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        digest.update(json.dumps([self.labels, self.rows], sort_keys=True, default=_array_digest).encode())
        return digest.hexdigest()[:32]


def _array_digest(array: np.ndarray) -> str:
    return f"{array.shape} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}"


def walk(folder: Path) -> Iterable[Path]:
    """Every file of a folder tree; linked folders are followed, each once, and system leftovers are passed over."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(parent) / name for name in names if not name.startswith("."))


def unreadable(path: Path) -> str | None:
    """Why a file cannot be part of a corpus, or `None`."""
    try:
        if not path.is_file():
            return "a link to a file that does not exist" if path.is_symlink() else "not a file"
        with path.open("rb") as file:
            return None if file.read(1) else "the file is empty"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


class EmotionCorpusBuilder(datasets.GeneratorBasedBuilder):
    """Base of every corpus: subclasses set the class attributes and write `scan`.

    Args:
        data_dir (`str` or `Path`, *optional*, defaults to `None`): folder of the corpus.
        cache_dir (`str` or `Path`, *optional*, defaults to `None`): where the table is kept; `None` is that of `datasets`.
        options: fields of the `BUILDER_CONFIG_CLASS` of the corpus.

    Attributes:
        labels (`list[str]`): names of the labels, in order.
        feature_columns (`dict[str, list[str]]`): for each ready-made feature the names of its numbers.

    Raises:
        FileNotFoundError: If the folder is missing or holds nothing of the corpus.
        ValueError: If an option is unknown.
    """

    BUILDER_CONFIG_CLASS = CorpusConfig
    NAME: str
    # In order; none for a corpus that only its clips tell them, which sets `CorpusScan.labels`.
    LABELS: list[str] = []
    LICENSE: str
    # The same by its id on the Hub: "other" where it has none there, "unknown" where nobody states one.
    LICENSE_ID = "unknown"
    # Whether others may be given the clips and what was measured of them, or only what is said of them: ids, labels, folds.
    MAY_SHARE_MEDIA = False
    # Why not, as a sentence.
    WHY_NOT_SHARED = "Nothing says under which licence its clips are."
    HOMEPAGE: str | None = None
    CITATION: str | None = None
    # Completes the sentence "Expected <EXPECTED> in <folder>".
    EXPECTED: str
    # A sentence on where the corpus comes from.
    HOW_TO_GET: str
    FEATURE_TYPES: dict[str, Any] | None = None
    # For each ready-made feature the names of its numbers, as a table of them would head its columns.
    FEATURE_COLUMNS: dict[str, list[str]] = {}
    # Names of the numbers in the column `targets`: several yes/no labels, or values to estimate.
    TARGETS: list[str] = []
    # Those of them that answer a question by yes (above 0) or no.
    YES_NO_TARGETS: list[str] = []
    NUM_FOLDS = 5

    def __init__(self, data_dir=None, cache_dir=None, **options):
        known = {item.name for item in fields(self.BUILDER_CONFIG_CLASS)} - {
            item.name for item in fields(datasets.BuilderConfig)
        }
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(
                f"Corpus {self.NAME!r} has no option {', '.join(unknown)}. Its options are: {', '.join(sorted(known)) or 'none'}."
            )
        # Absolute, so that the table stays true when the program is started in another folder.
        data_dir = None if data_dir is None else os.path.abspath(os.path.expanduser(data_dir))
        # Where a corpus that makes its own files may keep them.
        self.cache_root = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
        config = self.BUILDER_CONFIG_CLASS(data_dir=data_dir, **options)
        self.found = self.scan(config)
        if not self.found.rows:
            self.raise_nothing_found(data_dir)
        self.labels = list(self.found.labels or self.LABELS)
        self.feature_types = dict(self.FEATURE_TYPES or {})
        self.feature_columns = dict(self.FEATURE_COLUMNS)
        # To the base class `features` is the schema; the measurements are part of the rows by then.
        if options.pop("features", None):
            self.attach_features(config)
        self.complete_rows(self.found.rows)
        self.found.warn(self.NAME)
        super().__init__(
            cache_dir=None if cache_dir is None else os.fspath(cache_dir),
            dataset_name=self.NAME,
            data_dir=data_dir,
            hash=self.found.fingerprint(),
            **options,
        )

    def scan(self, config: CorpusConfig) -> CorpusScan:
        """Find the clips; a row needs only the columns that are not null."""
        raise NotImplementedError

    def take_of(self, name: str) -> str | None:
        """The take (`utterance_group`) that the name of a file tells, whatever the file holds; `None` if it tells none."""
        return name

    def attach_features(self, config: CorpusConfig) -> None:
        # Only those who ask for measurements need what reads them.
        from .measured_features import attach_measurements

        folder = Path(config.data_dir or ".")
        read = attach_measurements(self.found, config.features, folder, self.take_of, self.cache_root / "measured")
        for name, measured in read.items():
            is_vector = next(iter(measured.values.values())).ndim == 1
            number = datasets.Value("float32")
            self.feature_types[name] = datasets.List(number if is_vector else datasets.List(number))
            self.feature_columns[name] = measured.columns

    def default_num_folds(self, num_speakers: int) -> int:
        """How many folds the column `fold` holds."""
        return min(self.NUM_FOLDS, num_speakers)

    def corpus_folder(self, config: CorpusConfig) -> Path:
        """The folder of the corpus, made sure to exist."""
        if config.data_dir is None:
            raise ValueError(
                f"Corpus {self.NAME!r} needs `data_dir`, a folder with {self.EXPECTED}. {self.HOW_TO_GET}"
            )
        folder = Path(config.data_dir)
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise FileNotFoundError(f"Expected {self.EXPECTED} in {folder}, which {what}. {self.HOW_TO_GET}")
        return folder

    def raise_nothing_found(self, data_dir: str | None) -> None:
        if self.found.skipped:
            received = "only " + "; ".join(
                f"{item}: {reason}" for item, reason in list(self.found.skipped.items())[:5]
            )
        else:
            names = sorted(os.listdir(data_dir), key=natural_key) if data_dir else []
            received = f"{', '.join(names[:5])} and others" if len(names) > 5 else ", ".join(names) or "nothing"
        raise FileNotFoundError(f"Expected {self.EXPECTED} in {data_dir}, found {received}. {self.HOW_TO_GET}")

    def complete_rows(self, rows: list[dict[str, Any]]) -> None:
        columns = corpus_features(self.labels, self.feature_types)
        # A builder that sets `fold` itself knows better, or knows no speakers.
        speakers = [row["speaker_id"] for row in rows if "fold" not in row]
        blocks = speaker_folds(speakers, self.default_num_folds(len(set(speakers)))) if speakers else []
        fold_of = {speaker: fold for fold, block in enumerate(blocks) for speaker in block}
        for row in rows:
            row.setdefault("license", self.LICENSE)
            if "fold" not in row:
                row["fold"] = fold_of[row["speaker_id"]]
            if set(row) - set(columns):
                raise ValueError(f"Columns {sorted(set(row) - set(columns))} are not in the schema: {list(columns)}.")
            for column in columns:
                row.setdefault(column, None)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=(type(self).__doc__ or "").strip(),
            features=corpus_features(self.labels, self.feature_types),
            license=self.LICENSE,
            homepage=self.HOMEPAGE or "",
            citation=self.CITATION or "",
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        # The list is what `num_proc` divides over processes.
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN, gen_kwargs={"rows": self.found.rows})]

    def _generate_examples(self, rows):
        for row in rows:
            measured = row["features"] and {
                name: values.tolist() if isinstance(values, np.ndarray) else values
                for name, values in row["features"].items()
            }
            yield row["clip_id"], row | {"features": measured}

    def load(self, num_proc: int | None = None) -> datasets.Dataset:
        """The corpus as one table, written by `num_proc` processes."""
        # More processes than clips would only warn.
        num_proc = None if num_proc is None else max(1, min(num_proc, len(self.found.rows)))
        self.download_and_prepare(num_proc=num_proc)
        return self.as_dataset(split=datasets.Split.TRAIN)


def corpus_builder(name: str) -> type[EmotionCorpusBuilder]:
    """The builder class of a corpus, by its name in `CORPORA`."""
    if name not in CORPORA:
        raise ValueError(f"Expected the name of a corpus, one of {', '.join(sorted(CORPORA))}, received {name!r}.")
    module, builder = CORPORA[name].split(":")
    return getattr(importlib.import_module(module), builder)


def load_corpus(
    name: str,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    num_proc: int | None = None,
    **options,
) -> datasets.Dataset:
    """Load a corpus as one table with the columns of `corpus_features`.

    Args:
        name (`str`): one of `CORPORA`.
        data_dir (`str` or `os.PathLike`, *optional*, defaults to `None`): folder of the corpus.
        cache_dir (`str` or `os.PathLike`, *optional*, defaults to `None`): where the table is kept; `None` is that of `datasets`.
        num_proc (`int`, *optional*, defaults to `None`): processes that write the table.
        options: options of the corpus; a wrong one is answered with their names.

    Returns:
        `datasets.Dataset`: one row per clip, in natural order.

    Raises:
        ValueError: If the name or an option is unknown.
        FileNotFoundError: If the corpus is not in `data_dir`.
    """
    return corpus_builder(name)(data_dir=data_dir, cache_dir=cache_dir, **options).load(num_proc)
