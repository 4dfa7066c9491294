# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The demo becomes a Space of the Hub that answers with networks of the Hub."""

from pathlib import Path

from huggingface_hub import RepoCard

from .hub import PACKAGE
from .hub_upload import HubError, Pushed, push_files


APP = PACKAGE.parent / "space"
APP_FILES = ("app.py", "README.md", "requirements.txt")
# What of the package is no code of its own; the code is all of its modules.
PACKAGE_DATA = ("model_card_template.md", "demo_examples/*")


def push_space(
    repo_id: str,
    models: list[str],
    *,
    private: bool = True,
    revision: str | None = None,
    token: str | None = None,
) -> Pushed:
    """
    Push the demo to the Hub: the app of the folder `space`, and this package beside it.

    Args:
        repo_id (`str`): owner and name of the Space.
        models (`list[str]`): networks on the Hub that it answers with; its page links to them, and theirs to it.
        private (`bool`, *optional*, defaults to `True`): whether a Space that is made now is seen by its owner alone.
        revision (`str`, *optional*): branch to push to, made if need be; the main one if not given.
        token (`str`, *optional*): right to write; that of `hf auth login` or `HF_TOKEN` if not given.

    Returns:
        [`Pushed`]

    Raises:
        HubError: it could not be pushed, and nothing was changed on the Hub; or this package was installed without the folder
            `space`, which only a checkout has.
    """
    files = space_files(models)
    message = "Push the demo with modeling_tacfn"
    return push_files(files, repo_id, "space", message, is_ours, private, revision, token)


def space_files(models: list[str]) -> dict[str, Path | bytes]:
    """Everything that goes into the Space, by name."""
    missing = [name for name in APP_FILES if not (APP / name).is_file()]
    if missing:
        raise HubError(
            f"{APP}: expected the app of the demo there, which a checkout of this project has; missing: {', '.join(missing)}. "
            "Install from a checkout: pip install -e ."
        )
    card = RepoCard((APP / "README.md").read_text(encoding="utf-8"), ignore_metadata_errors=True)
    card.data.models = models
    package = [path for pattern in ("*.py", *PACKAGE_DATA) for path in PACKAGE.glob(pattern) if path.is_file()]
    return {
        **{name: APP / name for name in APP_FILES},
        "README.md": str(card).encode(),
        **{f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}": path for path in sorted(package)},
    }


def is_ours(name: str) -> bool:
    """Whether a file of the Space is replaced as a whole by a push."""
    return name in APP_FILES or name.startswith(f"{PACKAGE.name}/")


__all__ = ["push_space"]
