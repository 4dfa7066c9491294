# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Clips of a corpus decoded once and kept on disk under the address of their content."""

import hashlib
import json
import logging
import multiprocessing
import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm.auto import tqdm

from . import __version__
from .degradation import add_noise
from .face_tracks import read_face_track
from .media import MediaError
from .memory import keep_freed_memory
from .threads import take_one_thread


logger = logging.getLogger(__name__)

DEFAULT_CACHE = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "modeling_tacfn" / "prepared"
FEWEST_CLIPS_FOR_WORKERS = 32
# Rows may hold features: no more of a corpus is in memory at once.
ROWS_IN_MEMORY = 64


def preparation_settings(processor) -> dict:
    """What of a processor makes a prepared clip what it is."""
    settings = processor.to_dict()
    # These take place after the cache.
    for name in ("is_speaker_normalized", "speaker_prior"):
        settings.pop(name)
    settings["image_processor"].pop("do_flip_channel_order")
    # Written when it is saved; says where its code is, not what it does.
    for part in (settings, *(value for value in settings.values() if isinstance(value, dict))):
        part.pop("auto_map", None)
    return settings


def clip_key(row: dict, processor_settings: str) -> str:
    """Content address of one prepared clip: its files, its window, every number of the processor and our version."""
    content = [__version__, processor_settings, row.get("start_seconds"), row.get("end_seconds")]
    content += [_digest(name, values) for name, values in (row.get("features") or {}).items()]
    for column in ("noise_snr_db", "audio_offset_seconds", "frame_region"):
        if (value := row.get(column)) is not None:
            content.append({column: value})
    for column in ("video", "audio", "face_track"):
        if path := row.get(column):
            content.append(str(path))
            # A file that is gone has an address too: reading it says what is wrong.
            if os.path.exists(path):
                status = os.stat(path)
                content += [status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _digest(name: str, values) -> list:
    values = np.ascontiguousarray(values, np.float32)
    return [name, values.shape, hashlib.sha256(values).hexdigest()]


def read_rows(corpus, indices: Iterable[int]) -> Iterator[dict]:
    """The rows of a corpus one after the other, their features as float32 arrays; only `ROWS_IN_MEMORY` are held at once."""
    indices = list(indices)
    for start in range(0, len(indices), ROWS_IN_MEMORY):
        part = corpus.select(indices[start : start + ROWS_IN_MEMORY]).with_format("arrow")[:]
        features = part["features"] if "features" in part.column_names else [None] * len(part)
        plain = part.drop_columns(["features"]) if "features" in part.column_names else part
        for row, measured in zip(plain.to_pylist(), features, strict=True):
            yield row | {"features": _arrays(measured)}


def _arrays(measured) -> dict[str, np.ndarray] | None:
    """The features of one row, an arrow struct; one that the clip does not have is left out."""
    if measured is None or not measured.is_valid:
        return None
    return {name: _array(value) for name, value in measured.items() if value.is_valid}


def _array(value) -> np.ndarray:
    steps = value.values
    numbers = steps
    while hasattr(numbers, "flatten") and pa.types.is_nested(numbers.type):
        numbers = numbers.flatten()
    array = numbers.to_numpy(zero_copy_only=False).astype(np.float32)
    return array if numbers is steps else array.reshape(len(steps), -1)


def prepare_clip(row: dict, processor) -> dict[str, np.ndarray]:
    """
    Decode one row of a corpus into `input_features`, `crops` (uint8, real frames only) and `feature/<name>` arrays.

    A row with a `noise_snr_db` gives its sound alone, with white noise at that level in dB. A row with a `face_track` is
    cropped where that table says, not where a face is found.
    """
    face_boxes, start = None, row.get("start_seconds") or 0.0
    has_pictures = row.get("video") and processor.do_video
    if has_pictures and row.get("face_track") and processor.image_processor.do_face_crop:
        track = read_face_track(row["face_track"])

        def face_boxes(frame_seconds, frame_size):
            return track.boxes_at(frame_seconds + start, frame_size)

    features = {name: np.asarray(values, np.float32) for name, values in (row.get("features") or {}).items()}
    inputs = processor.read(
        video=row.get("video"),
        audio=row.get("audio"),
        features=features,
        start_seconds=row.get("start_seconds"),
        end_seconds=row.get("end_seconds"),
        audio_offset_seconds=row.get("audio_offset_seconds"),
        frame_region=row.get("frame_region"),
        face_boxes=face_boxes,
    )
    if row.get("noise_snr_db") is not None and inputs.has_sound:
        noisy = add_noise(inputs.waveform, row["noise_snr_db"], row["clip_id"])
        inputs = processor.read(audio=noisy, sampling_rate=inputs.sampling_rate)
    arrays = {f"feature/{name}": values for name, values in inputs.features.items()}
    if inputs.has_sound:
        extracted = processor.feature_extractor(inputs.waveform, inputs.sampling_rate, return_tensors="np")
        arrays["input_features"] = extracted["input_features"][0]
    if inputs.has_video:
        arrays["crops"] = inputs.crops[inputs.crops_valid]
    return arrays


def _prepare_to_disk(row: dict, target: Path, processor) -> str | None:
    """Write one prepared clip under a temporary name, then rename it; return what was wrong with the clip, if anything."""
    try:
        arrays = prepare_clip(row, processor)
    except MediaError as error:
        return str(error)
    handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return None


_worker_processor = None


def _start_worker(processor) -> None:
    global _worker_processor
    take_one_thread()
    keep_freed_memory()
    _worker_processor = processor


def _work(job: tuple[dict, Path]) -> str | None:
    return _prepare_to_disk(*job, _worker_processor)


def _work_ahead(pool: ProcessPoolExecutor, jobs: Iterable, ahead: int) -> Iterator[str | None]:
    """What `pool.map` gives, but a job is only made when its turn is near."""
    running = deque()
    for job in jobs:
        running.append(pool.submit(_work, job))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def prepare_clips(
    corpus, processor, cache_dir: str | Path | None = None, num_proc: int = 1
) -> tuple[list[int], list[Path]]:
    """
    Decode every clip once and keep it on disk, so that training opens no video.

    Safe to interrupt (finished clips are kept) and to run in two processes at once (a clip appears whole or not at all).

    Args:
        corpus (`datasets.Dataset`): a corpus in the shared schema.
        processor ([`TacfnProcessor`]): its settings are part of each clip's address.
        cache_dir (`str`, *optional*): defaults to `modeling_tacfn/prepared` in the Hugging Face cache.
        num_proc (`int`, *optional*, defaults to 1): worker processes.

    Returns:
        `tuple`: the indices of the readable rows, and their files. Unreadable clips are named in a warning.

    Raises:
        MediaError: if no clip at all could be read.
        RuntimeError: if a worker died, as those of a script without `if __name__ == "__main__":` do.
    """
    folder = Path(cache_dir or DEFAULT_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(preparation_settings(processor), sort_keys=True, default=str)
    targets = [folder / f"{clip_key(row, settings)}.npz" for row in read_rows(corpus, range(len(corpus)))]
    missing = [index for index, target in enumerate(targets) if not target.exists()]
    jobs = ((row, targets[index]) for row, index in zip(read_rows(corpus, missing), missing, strict=True))
    bar = {"total": len(missing), "desc": "Preparing clips", "unit": "clip", "disable": not missing}
    if num_proc > 1 and len(missing) >= FEWEST_CLIPS_FOR_WORKERS:
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(num_proc, context, _start_worker, (processor,)) as pool:
                problems = list(tqdm(_work_ahead(pool, jobs, 4 * num_proc), **bar))
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a process that prepares clips died: expected enough memory, and in a script of your own everything under "
                '`if __name__ == "__main__":`, because processes import the script. num_proc=1 does without them.'
            ) from error
    else:
        problems = [_prepare_to_disk(*job, processor) for job in tqdm(jobs, **bar)]
    broken = {index: problem for index, problem in zip(missing, problems, strict=True) if problem}
    if broken:
        listed = "\n".join(f"  {problem}" for problem in list(broken.values())[:10])
        logger.warning(f"{len(broken)} of {len(corpus)} clips cannot be read and are left out:\n{listed}")
    kept = [index for index in range(len(corpus)) if index not in broken]
    if not kept:
        raise MediaError(
            f"None of the {len(corpus)} clips could be read; the first: {next(iter(broken.values()), 'none')}"
        )
    return kept, [targets[index] for index in kept]


__all__ = ["prepare_clip", "prepare_clips"]
