"""From a corpus to batches: clips prepared once and kept on disk, padding with masks."""

import hashlib
import json
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from . import __version__
from .degradation import add_noise
from .face_tracks import read_face_track
from .feature_arrays import pad_feature, statistics_over
from .media import MediaError
from .prepared_clip import ClipReader, PreparedClip


logger = logging.getLogger(__name__)

DEFAULT_CACHE = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "modeling_tacfn" / "prepared"
FEWEST_CLIPS_FOR_WORKERS = 32


def array_of(modality: str) -> str:
    """Under which name a prepared clip keeps a modality: `audio`, `video` or a named feature."""
    return {"audio": "input_features", "video": "crops"}.get(modality, f"feature/{modality}")


def modality_of(array: str) -> str:
    """The modality that a prepared clip keeps under this name."""
    return {"input_features": "audio", "crops": "video"}.get(array, array.removeprefix("feature/"))


def modality_masks(batch: dict) -> list[torch.Tensor]:
    """The masks of all modalities of a batch, each of shape `(batch_size, …)`."""
    return [batch[name] for name in ("audio_mask", "video_mask") if name in batch] + list(
        batch.get("feature_masks", {}).values()
    )


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
    content = [__version__, processor_settings, row.get("start_seconds"), row.get("end_seconds"), row.get("features")]
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
    torch.set_num_threads(1)
    _worker_processor = processor


def _work(job: tuple[dict, Path]) -> str | None:
    return _prepare_to_disk(*job, _worker_processor)


def prepare_clips(
    rows, processor, cache_dir: str | Path | None = None, num_proc: int = 1
) -> tuple[list[int], list[Path]]:
    """
    Decode every clip once and keep it on disk, so that training opens no video.

    Safe to interrupt (finished clips are kept) and to run in two processes at once (a clip appears whole or not at all).

    Args:
        rows (`datasets.Dataset`): a corpus in the shared schema.
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
    rows = rows.to_list()
    targets = [folder / f"{clip_key(row, settings)}.npz" for row in rows]
    missing = [index for index, target in enumerate(targets) if not target.exists()]
    jobs = [(rows[index], targets[index]) for index in missing]
    bar = {"total": len(jobs), "desc": "Preparing clips", "unit": "clip", "disable": not jobs}
    if num_proc > 1 and len(jobs) >= FEWEST_CLIPS_FOR_WORKERS:
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(num_proc, context, _start_worker, (processor,)) as pool:
                problems = list(tqdm(pool.map(_work, jobs, chunksize=4), **bar))
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
        logger.warning(f"{len(broken)} of {len(rows)} clips cannot be read and are left out:\n{listed}")
    kept = [index for index in range(len(rows)) if index not in broken]
    if not kept:
        raise MediaError(
            f"None of the {len(rows)} clips could be read; the first: {next(iter(broken.values()), 'none')}"
        )
    return kept, [targets[index] for index in kept]


def load_clips(paths: list[Path]) -> list[PreparedClip]:
    """Prepared clips, whose arrays are read when they are asked for and remembered while there is room."""
    reader = ClipReader()
    return [reader.clip(path) for path in paths]


def normalize_by_speaker(clips: list[PreparedClip], speakers: list[str]) -> list[PreparedClip]:
    """
    Centre and scale every feature by its speaker's own clips (no labels): the *speaker-normalised* protocol.

    Audio features are normalised per coefficient over all steps of the speaker, static features per unit over clips.
    """
    members: dict[str, list[int]] = {}
    for index, speaker in enumerate(speakers):
        members.setdefault(speaker, []).append(index)
    normalized = list(clips)
    for indices in members.values():
        names = {name for index in indices for name in clips[index] if name != "crops"}
        changes = {name: partial(scaled, *_speaker_scale(clips, indices, name)) for name in names}
        for index in indices:
            normalized[index] = clips[index].changed(changes)
    return normalized


def _speaker_scale(clips, indices, name: str) -> tuple[np.ndarray, np.ndarray]:
    mean, std = feature_statistics([clips[index] for index in indices], name)
    return mean, np.where(std > 1e-6, std, np.float32(1))


def scaled(mean: np.ndarray, std: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values `(…, size)` centred and scaled."""
    return (values - mean) / std


