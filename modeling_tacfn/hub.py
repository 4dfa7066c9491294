# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A trained network becomes a repository of the Hub, and only that of its folder which others need to use and to judge it."""

import ast
import json
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from .files import save_json_atomic
from .hub_upload import HubError, Pushed, check_target, holds_secret, push_files
from .local_paths import without_paths, without_paths_in
from .model_card import save_model_card


PACKAGE = Path(__file__).parent
CONFIG, PROCESSOR, CARD = "config.json", "processor_config.json", "README.md"
RECORDS = ("results.json", "training_arguments.json")
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
PICTURES = re.compile(r"(learning_curve|estimates|confusion_matrix(_[\w-]+)?)\.png")
SHOWN = re.compile(r"!\[[^\]]*\]\(([\w.-]+\.(?:png|svg|jpg))\)")


def push_model(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    private: bool = True,
    revision: str | None = None,
    run: str | None = None,
    token: str | None = None,
) -> Pushed:
    """
    Push a trained network to the Hub: weights, configuration, processor, the code that travels with them, scores and card.

    Checkpoints, logs and whatever else lies in the folder stay here ([`files_to_push`] is the list). Paths of this machine in
    the records of the training become bare names in what is pushed. Pushed again without a change, nothing is committed.

    Args:
        folder (`str` or `Path`): what train.py or `save_pretrained` wrote.
        repo_id (`str`): owner and name on the Hub, such as `someone/tacfn-ravdess`.
        private (`bool`, *optional*, defaults to `True`): whether a repository that is made now is seen by its owner alone.
        revision (`str`, *optional*): branch to push to, made if need be; the main one if not given.
        run (`str`, *optional*): which run of several, such as `fold_0_seed_0`.
        token (`str`, *optional*): right to write; that of `hf auth login` or `HF_TOKEN` if not given.

    Returns:
        [`Pushed`]: with the commit to pin as `revision`.

    Raises:
        ValueError: the folder is no trained network, holds several, or something that must not be seen.
        HubError: it could not be pushed, and nothing was changed on the Hub.
    """
    folder = chosen_run(Path(folder), run)
    check_target(repo_id, revision, token)
    files_to_push(folder)  # what nobody could use gets no card
    save_model_card(folder, repo_id)
    notes, files = [], {}
    for name, path in files_to_push(folder).items():
        files[name], note = shareable(name, path)
        notes += note
    if not any(name.endswith(".py") for name in files):
        notes.append("Its code does not travel along: it loads where modeling_tacfn is installed.")
    message = "Push a network with modeling_tacfn"
    return push_files(files, repo_id, "model", message, is_ours, private, revision, token, tuple(notes))


def chosen_run(folder: Path, run: str | None = None) -> Path:
    """The folder of one trained network; a ValueError if it is none, or if it is not said which of several."""
    runs = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
    if run is not None:
        if run not in runs:
            raise ValueError(f"{folder} holds no run {run!r}; it holds {', '.join(runs) or 'none'}.")
        folder, runs = folder / run, []
    if not (folder / CONFIG).is_file():
        if runs:
            raise ValueError(
                f"{folder} holds {len(runs)} trained networks, and a repository holds one. Say which: --run {runs[0]}"
                + (f", … {runs[-1]}." if runs[1:] else ".")
            )
        raise ValueError(
            f"{folder}: expected a folder that train.py or save_pretrained wrote, found no {CONFIG} in it."
        )
    return folder


