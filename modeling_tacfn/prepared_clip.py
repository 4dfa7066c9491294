# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Prepared clips that are read when they are asked for, so that memory does not grow with the corpus."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np


# Bytes of arrays that are remembered: a corpus of features is read once, one of pictures flows through.
ROOM = 2 * 2**30


class PreparedClip(Mapping):
    """
    The arrays of one clip by their names (`input_features`, `crops`, `feature/<name>`), each made when it is asked for.

    Args:
        makers (`Mapping[str, Callable]`): gives each array.
    """

    def __init__(self, makers: Mapping[str, Callable[[], np.ndarray]]):
        self._makers = dict(makers)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "PreparedClip":
        """A clip of arrays that are there already."""
        return cls({name: partial(_itself, array) for name, array in arrays.items()})

    def __getitem__(self, name: str) -> np.ndarray:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __contains__(self, name: object) -> bool:
        return name in self._makers  # without making it

    def __or__(self, arrays: Mapping[str, np.ndarray]) -> "PreparedClip":
        """The clip with other arrays in the place of its own, or beside them."""
        added = arrays if isinstance(arrays, PreparedClip) else PreparedClip.of(arrays)
        return PreparedClip(self._makers | added._makers)

    def only(self, names: Iterable[str]) -> "PreparedClip":
        """The clip without the arrays that are not named."""
        kept = set(names)
        return PreparedClip({name: make for name, make in self._makers.items() if name in kept})

    def changed(self, changes: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> "PreparedClip":
        """The clip with what a function makes of an array in its place; functions for arrays that it lacks are ignored."""
        made = {name: partial(_changed, self._makers[name], changes[name]) for name in changes if name in self._makers}
        return PreparedClip(self._makers | made)


def _itself(array: np.ndarray) -> np.ndarray:
    return array


def _changed(make: Callable[[], np.ndarray], change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return change(make())


class ClipReader:
    """
    Reads the arrays of prepared clips, and remembers them while there is room.

    What came first stays: of clips that are read over and over in changing order, throwing away the oldest would help no more.

    Args:
        room (`int`, *optional*): bytes of arrays that are remembered.
    """

    def __init__(self, room: int | None = None):
        self.room = ROOM if room is None else room
        self._arrays: dict[tuple, np.ndarray] = {}

    def clip(self, source: Path | Callable, names: Iterable[str] | None = None) -> PreparedClip:
        """
        The clip in what `prepare_clips` wrote.

        Args:
            source (`Path` or `Callable`): the file, or what opens its content.
            names (`Iterable[str]`, *optional*): what is in it, where that is known without opening it.
        """
        if names is None:
            with _opened(source) as arrays:
                names = arrays.files
        return PreparedClip({name: partial(self.read, source, name) for name in names})

    def read(self, source: Path | Callable, name: str) -> np.ndarray:
        """One array of a clip."""
        if (source, name) in self._arrays:
            return self._arrays[source, name]
        with _opened(source) as arrays:
            array = arrays[name]
        if array.nbytes <= self.room:
            self.room -= array.nbytes
            self._arrays[source, name] = array
        return array

    def __getstate__(self) -> dict:
        # Processes that read clips remember their own.
        return {"room": self.room + sum(array.nbytes for array in self._arrays.values()), "_arrays": {}}


def _opened(source: Path | Callable):
    return np.load(source() if callable(source) else source, allow_pickle=False)


__all__ = ["ClipReader", "PreparedClip"]
