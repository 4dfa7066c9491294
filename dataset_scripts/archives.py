# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Zip archives of a corpus, unpacked once into a cache. An archive is hostile until its members have been looked at."""

import json
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock


# Far more than any archive of a corpus holds: RAVDESS's largest unpack to 2 GB, to less than ten times their size.
MAX_BYTES = 32 * 2**30
MAX_RATIO = 100
CHUNK_BYTES = 2**20
RECORD = ".archive.json"


class ArchiveError(ValueError):
    """An archive is damaged, encrypted or too large; the message names it, what is wrong, and a remedy."""


def plan_extraction(archive: Path, wanted: Callable[[str], bool]) -> tuple[dict[str, zipfile.ZipInfo], dict[str, str]]:
    """Look at what is in an archive, without unpacking anything.

    Args:
        archive (`Path`): a zip file.
        wanted (`Callable[[str], bool]`): tells from a member's name, without its folders, whether it is part of the corpus.

    Returns:
        `tuple`: the wanted members by their path inside of the archive, and why others that are wanted are left out: a path
        that leads out of the folder, a link, a second member of the same name.

    Raises:
        ArchiveError: If it is no whole zip file, or a wanted member is encrypted.
    """
    with _damage_named(archive), zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
    members: dict[str, zipfile.ZipInfo] = {}
    skipped: dict[str, str] = {}
    for info in infos:
        # Some programs write Windows' separators; `zipfile` leaves them as they are on other systems.
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if info.is_dir() or "__MACOSX" in path.parts or not wanted(path.name):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        where = f"{info.filename} in {archive}"
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in str(path):
            skipped[where] = "its path leads out of the archive's folder"
        elif kind not in (0, stat.S_IFREG):
            skipped[where] = "a link or a device, not a file"
        elif str(path) in members:
            skipped[where] = "the archive holds a second file of this name"
        elif info.flag_bits & 0x1:
            raise ArchiveError(
                f"{archive}: expected an archive that needs no password, {info.filename} is encrypted. Get it from where the "
                "corpus is published."
            )
        else:
            members[str(path)] = info
    return members, skipped


def extract_archive(
    archive: Path,
    members: dict[str, zipfile.ZipInfo],
    target: Path,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
) -> None:
    """Unpack members of an archive into a folder, unless they are there already.

    Safe to interrupt (the folder appears whole or not at all) and to run in two processes at once. An archive of another
    size or time is unpacked again. The files carry the archive's time, so that unpacking twice gives the same files.

    Args:
        archive (`Path`): a zip file.
        members (`dict[str, zipfile.ZipInfo]`): what `plan_extraction` found in it.
        target (`Path`): the folder to make; nothing else may live in it.
        max_bytes (`int`, *optional*): most bytes that the members may hold together.
        max_ratio (`float`, *optional*): how many times the archive's size that may be.

    Raises:
        ArchiveError: If it is damaged, or says or turns out to hold more than it may.
        OSError: If the disk has not enough space.
    """
    # The package brings torch along: only who unpacks something waits for that.
    from modeling_tacfn.files import atomic_folder

    status = archive.stat()
    record = {
        "archive": [str(archive), status.st_size, status.st_mtime_ns],
        "members": {name: info.file_size for name, info in members.items()},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if _is_extracted(target, record):
            return
        total = sum(record["members"].values())
        if total > min(max_bytes, max_ratio * status.st_size):
            raise ArchiveError(
                f"{archive}: expected at most {max_bytes:,} bytes of content, and at most {max_ratio:g} times the "
                f"{status.st_size:,} bytes of the archive, it holds {total:,}. It is not unpacked; get the archive from where "
                "the corpus is published."
            )
        # What an interrupted or an older extraction left makes place first.
        for leftover in (target, *target.parent.glob(f".{target.name}.*")):
            if leftover.is_dir():
                shutil.rmtree(leftover)
        check_space(target.parent, total, f"to unpack {archive.name}")
        with atomic_folder(target) as temporary, _damage_named(archive), zipfile.ZipFile(archive) as opened:
            for name, info in members.items():
                _write_member(opened, info, temporary / name)
                os.utime(temporary / name, ns=(status.st_mtime_ns, status.st_mtime_ns))
            (temporary / RECORD).write_text(json.dumps(record), encoding="utf-8")


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse to begin what the disk has no space for.

    Raises:
        OSError: If fewer than `needed` bytes are free where `folder` is.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"Expected {needed:,} free bytes in {folder} {purpose}, found {free:,}. Make space, or choose another folder."
        )


def _is_extracted(target: Path, record: dict) -> bool:
    try:
        if json.loads((target / RECORD).read_text(encoding="utf-8")) != record:
            return False
        return all((target / name).stat().st_size == size for name, size in record["members"].items())
    except (OSError, ValueError):
        return False


def _write_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Write one member; its checksum is compared at its end, and what it holds beyond its declared size is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(info) as source, path.open("wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            written += len(chunk)
            if written > info.file_size:
                break
            sink.write(chunk)
    if written != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} says that it holds {info.file_size:,} bytes, and does not")


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(
            f"{archive}: expected a whole zip archive, it is cut off or damaged ({error}). Download it again, or take it out "
            "of the folder."
        ) from error
