# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Files of a Zenodo record: fetched once, gone on with after a cut, compared with the published checksums.

`datasets.DownloadManager` neither goes on with a file that was cut off nor knows Zenodo's checksums, and the client that
`huggingface_hub` brings has another name from one version to the next; the standard library's is enough.
"""

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from datasets.utils import tqdm
from filelock import FileLock

from .archives import check_space


ZENODO = "https://zenodo.org"
# Names another server, a mirror or one on this machine.
ZENODO_VARIABLE = "TACFN_ZENODO_URL"
CHUNK_BYTES = 2**20
TIMEOUT_SECONDS = 60
LONGEST_WAIT_SECONDS = 60
# A server that answers one of these may answer otherwise later, or to another question.
PASSING_STATUS = (408, 416, 425, 429, 500, 502, 503, 504)
LONGEST_LISTING_BYTES = 2**24


class DownloadError(OSError):
    """A file could not be fetched; the message names it, what was expected, what came, and a remedy."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a record: its name, its address, its size in bytes and its MD5 checksum (hexadecimal)."""

    name: str
    url: str
    size: int
    md5: str


def zenodo_files(
    record: str, base_url: str | None = None, retries: int = 5, backoff_seconds: float = 1.0
) -> list[RemoteFile]:
    """List the files of a record, as Zenodo's interface tells them now (https://developers.zenodo.org).

    Args:
        record (`str`): number of the record.
        base_url (`str`, *optional*): the server; if not given, that of the environment variable `TACFN_ZENODO_URL`, or Zenodo.
        retries (`int`, *optional*, defaults to 5): how many times in a row the server may fail.
        backoff_seconds (`float`, *optional*, defaults to 1.0): the first wait; each further one is twice as long.

    Returns:
        `list[RemoteFile]`: in the order of the record.

    Raises:
        DownloadError: If the server cannot be reached or answers something else.
    """
    address = f"{(base_url or os.environ.get(ZENODO_VARIABLE) or ZENODO).rstrip('/')}/api/records/{record}"
    for failures in range(retries + 1):
        try:
            with _open(address) as response:
                content = response.read(LONGEST_LISTING_BYTES)
            break
        except (OSError, http.client.HTTPException) as error:
            _wait_or_give_up(error, f"a list of files from {address}", failures, retries, backoff_seconds)
    try:
        return [_remote_file(address, entry) for entry in json.loads(content)["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"Expected a list of files with their sizes and MD5 checksums from {address}, received something else "
            f"({type(error).__name__}: {error}). Look at the address in a browser; download the files by hand if need be."
        ) from error


def _remote_file(address: str, entry: dict) -> RemoteFile:
    name, size, checksum = entry["key"], entry["size"], entry["checksum"]
    if not re.fullmatch(r"\w[\w .+-]*", name) or not isinstance(size, int) or size < 1:
        raise ValueError(f"{name!r} of size {size!r}")
    if not re.fullmatch(r"md5:[0-9a-f]{32}", checksum):
        raise ValueError(f"the checksum {checksum!r}")
    # The address is made here, so that no answer can lead to another server or to a file of this machine.
    return RemoteFile(name, f"{address}/files/{urllib.parse.quote(name)}/content", size, checksum[4:])


def download_files(
    files: Iterable[RemoteFile], folder: Path, retries: int = 5, backoff_seconds: float = 1.0
) -> list[Path]:
    """Fetch files into a folder; those that are there, of the right size, are not fetched again.

    A file grows under the name `<name>.part` and gets its own when its checksum is right. What an interrupted call left is
    gone on with. A file that came damaged is fetched once more. Two processes may call this at once.

    Args:
        files (`Iterable[RemoteFile]`): what to fetch.
        folder (`Path`): where to; it is made if need be.
        retries (`int`, *optional*, defaults to 5): how many times in a row the server may fail to send anything new.
        backoff_seconds (`float`, *optional*, defaults to 1.0): the first wait; each further one is twice as long.

    Returns:
        `list[Path]`: the files, in the order given.

    Raises:
        DownloadError: If a file cannot be fetched, or comes damaged twice.
        OSError: If the disk has not enough space; nothing is fetched then.
    """
    files = list(files)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [remote for remote in files if _size(folder / remote.name) != remote.size]
    needed = sum(remote.size - min(_size(_part_of(remote, folder)), remote.size) for remote in missing)
    check_space(folder, needed, f"to download {len(missing)} files")
    for remote in missing:
        with FileLock(folder / f".{remote.name}.lock"):
            if _size(folder / remote.name) != remote.size:
                _download(remote, folder, retries, backoff_seconds)
    return [folder / remote.name for remote in files]


def _download(remote: RemoteFile, folder: Path, retries: int, backoff_seconds: float) -> None:
    part = _part_of(remote, folder)
    for _ in range(2):
        _fetch(remote, part, retries, backoff_seconds)
        with part.open("rb") as file:
            received = hashlib.file_digest(file, "md5").hexdigest()
        if received == remote.md5:
            os.replace(part, folder / remote.name)
            return
        part.unlink()
    raise DownloadError(
        f"Expected {remote.name} with the MD5 checksum {remote.md5}, twice received {received} from {remote.url}. Try again "
        "later, or download the file by hand."
    )


def _fetch(remote: RemoteFile, part: Path, retries: int, backoff_seconds: float) -> None:
    """Ask for what is missing of a file until all of it is there."""
    failures, furthest = 0, _size(part)
    with tqdm(total=remote.size, initial=furthest, unit="B", unit_scale=True, desc=remote.name) as bar:
        part.touch()
        while (start := _size(part)) != remote.size:
            error: Exception | None = None
            try:
                _receive(remote, part, start, bar)
            except (OSError, http.client.HTTPException) as caught:
                if isinstance(caught, DownloadError):
                    raise
                error = caught
            if _size(part) > furthest:
                failures, furthest = 0, _size(part)
            if _size(part) != remote.size:
                what = (
                    f"the {remote.size:,} bytes of {remote.name} from {remote.url} ({furthest:,} are kept in {part})"
                )
                _wait_or_give_up(error, what, failures, retries, backoff_seconds)
                failures += 1


def _receive(remote: RemoteFile, part: Path, start: int, bar) -> None:
    """Append what the server sends after the first `start` bytes; a cut connection ends it early, without an error."""
    try:
        response = _open(remote.url, start)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # More is here than there: begin anew.
            part.write_bytes(b"")
        raise
    with response, part.open("r+b") as file:
        goes_on = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
        # A server may send the whole file, whatever it was asked for.
        position = int(goes_on.group(1)) if response.status == http.HTTPStatus.PARTIAL_CONTENT and goes_on else 0
        if position not in (0, start):
            raise http.client.HTTPException(f"asked for the bytes from {start} on, received those from {position} on")
        file.seek(position)
        file.truncate()
        bar.update(position - bar.n)
        while chunk := response.read1(CHUNK_BYTES):
            if file.tell() + len(chunk) > remote.size:
                raise DownloadError(
                    f"Expected the {remote.size:,} bytes of {remote.name} that its record names, {remote.url} sends more. Try "
                    "again later, or download the file by hand."
                )
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise DownloadError(
                    f"{part} cannot be written ({error}). Make space, or choose another folder."
                ) from error
            bar.update(len(chunk))


def _open(url: str, start: int = 0) -> http.client.HTTPResponse:
    headers = {"User-Agent": "modeling_tacfn", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)


def _wait_or_give_up(error: Exception | None, what: str, failures: int, retries: int, backoff_seconds: float) -> None:
    """Sleep before another try; raise if the server's answer is final or it failed too often."""
    status = error.code if isinstance(error, urllib.error.HTTPError) else None
    final = status is not None and status not in PASSING_STATUS
    if final or failures >= retries:
        times = "" if final else f" after {failures + 1} tries in a row"
        raise DownloadError(
            f"Expected {what}, received {error or 'a connection that ends early'}{times}. Check the connection and the "
            "address, or download by hand."
        ) from error
    try:
        asked = float(error.headers.get("Retry-After", "")) if status else 0.0
    except ValueError:
        asked = 0.0
    time.sleep(min(max(backoff_seconds * 2**failures, asked), LONGEST_WAIT_SECONDS))


def _part_of(remote: RemoteFile, folder: Path) -> Path:
    return folder / f"{remote.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
