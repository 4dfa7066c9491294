# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Computational sequences (`.csd`), the HDF5 files of CMU's multimodal SDK, and their alignment to words.

`<root>/data/<video>/intervals` `(steps, 2)` in seconds and `<root>/data/<video>/features` `(steps, size)`;
`<root>/metadata/<name>` holds JSON. https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK
"""

import json
from pathlib import Path

import numpy as np

from .folds import natural_key


# Two times closer than this are the same, as in the SDK.
EPSILON_SECONDS = 1e-5
# A compressed file may claim any size; an hour of features at 100 steps a second is far below this.
MAX_VIDEO_BYTES = 2**31


class CsdError(ValueError):
    """A file that is no computational sequence."""


class ComputationalSequence:
    """One `.csd` file, of which one video at a time is read. Close it, or use it in a `with` block.

    Args:
        path (`Path`): the file.

    Raises:
        ImportError: If h5py is not installed.
        CsdError: If it is no HDF5 file, or not of this form.
    """

    def __init__(self, path: Path):
        try:
            import h5py
        except ImportError as error:
            raise ImportError("Reading .csd files needs h5py: `pip install h5py`, or the extra `mosei`.") from error
        self.path, self.h5py = Path(path), h5py
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise CsdError(
                f"{path}: expected an HDF5 file, but it cannot be opened ({error}). It is cut short or something else; "
                "download it again."
            ) from error
        try:
            roots = list(self.file)
            if len(roots) != 1:
                raise CsdError(f"{path}: expected one group that holds everything, found {roots[:5] or 'none'}.")
            self.root = self.child(self.file, roots[0], h5py.Group)
            data = self.child(self.root, "data", h5py.Group)
            # What the SDK aligned before has an entry for each segment: video[0], video[1], …
            self.entries: dict[str, list] = {}
            for name in sorted(data, key=natural_key):
                self.entries.setdefault(name.split("[")[0], []).append(self.child(data, name, h5py.Group))
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> "ComputationalSequence":
        return self

    def __exit__(self, *exception) -> None:
        self.file.close()

    def child(self, parent, name: str, kind: type):
        """A part of this file; never one of another file, which links may name."""
        if not isinstance(parent.get(name, getlink=True), self.h5py.HardLink):
            raise CsdError(f"{self.path}: expected {name!r} in {parent.name}, found nothing or a link to elsewhere.")
        found = parent[name]
        if not isinstance(found, kind):
            raise CsdError(f"{self.path}: expected a {kind.__name__.lower()} at {found.name}.")
        if isinstance(found, self.h5py.Dataset) and (found.is_virtual or found.external):
            raise CsdError(f"{self.path}: refused {found.name}, whose numbers lie in another file.")
        return found

    @property
    def dimension_names(self) -> list[str] | None:
        """What the numbers of a step are, if the file says."""
        if "metadata" not in self.root:
            return None
        metadata = self.child(self.root, "metadata", self.h5py.Group)
        if "dimension names" not in metadata:
            return None
        text = np.ravel(self.child(metadata, "dimension names", self.h5py.Dataset)[()])[0]
        try:
            names = json.loads(text)
        except (TypeError, ValueError):
            return None
        return [str(name) for name in names] if isinstance(names, list) else None

    def read(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """The steps of one video, in the order of the file.

        Args:
            video (`str`): one of `entries`.

        Returns:
            `tuple[np.ndarray, np.ndarray]`: intervals `(steps, 2)` in seconds, and features `(steps, size)`: numbers, or bytes
            for words.

        Raises:
            CsdError: If they do not fit together.
        """
        parts = [self._read_entry(group) for group in self.entries[video]]
        try:
            intervals, features = map(np.concatenate, zip(*parts, strict=True))
        except ValueError as error:
            raise CsdError(f"{self.path}: the segments of {video} do not fit together ({error}).") from None
        return intervals, features

    def _read_entry(self, group) -> tuple[np.ndarray, np.ndarray]:
        values = []
        for name in ("intervals", "features"):
            dataset = self.child(group, name, self.h5py.Dataset)
            if dataset.dtype.kind not in "fiuS" or dataset.ndim not in (1, 2):
                raise CsdError(
                    f"{self.path}: expected numbers or text of rank 2 at {dataset.name}, found {dataset.dtype} of shape "
                    f"{dataset.shape}."
                )
            if dataset.nbytes > MAX_VIDEO_BYTES:
                raise CsdError(
                    f"{self.path}: refused {dataset.name}, which claims {dataset.nbytes} bytes for one video."
                )
            try:
                values.append(np.atleast_2d(dataset[()]))
            except OSError as error:
                raise CsdError(f"{self.path}: {dataset.name} cannot be read ({error}); download it again.") from error
        intervals, features = values
        if intervals.shape != (len(features), 2) or intervals.dtype.kind == "S" or not np.isfinite(intervals).all():
            raise CsdError(
                f"{self.path}: expected a start and an end for each of {len(features)} steps in {group.name}, found shape "
                f"{intervals.shape}."
            )
        return intervals.astype(np.float64), features


def in_time(intervals: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps sorted by when they begin."""
    order = np.argsort(intervals[:, 0], kind="stable")
    return intervals[order], features[order]


def overlapping(intervals: np.ndarray, start: float, end: float) -> np.ndarray:
    """Which of `intervals` `(steps, 2)` share more than an instant with a stretch of time."""
    return np.minimum(intervals[:, 1], end) - np.maximum(intervals[:, 0], start) > EPSILON_SECONDS


def mean_of_words(words: np.ndarray, intervals: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, int]:
    """The mean of a feature over each word, as the SDK aligns: every step that overlaps the word counts once, in full.

    A number that is not finite counts as 0, as in the pickles made with the SDK.

    Args:
        words (`np.ndarray` of shape `(num_words, 2)`): start and end of each word in seconds.
        intervals (`np.ndarray` of shape `(steps, 2)`): start and end of each step in seconds.
        features (`np.ndarray` of shape `(steps, size)`): numbers.

    Returns:
        `tuple[np.ndarray, int]`: means `(num_words, size)` in float32, NaN (missing) for a word without a step; and how many
        numbers were not finite.
    """
    finite = np.isfinite(features)
    features = np.where(finite, features, 0)
    means = np.full((len(words), features.shape[1]), np.nan, np.float32)
    num_broken = 0
    for index, (start, end) in enumerate(words):
        inside = overlapping(intervals, start, end)
        if inside.any():
            means[index] = features[inside].mean(axis=0, dtype=np.float64)
            num_broken += int((~finite[inside]).sum())
    return means, num_broken
