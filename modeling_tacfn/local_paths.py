# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Paths of this machine become bare names: what others read has no use for them, and they are nobody's business."""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any


# The end of a path that begins at the root of a disk, on this system or another; not that of a URL or of a closing HTML tag.
_END = r"[^\s'\"`/\\:,;<>(){}\[\]]"
_ABSOLUTE_PATH = re.compile(
    rf"(?<![\w.:/\\~<-])(?:file://)?(?:~?/|[A-Za-z]:[/\\])(?:(?:{_END}+[/\\])+({_END}+)|({_END}{{2,}}))[/\\]?"
)


def without_paths(text: str) -> tuple[str, int]:
    """The text with the last name of each absolute path in its place, and how many there were."""
    return _ABSOLUTE_PATH.subn(lambda match: match[1] or match[2], text)


def without_paths_in(value: Any, key: str = "") -> tuple[Any, int]:
    """
    The same for all texts in what JSON holds, and how many paths there were.

    A text that is a path as a whole may have spaces in it, and so may a word of what stands under `command`.
    """
    if isinstance(value, Mapping):
        parts = {name: without_paths_in(item, name) for name, item in value.items()}
        return {name: item for name, (item, _) in parts.items()}, sum(count for _, count in parts.values())
    if isinstance(value, list | tuple):
        items = [without_paths_in(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    if not isinstance(value, str):
        return value, 0
    if key == "command":
        try:
            words = [_word(word) for word in shlex.split(value)]
        except ValueError:  # quotes that nobody closes
            return _word(value)
        count = sum(number for _, number in words)
        return (shlex.join(word for word, _ in words), count) if count else (value, 0)
    return _word(value)


def _word(text: str) -> tuple[str, int]:
    path = text.removeprefix("file://")
    if "\n" not in text:
        if PureWindowsPath(path).drive and PureWindowsPath(path).root and PureWindowsPath(path).name:
            return PureWindowsPath(path).name, 1
        if (os.path.isabs(path) or path.startswith("~/")) and Path(path).name:
            return Path(path).name, 1
    return without_paths(text)


__all__ = ["without_paths", "without_paths_in"]
