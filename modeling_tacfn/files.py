# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Files and folders that are whole or not there: written beside their place, then put into it."""

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


_LINE_LENGTH = 200


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A name to write to; what is there replaces `path` when the block ends, and is thrown away if the block fails.

    Args:
        path (`str` or `os.PathLike`): the file to make or replace. Its folder is made if need be.

    Returns:
        `Iterator[Path]`: a name in the same folder, with the same suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """An empty folder to fill; it becomes `path` when the block ends, and is thrown away if the block fails.

    Args:
        path (`str` or `os.PathLike`): the folder to make. It may be there if it is empty.

    Returns:
        `Iterator[Path]`: a folder beside it.

    Raises:
        OSError: there is a file at `path`, or a folder that holds something.
    """
    path = Path(path).absolute()
    if path.exists() and not (path.is_dir() and next(path.iterdir(), None) is None):
        raise OSError(f"{path}: expected a name that is free or an empty folder; choose another, or empty it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rmdir()  # a rename onto an empty folder is refused on some systems
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def save_json_atomic(path: str | os.PathLike, value: Any) -> None:
    """Save as JSON; if the disk is full, or `value` cannot be saved, the file that was there stays whole.

    Args:
        path (`str` or `os.PathLike`): the file to make or replace.
        value (`Any`): plain values, or numpy's; a number that is not finite becomes null, which every reader understands.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(_layout(_plain(value)) + "\n", encoding="utf-8")


def _layout(value: Any, indent: str = "") -> str:
    """JSON with whatever is short on one line, so that thousands of predictions stay readable."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(text) <= _LINE_LENGTH or not isinstance(value, (dict, list)):
        return text
    inner = indent + "  "
    if isinstance(value, list):
        items, brackets = [_layout(item, inner) for item in value], "[]"
    else:
        items, brackets = (
            [f"{json.dumps(key, ensure_ascii=False)}: {_layout(item, inner)}" for key, item in value.items()],
            "{}",
        )
    return f"{brackets[0]}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{brackets[1]}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return os.fspath(value) if isinstance(value, os.PathLike) else value
