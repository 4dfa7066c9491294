# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The folder of a Gradio app becomes a Space of the Hub."""

import ast
import os
import re
from pathlib import Path

import yaml

from .hub import CARD, shareable
from .hub_upload import Pushed, push_files


APP = "app.py"
SETTINGS = ("requirements.txt", "packages.txt", "LICENSE")
EXAMPLES = re.compile(r"examples/[\w-][\w.-]*\.(mp4|webm|mov|wav|flac|mp3|jpg|png)")


def push_space(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    private: bool = True,
    revision: str | None = None,
    token: str | None = None,
) -> Pushed:
    """
    Push the folder of a Gradio app to the Hub: the app, the files beside it that it imports, what it needs, its examples.

    Args:
        folder (`str` or `Path`): holds `app.py`, `README.md` with `sdk: gradio` in its header, and `requirements.txt`.
        repo_id (`str`): owner and name on the Hub.
        private (`bool`, *optional*, defaults to `True`): whether a Space that is made now is seen by its owner alone.
        revision (`str`, *optional*): branch to push to, made if need be; the main one if not given.
        token (`str`, *optional*): right to write; that of `hf auth login` or `HF_TOKEN` if not given.

    Returns:
        [`Pushed`]

    Raises:
        ValueError: the folder is not that of a Gradio app, or holds something that must not be seen.
        HubError: it could not be pushed, and nothing was changed on the Hub.
    """
    folder = Path(folder)
    missing = [name for name in (APP, CARD, SETTINGS[0]) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder}: expected the folder of a Gradio app; missing: {', '.join(missing)}.")
    check_header(folder / CARD)
    files, notes = {}, []
    for name in files_of_app(folder):
        files[name], note = shareable(name, folder / name)
        notes += note
    message = "Push an app with modeling_tacfn"
    return push_files(files, repo_id, "space", message, is_ours, private, revision, token, tuple(notes))


def check_header(card: Path) -> None:
    """Refuse a card that the Hub would not know an app by."""
    parts = card.read_text(encoding="utf-8").split("---\n", 2)
    try:
        header = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    except yaml.YAMLError:
        header = None
    if not isinstance(header, dict) or header.get("sdk") != "gradio":
        raise ValueError(f"{card}: expected a YAML header with `sdk: gradio`, which tells the Hub how to run the app.")


def files_of_app(folder: Path) -> list[str]:
    """Everything of an app's folder that goes to the Hub, by name; whatever is not named here stays."""
    found, waiting = [], {APP}
    while waiting:
        name = waiting.pop()
        if name in found or not (folder / name).is_file():
            continue
        found.append(name)
        for node in ast.walk(ast.parse((folder / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                waiting |= {f"{alias.name.split('.')[0]}.py" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting.add(f"{node.module.split('.')[0]}.py")
    settings = [name for name in (CARD, *SETTINGS) if (folder / name).is_file()]
    examples = [f"examples/{path.name}" for path in (folder / "examples").glob("*") if path.is_file()]
    return sorted([*found, *settings, *(name for name in examples if EXAMPLES.fullmatch(name))])


def is_ours(name: str) -> bool:
    """Whether a file of a Space is replaced as a whole by a push."""
    return name in (APP, *SETTINGS) or EXAMPLES.fullmatch(name) is not None


__all__ = ["push_space"]
