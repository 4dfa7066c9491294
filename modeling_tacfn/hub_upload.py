# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Files into a repository of the Hub: those that are named and no others, in one commit, private unless asked otherwise.

One commit, and not the several of `upload_folder` or `upload_large_folder`, so that nobody ever loads half of a model or of a
corpus. A push that was cut off is taken up again all the same: large files are kept by their content as each arrives, and those
that are there are not sent again.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from . import __version__


_SECRET = re.compile(r"hf_[A-Za-z0-9]{16,}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NO_SPACE = (402, 413, 507)
_HTTP_ERROR = HfHubHTTPError.__bases__[0]  # of whichever httpx the client brings along
AGAIN = "Run the same again: what has arrived is not sent a second time."


class HubError(OSError):
    """A push that failed, and what to do about it."""


@dataclass(frozen=True)
class Pushed:
    """
    What a push did.

    Args:
        repo_id (`str`): owner and name.
        url (`str`): where people see it.
        commit (`str`): what to pin as `revision`.
        is_new (`bool`): whether anything changed; if not, `commit` is the last one.
        is_private (`bool`): whether only its owner sees it.
        files (`tuple[str, ...]`): what the repository holds of ours now.
        notes (`tuple[str, ...]`): what was changed or left out on the way.
    """

    repo_id: str
    url: str
    commit: str
    is_new: bool
    is_private: bool
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        seen = "private" if self.is_private else "public"
        done = (
            f"{len(self.files)} files, {seen}" if self.is_new else f"nothing has changed since the last push, {seen}"
        )
        return "\n".join([f"{self.url}: {done}; revision {self.commit}", *(f"  {note}" for note in self.notes)])


def push_files(
    files: Mapping[str, Path | bytes],
    repo_id: str,
    repo_type: str,
    message: str,
    is_ours: Callable[[str], bool],
    private: bool = True,
    revision: str | None = None,
    token: str | None = None,
    notes: tuple[str, ...] = (),
) -> Pushed:
    """
    Make a repository hold these files, in one commit, or none if it holds them already.

    Args:
        files (`Mapping[str, Path | bytes]`): names in the repository, and what is to be in them.
        repo_id (`str`): owner and name; a name alone is one of your own.
        repo_type (`str`): `"model"`, `"dataset"`, or `"space"` for an app made with Gradio.
        message (`str`): of the commit.
        is_ours (`Callable`): which files of the repository are left out if `files` does not name them, as shards of an earlier push
            would be. Others stay.
        private (`bool`, *optional*, defaults to `True`): whether a repository that is made now is seen by its owner alone.
        revision (`str`, *optional*): branch to push to, made if need be; the main one if not given.
        token (`str`, *optional*): right to write; that of `hf auth login` or `HF_TOKEN` if not given.

    Returns:
        [`Pushed`]

    Raises:
        HubError: nothing was changed in the repository; says why and what to do.
    """
    token = check_target(repo_id, revision, token)
    api = HfApi(token=token, library_name="modeling_tacfn", library_version=__version__)
    with explained(repo_id, token):
        if "/" not in repo_id:
            repo_id = f"{api.whoami()['name']}/{repo_id}"
        try:
            is_private = bool(api.repo_info(repo_id, repo_type=repo_type).private)
        except RepositoryNotFoundError:
            sdk = "gradio" if repo_type == "space" else None
            api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=sdk)
            is_private = private
        # Whoever did not ask for the public must not find himself before it.
        if private and not is_private:
            raise HubError(
                f"{repo_id} is there already and public: expected a private repository. Say that it may be public (--public), or "
                "choose another name."
            )
        if is_private and not private:
            notes += ("It was private before, and stays so; its settings on the Hub make it public.",)
        before = _head(api, repo_id, repo_type, revision)
        present = api.list_repo_files(repo_id, repo_type=repo_type, revision=before)
        gone = sorted(name for name in present if is_ours(name) and name not in files)
        operations = [CommitOperationAdd(name, content) for name, content in sorted(files.items())]
        commit = api.create_commit(
            repo_id,
            operations + [CommitOperationDelete(name) for name in gone],
            commit_message=message,
            repo_type=repo_type,
            revision=revision,
            parent_commit=before,
        ).oid
    prefix = "" if repo_type == "model" else f"{repo_type}s/"
    url = f"{api.endpoint}/{prefix}{repo_id}"
    return Pushed(repo_id, url, commit, commit != before, is_private, tuple(sorted(files)), notes)


def _head(api: HfApi, repo_id: str, repo_type: str, revision: str | None) -> str:
    """The last commit of the branch, which is made if it is not there."""
    try:
        return api.repo_info(repo_id, repo_type=repo_type, revision=revision).sha
    except RevisionNotFoundError:
        api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        return api.repo_info(repo_id, repo_type=repo_type, revision=revision).sha


def check_target(repo_id: str, revision: str | None = None, token: str | None = None) -> str:
    """What can be known to fail before anything is sent; returns the token."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"{repo_id!r}: expected owner/name, such as someone/tacfn-ravdess ({error}).") from error
    if revision is not None and _COMMIT.fullmatch(revision):
        raise HubError(f"expected the name of a branch to push to, got the commit {revision}: commits never change.")
    token = token or get_token()
    if not token:
        raise HubError(
            f"{repo_id}: expected a token of the Hub with the right to write, found none. Run `hf auth login`, or set HF_TOKEN."
        )
    return token


def without_secrets(text: str, token: str | None = None) -> str:
    """The text, without the token or whatever else looks like one."""
    return _SECRET.sub("hf_…", text.replace(token, "hf_…") if token else text)


def holds_secret(text: str) -> bool:
    """Whether a text holds what looks like a token of the Hub."""
    return _SECRET.search(text) is not None


@contextmanager
def explained(repo_id: str, token: str | None = None) -> Iterator[None]:
    """What goes wrong between here and the Hub becomes a [`HubError`] that names the repository and the remedy."""
    try:
        yield
    except HubError:
        raise
    # Threads that send files wrap what happened to them, and hf_xet speaks in errors of its own.
    except (OSError, RuntimeError, ValueError, _HTTP_ERROR) as error:
        raise HubError(without_secrets(f"{repo_id}: {_reason(error)}", token)) from None


def _reason(error: BaseException) -> str:
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so that nothing can be sent. Unset it."
    if isinstance(error, HfHubHTTPError):
        status, said = error.response.status_code, error.server_message or ""
        first = said.strip().partition("\n")[0]
        if status in _NO_SPACE or "storage" in said.lower():
            return f"there is no space left for it on the Hub ({first or status}). Make room or take another account. {AGAIN}"
        if isinstance(error, RepositoryNotFoundError) or status == 401:
            return (
                "the Hub knows no such repository, or does not accept the token. Check the name, and log in again with "
                "`hf auth login`."
            )
        if status == 403:
            return (
                f"the token has no right to write there ({first or 'forbidden'}). Take a token with the role write and a "
                "repository of your own: https://huggingface.co/settings/tokens."
            )
        if status == 412:
            return f"somebody else changed the repository meanwhile. {AGAIN}"
        return f"the Hub answered {status} ({first or 'no reason given'}). {AGAIN}"
    first = " ".join(str(error).split()[:40]) or type(error).__name__
    if isinstance(error, (_HTTP_ERROR, ConnectionError, TimeoutError)):
        return f"the connection to the Hub was cut, or there is none ({first}). {AGAIN}"
    return f"it could not be pushed ({first})."


__all__ = ["HubError", "Pushed", "push_files"]