def feature_statistics(clips: list[Mapping], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of one feature over all steps of all clips, each of shape `(size,)`, float32."""
    return statistics_over(clip[name] for clip in clips if name in clip)


class ClipCollator:
    """
    Make a batch of prepared clips: augment (training only), pad, normalise pixels.

    Args:
        num_labels (`int`): number of classes.
        image_processor ([`TacfnImageProcessor`], *optional*): its pixel normalisation is applied to the crops.
        augmenter ([`Augmenter`], *optional*): none leaves the clips as they are.
        label_smoothing (`float`, *optional*, defaults to 0.0): share of each label that is spread over all classes.
    """

    def __init__(self, num_labels: int, image_processor=None, augmenter=None, label_smoothing: float = 0.0):
        self.num_labels = num_labels
        self.image_processor = image_processor
        self.augmenter = augmenter
        self.label_smoothing = label_smoothing

    def seed(self, seed: int) -> None:
        """Make the draws of the coming epoch a function of `seed` alone, so that a resumed run repeats them."""
        if self.augmenter is not None:
            self.augmenter.seed(seed)

    def __call__(self, samples: list[dict]) -> dict[str, torch.Tensor]:
        batch = {"index": torch.tensor([sample["index"] for sample in samples])}
        batch["labels"] = torch.tensor([sample["label"] for sample in samples])
        if self.augmenter is not None:
            samples = self.augmenter.exchange_features(samples)
        clips = [sample["clip"] for sample in samples]
        names = sorted({name for clip in clips for name in clip})
        arrays = {name: [clip.get(name) for clip in clips] for name in names}
        if "input_features" in arrays:
            batch["input_features"], batch["audio_mask"] = pad_clips(arrays.pop("input_features"))
        if "crops" in arrays:
            frames, batch["video_mask"] = pad_clips(arrays.pop("crops"))
            batch["pixel_values_videos"] = frames.permute(0, 1, 4, 2, 3).float()  # (batch, frames, 3, height, width)
        if arrays:
            features = {modality_of(array): pad_feature(array, values) for array, values in arrays.items()}
            batch["features"] = {name: torch.from_numpy(values) for name, (values, _) in features.items()}
            batch["feature_masks"] = {name: torch.from_numpy(mask) for name, (_, mask) in features.items()}
        if self.augmenter is not None:
            self.augmenter(batch, samples)
        if "pixel_values_videos" in batch:
            batch["pixel_values_videos"] = self._normalized(batch["pixel_values_videos"], batch["video_mask"])
        is_class = not batch["labels"].is_floating_point()
        if is_class and (self.label_smoothing or (self.augmenter is not None and self.augmenter.options.mixup)):
            labels = nn.functional.one_hot(batch["labels"], self.num_labels).float()
            batch["labels"] = (1 - self.label_smoothing) * labels + self.label_smoothing / self.num_labels
        return batch if self.augmenter is None else self.augmenter.mix(batch)

    def _normalized(self, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        settings = self.image_processor
        if settings.do_flip_channel_order:
            pixels = pixels.flip(2)
        if settings.do_rescale:
            pixels = pixels * settings.rescale_factor
        if settings.do_normalize:
            mean, std = torch.tensor(settings.image_mean), torch.tensor(settings.image_std)
            pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        return pixels * mask[:, :, None, None, None]


def pad_clips(clips: list[np.ndarray | None]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack clips of different length; `None` (an absent modality) becomes padding only. Returns values and mask."""
    example = next(clip for clip in clips if clip is not None)
    longest = max(len(clip) for clip in clips if clip is not None)
    values = np.zeros((len(clips), longest, *example.shape[1:]), example.dtype)
    mask = np.zeros((len(clips), longest), bool)
    for index, clip in enumerate(clips):
        if clip is not None:
            values[index, : len(clip)] = clip
            mask[index, : len(clip)] = True
    return torch.from_numpy(values), torch.from_numpy(mask)


__all__ = ["ClipCollator", "feature_statistics", "load_clips", "normalize_by_speaker", "prepare_clips"]
