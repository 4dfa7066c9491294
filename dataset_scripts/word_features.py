# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Corpora as word-level features: the pickles of the line of work that began with MulT (Tsai et al., ACL 2019).

Such a file holds `{"train": side, "valid": side, "test": side}`; a side holds the arrays `text`, `audio` and `vision` of shape
`(clips, steps, size)`, `labels`, and mostly `id`. Aligned files have one step per word in all three; in unaligned ones each
runs at its own rate. Shorter clips are filled up with zeros. https://github.com/yaohungt/Multimodal-Transformer
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from .base import CorpusConfig, CorpusScan, EmotionCorpusBuilder, unreadable
from .safe_pickle import read_pickle


MODALITIES = ("text", "audio", "vision")
SIDE_OF = {"train": "train", "valid": "validation", "test": "test"}
ALIGNED, UNALIGNED = "aligned", "unaligned"
HOW_TO_GET = (
    "The files are linked in the README of https://github.com/yaohungt/Multimodal-Transformer (folder `data`); they are "
    "derived from the corpus, whose licence holds for them."
)


def read_word_features(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read a pickle of word-level features; nothing in it is executed.

    Args:
        path (`Path`): such as `iemocap_data.pkl`.

    Returns:
        `dict[str, dict[str, np.ndarray]]`: for each of `"train"`, `"validation"`, `"test"` its arrays, as the file has them.

    Raises:
        UnreadablePickleError: If it is damaged or holds anything but data.
        ValueError: If its content is not of this form.
    """
    content = read_pickle(path)
    expected = "expected a dictionary with train, valid and test, each with text, audio, vision and labels"
    if not isinstance(content, dict) or set(SIDE_OF) - set(content):
        received = f"the keys {sorted(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: {expected}, received {received}. {HOW_TO_GET}")
    sides = {}
    for name, side in SIDE_OF.items():
        arrays = content[name]
        missing = [key for key in (*MODALITIES, "labels") if not isinstance(arrays, dict) or key not in arrays]
        if missing:
            raise ValueError(f"{path}: {expected}, but {name} has no {', '.join(missing)}. {HOW_TO_GET}")
        _check_shapes(f"{path}, {name}", arrays)
        sides[side] = arrays
    return sides


def _check_shapes(where: str, arrays: dict[str, Any]) -> None:
    for key in (*MODALITIES, "labels"):
        array = arrays[key]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise ValueError(f"{where}: expected {key} as an array of numbers, received {_kind(array)}.")
        if key in MODALITIES and (array.ndim != 3 or 0 in array.shape[1:]):
            raise ValueError(f"{where}: expected {key} of shape (clips, steps, size), received {array.shape}.")
    counts = {key: len(arrays[key]) for key in (*MODALITIES, "labels", "id") if _has_rows(arrays.get(key))}
    if len(set(counts.values())) > 1 or "labels" not in counts:
        raise ValueError(f"{where}: expected every array to have as many clips, received {counts}.")


def _has_rows(array: Any) -> bool:
    return isinstance(array, list) or (isinstance(array, np.ndarray) and array.ndim > 0)


def _kind(value: Any) -> str:
    return f"type {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def without_padding(steps: np.ndarray) -> np.ndarray:
    """The steps from the first to the last that is not all zero; the first step where all are."""
    filled = np.flatnonzero(steps.any(axis=1))
    return steps[filled[0] : filled[-1] + 1] if len(filled) else steps[:1]


@dataclass
class WordFeatureConfig(CorpusConfig):
    """Options.

    `form` is `"aligned"` (default: one step per word in every modality) or `"unaligned"`. `padding` is `"kept"` (default: as
    its authors feed the file) or `"removed"`: without the zeros before and after a clip, so that masks can tell them.
    """

    form: str = ALIGNED
    padding: str = "kept"


class WordFeatureCorpus(EmotionCorpusBuilder):
    """Base of corpora in such a pickle: subclasses set `FILES` and write `check_labels` and `pickle_row`.

    The arrays stay out of the rows until the table is written: a corpus takes as much memory as its file, once.
    """

    BUILDER_CONFIG_CLASS = WordFeatureConfig
    FEATURE_TYPES = {name: datasets.List(datasets.List(datasets.Value("float32"))) for name in MODALITIES}
    FORMS = (ALIGNED, UNALIGNED)
    # Name of the pickle of each form.
    FILES: dict[str, str]
    sides: dict[str, dict[str, np.ndarray]] | None = None

    def check_labels(self, labels: np.ndarray) -> None:
        """Raise a ValueError if the labels of a side are those of another corpus."""
        raise NotImplementedError

    def pickle_row(self, side: str, index: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """One row but for its features, `split` and `clip_id` if it is only numbered; a ValueError skips the clip."""
        raise NotImplementedError

    def scan(self, config: WordFeatureConfig) -> CorpusScan:
        for option, values in (("form", self.FORMS), ("padding", ("kept", "removed"))):
            if getattr(config, option) not in values:
                raise ValueError(
                    f"Expected {option} to be one of {', '.join(values)}, received {getattr(config, option)!r}."
                )
        self.padding = config.padding
        return self.scan_pickle(config)

    def scan_pickle(self, config: WordFeatureConfig) -> CorpusScan:
        scan = CorpusScan()
        self.path = self.corpus_folder(config) / self.FILES[config.form]
        if not self.path.exists():
            return scan
        if reason := unreadable(self.path):
            scan.skip(self.path, reason)
            return scan
        scan.files.append(self.path)
        self.sides = read_word_features(self.path)
        # Where the features of each clip lie in the file.
        self.places: dict[str, tuple[str, int]] = {}
        for side, arrays in self.sides.items():
            self.check_labels(arrays["labels"])
            for index in range(len(arrays["labels"])):
                try:
                    row = {"clip_id": f"{side}_{index:05d}", "split": side, **self.pickle_row(side, index, arrays)}
                except ValueError as error:
                    scan.skip(f"{self.path.name}, {side}, clip {index}", str(error))
                    continue
                if row["clip_id"] in self.places:
                    scan.skip(f"{self.path.name}, {side}, clip {index}", f"a second clip {row['clip_id']}")
                    continue
                self.places[row["clip_id"]] = side, index
                scan.rows.append(row)
        self.warn_of_infinite_numbers()
        return scan

    def warn_of_infinite_numbers(self) -> None:
        counts = {
            name: sum(int((~np.isfinite(arrays[name])).sum()) for arrays in self.sides.values()) for name in MODALITIES
        }
        found = ", ".join(f"{count} in {name}" for name, count in counts.items() if count)
        if found:
            warnings.warn(
                f"{self.NAME}: numbers that are not finite are read as 0, as the authors of the file do: {found}.",
                stacklevel=2,
            )

    def __getstate__(self) -> dict:
        # Processes that share the work read the file themselves.
        return {**self.__dict__, "sides": None}

    def _generate_examples(self, rows):
        sides = self.sides or read_word_features(self.path)
        for row in rows:
            side, index = self.places[row["clip_id"]]
            features = {name: self.feature(sides[side][name][index]) for name in MODALITIES}
            yield row["clip_id"], {**row, "features": features}

    def feature(self, steps: np.ndarray) -> np.ndarray:
        """The steps of one clip, `(steps, size)` in float32, every number finite."""
        steps = steps.astype(np.float32)
        steps = np.where(np.isfinite(steps), steps, np.float32(0))
        return steps if self.padding == "kept" else without_padding(steps)