def files_to_push(folder: Path) -> dict[str, Path]:
    """
    Everything of a network's folder that goes to the Hub, by name; whatever is not named here stays.

    Raises:
        ValueError: something is missing or damaged that nobody could use the network without.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    weights = [name for name in names if WEIGHTS.fullmatch(name)]
    missing = [name for name in (CONFIG, PROCESSOR) if name not in names] + ["model.safetensors"] * (not weights)
    if missing:
        raise ValueError(
            f"{folder}: expected a network and its processor, as train.py or save_pretrained of both writes them; missing: "
            f"{', '.join(missing)}."
        )
    for name in weights:
        check_weights(folder / name)
    pictures = [name for name in names if PICTURES.fullmatch(name)]
    if CARD in names:
        shown = SHOWN.findall((folder / CARD).read_text(encoding="utf-8"))
        pictures += [name for name in names if name in shown]
    records = [name for name in (CARD, *RECORDS) if name in names]
    chosen = [CONFIG, PROCESSOR, *weights, *records, *pictures]
    return {name: folder / name for name in chosen} | shipped_code(folder)


def check_weights(path: Path) -> None:
    """Refuse weights that are cut short, before anybody has them."""
    if path.suffix != ".safetensors":
        return
    try:
        with safe_open(path, "pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: expected whole weights, but they cannot be read ({error}). Train or copy it again."
        ) from error


def shipped_code(folder: Path) -> dict[str, Path]:
    """
    Files that the classes named in the configurations are in, and what these import of each other.

    A folder may leave all of it out, as one that is kept under version control does: then it is that of this package.
    """
    found, waiting = {}, set()
    for name in (CONFIG, PROCESSOR):
        # With two dashes it names a repository, which the code stays in.
        places = [place for place in _auto_map(_read_json(folder / name)) if "--" not in place]
        waiting |= {f"{place.partition('.')[0]}.py" for place in places}
    home = folder if any((folder / name).is_file() for name in waiting) else PACKAGE
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if not (home / name).is_file():
            raise ValueError(
                f"{folder}: expected the code of the network beside it, but {name} is missing. Save it again."
            )
        found[name] = home / name
        tree = ast.parse((home / name).read_text(encoding="utf-8"))
        imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
        waiting |= {f"{module}.py" for module in imported if module}
    return found


def _auto_map(settings) -> list[str]:
    """The values of every `auto_map`, however deep: parts of a processor have their own."""
    if isinstance(settings, list):
        return [place for item in settings for place in _auto_map(item)]
    if not isinstance(settings, dict):
        return []
    places = [place for key, item in settings.items() if key != "auto_map" for place in _auto_map(item)]
    named = settings.get("auto_map") or {}
    return places + [place for place in named.values() if isinstance(place, str)]


def _read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, but it cannot be read ({error}). Train or copy it again.") from error


def shareable(name: str, path: Path) -> tuple[Path | bytes, list[str]]:
    """What of a file may be seen by others, and what was done to it."""
    if path.suffix not in (".json", ".md"):
        return path, []
    text = path.read_text(encoding="utf-8")
    if holds_secret(text):
        raise ValueError(
            f"{path} holds what looks like a token of the Hub. Take it out, and revoke the token: others may have read it."
        )
    if path.suffix == ".md":
        clean, count = without_paths(text)
    else:
        value, count = without_paths_in(_read_json(path))
        clean = _as_saved(value)
    if not count:
        return path, []
    return clean.encode(), [f"{name}: {count} path{'s' * (count > 1)} of this machine became bare names."]


def _as_saved(value) -> str:
    with tempfile.TemporaryDirectory(prefix="tacfn-") as folder:
        save_json_atomic(Path(folder, "value.json"), value)
        return Path(folder, "value.json").read_text(encoding="utf-8")


def is_ours(name: str) -> bool:
    """Whether a file of a repository is replaced as a whole by a push, so that none is left of another network's."""
    fixed = (CONFIG, PROCESSOR, *RECORDS)
    is_code = name.endswith(".py") and "/" not in name and (PACKAGE / name).is_file()
    return name in fixed or is_code or bool(WEIGHTS.fullmatch(name) or PICTURES.fullmatch(name))


def push_after_training(folder: Path, repo_id: str, private: bool, revision: str | None = None) -> bool:
    """Push what a training left; whatever goes wrong is said, and how to try again, and nothing of the results is lost."""
    try:
        print(push_model(folder, repo_id, private=private, revision=revision))
    except Exception as error:  # whatever it is, hours of training end well
        again = ["tacfn", "push", str(folder), repo_id, *(["--revision", revision] if revision else [])]
        again += [] if private else ["--public"]
        print(
            f"The training is done and saved in {folder}, but it was not pushed: {error}\nTry again: {shlex.join(again)}",
            file=sys.stderr,
        )
        return False
    return True


__all__ = ["HubError", "Pushed", "push_model"]
