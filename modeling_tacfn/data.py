"""From a corpus to batches: clips prepared once and kept on disk, one augmentation draw per clip, padding with masks."""

import hashlib
import json
import logging
import math
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from .media import MediaError


logger = logging.getLogger(__name__)

DEFAULT_CACHE = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "modeling_tacfn" / "prepared"
FEWEST_CLIPS_FOR_WORKERS = 32


@dataclass
class Augmentation:
    """
    What training does to a clip: one draw per clip, the same for all its frames. A strength of 0 switches a part off.

    Args:
        flip (`float`): probability of mirroring the frames.
        zoom (`float`): the frames are scaled by a factor within 1 ± zoom and moved by up to that share of their size.
        rotation (`float`): largest rotation of the frames in degrees.
        brightness (`float`): the pixels are scaled by a factor within 1 ± brightness.
        audio_crop (`int`): steps of the random piece of the sound that is kept; 0 keeps all of it.
        tempo (`float`): the piece is played at a tempo within 1 ± tempo.
        frequency_shift (`float`): largest shift over mel bins, as from another vocal tract; they are stretched by up to
            5 % as well.
        gain (`float`): standard deviation of the change of a log-mel's level, in units of the training spread.
        tilt (`float`): the same for a slope over the mel bins, the difference from first to last.
        time_masks, time_mask_size (`int`): SpecAugment masks over audio steps, and their largest size in steps.
        frequency_masks, frequency_mask_size (`int`): the same over coefficients or mel bins.
        feature_noise (`float`): Gaussian noise on static features, in units of their spread over the training speakers.
        feature_dropout (`float`): probability of hiding a single unit of a static feature.
        modality_dropout (`float`): probability that a clip loses one of its modalities.
        mixup (`float`): Beta(mixup, mixup) mixing of pairs of clips and their labels.
    """

    flip: float = 0.0
    zoom: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    audio_crop: int = 0
    tempo: float = 0.0
    frequency_shift: float = 0.0
    gain: float = 0.0
    tilt: float = 0.0
    time_masks: int = 0
    time_mask_size: int = 0
    frequency_masks: int = 0
    frequency_mask_size: int = 0
    feature_noise: float = 0.0
    feature_dropout: float = 0.0
    modality_dropout: float = 0.0
    mixup: float = 0.0

    @classmethod
    def from_dict(cls, values: dict | None) -> "Augmentation":
        """Build from a mapping; an unknown name is an error that lists the known ones."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values or {}) - known)
        if unknown:
            raise ValueError(f"Unknown augmentation {unknown}; the known ones are {sorted(known)}.")
        return cls(**(values or {}))


def clip_key(row: dict, processor_settings: str) -> str:
    """Content address of one prepared clip: its files, its window and every number of the processor."""
    content = [processor_settings, row.get("start_seconds"), row.get("end_seconds"), row.get("features")]
    for column in ("video", "audio"):
        if path := row.get(column):
            content.append(str(path))
            # A file that is gone has an address too: reading it says what is wrong.
            if os.path.exists(path):
                status = os.stat(path)
                content += [status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def prepare_clip(row: dict, processor) -> dict[str, np.ndarray]:
    """Decode one row of a corpus into `input_features`, `crops` (uint8, real frames only) and `feature/<name>` arrays."""
    features = {name: np.asarray(values, np.float32) for name, values in (row.get("features") or {}).items()}
    inputs = processor.read(
        video=row.get("video"),
        audio=row.get("audio"),
        features=features,
        start_seconds=row.get("start_seconds"),
        end_seconds=row.get("end_seconds"),
    )
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
    """
    folder = Path(cache_dir or DEFAULT_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    settings = processor.to_json_string()
    rows = rows.to_list()
    targets = [folder / f"{clip_key(row, settings)}.npz" for row in rows]
    missing = [index for index, target in enumerate(targets) if not target.exists()]
    jobs = [(rows[index], targets[index]) for index in missing]
    bar = {"total": len(jobs), "desc": "Preparing clips", "unit": "clip", "disable": not jobs}
    if num_proc > 1 and len(jobs) >= FEWEST_CLIPS_FOR_WORKERS:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(num_proc, context, _start_worker, (processor,)) as pool:
            problems = list(tqdm(pool.map(_work, jobs, chunksize=4), **bar))
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


def load_clips(paths: list[Path]) -> list[dict[str, np.ndarray]]:
    """Read prepared clips into memory."""
    clips = []
    for path in paths:
        with np.load(path, allow_pickle=False) as arrays:
            clips.append(dict(arrays))
    return clips


def normalize_by_speaker(clips: list[dict], speakers: list[str]) -> list[dict]:
    """
    Centre and scale every feature by its speaker's own clips (no labels): the *speaker-normalised* protocol.

    Audio features are normalised per coefficient over all steps of the speaker, static features per unit over clips.
    """
    members: dict[str, list[int]] = {}
    for index, speaker in enumerate(speakers):
        members.setdefault(speaker, []).append(index)
    normalized = [dict(clip) for clip in clips]
    for indices in members.values():
        for name in {name for index in indices for name in clips[index] if name != "crops"}:
            mean, std = feature_statistics([clips[index] for index in indices], name)
            for index in indices:
                if name in clips[index]:
                    normalized[index][name] = (clips[index][name] - mean) / np.where(std > 1e-6, std, 1)
    return normalized


def feature_statistics(clips: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of one feature over all steps of all clips, each of shape `(size,)`, float32."""
    values = [np.atleast_2d(clip[name]).astype(np.float64) for clip in clips if name in clip]
    stacked = np.concatenate(values)
    return np.nanmean(stacked, 0).astype(np.float32), np.nanstd(stacked, 0).astype(np.float32)


class ClipCollator:
    """
    Make a batch of prepared clips: augment (training only), pad, normalise pixels.

    Args:
        num_labels (`int`): number of classes.
        image_processor ([`TacfnImageProcessor`], *optional*): its pixel normalisation is applied to the crops.
        augmentation ([`Augmentation`], *optional*): none leaves the clips as they are.
        statistics (`dict[str, tuple[np.ndarray, np.ndarray]]`, *optional*): mean and standard deviation of each array over
            the training clips, from [`feature_statistics`]: what a masked audio step holds, and the scale of noise and gain.
    """

    def __init__(self, num_labels: int, image_processor=None, augmentation=None, statistics=None):
        self.num_labels = num_labels
        self.image_processor = image_processor
        self.augmentation = augmentation
        self.statistics = {
            name: (torch.as_tensor(mean), torch.as_tensor(std)) for name, (mean, std) in (statistics or {}).items()
        }
        self.generator = torch.Generator()
        self.mixing = np.random.default_rng()

    def seed(self, seed: int) -> None:
        """Make the draws of the coming epoch a function of `seed` alone, so that a resumed run repeats them."""
        self.generator.manual_seed(seed)
        self.mixing = np.random.default_rng(seed)

    def __call__(self, samples: list[dict]) -> dict[str, torch.Tensor]:
        clips = [sample["clip"] for sample in samples]
        batch = {"labels": torch.tensor([sample["label"] for sample in samples])}
        batch["index"] = torch.tensor([sample["index"] for sample in samples])
        names = {name for clip in clips for name in clip}
        if "input_features" in names:
            audio = [self._audio(clip.get("input_features")) for clip in clips]
            batch["input_features"], batch["audio_mask"] = pad_clips(audio)
        if "crops" in names:
            crops = [torch.from_numpy(clip["crops"]) if "crops" in clip else None for clip in clips]
            frames, batch["video_mask"] = pad_clips(crops)
            batch["pixel_values_videos"] = self._pixels(frames) * batch["video_mask"][:, :, None, None, None]
        features, masks = {}, {}
        for name in sorted(name for name in names if name.startswith("feature/")):
            short = name.removeprefix("feature/")
            values = [torch.from_numpy(clip[name]) if name in clip else None for clip in clips]
            features[short], masks[short] = self._feature(short, values)
        if features:
            batch["features"], batch["feature_masks"] = features, masks
        if self.augmentation is not None and self.augmentation.modality_dropout > 0:
            self._drop_modalities(batch)
        if self.augmentation is not None and self.augmentation.mixup > 0:
            return mix_clips(batch, self.augmentation.mixup, self.num_labels, self.mixing)
        return batch

    def _uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def _integer(self, high: int) -> int:
        """A draw from 0 … high, both included."""
        return int(torch.randint(high + 1, (), generator=self.generator))

    def _audio(self, values: np.ndarray | None) -> torch.Tensor | None:
        if values is None:
            return None
        audio = torch.from_numpy(values)
        options = self.augmentation
        if options is None:
            return audio
        size, coefficients = audio.shape
        mean, spread = self.statistics["input_features"]
        rate = float(self._uniform(1 - options.tempo, 1 + options.tempo))
        kept = min(options.audio_crop or size, int(size / rate)) or 1
        start = float(self._uniform(0, 1)) * max(0.0, size - kept * rate)
        audio = audio[(start + rate * torch.arange(kept)).long().clamp(max=size - 1)]
        if options.frequency_shift:
            stretch = self._uniform(0.95, 1.05)
            bins = stretch * torch.arange(coefficients) + self._uniform(
                -options.frequency_shift, options.frequency_shift
            )
            bins = bins.clamp(0, coefficients - 1)
            lower = bins.long().clamp(max=coefficients - 2)
            audio = torch.lerp(audio[:, lower], audio[:, lower + 1], bins - lower)
        if options.gain or options.tilt:
            level, slope = torch.randn(2, generator=self.generator)
            change = options.gain * level + options.tilt * slope * torch.linspace(-0.5, 0.5, coefficients)
            audio = audio + spread * change
        for _ in range(options.frequency_masks):
            size = self._integer(min(options.frequency_mask_size, audio.shape[1]))
            start = self._integer(audio.shape[1] - size)
            audio[:, start : start + size] = mean[start : start + size]
        for _ in range(options.time_masks):
            size = self._integer(min(options.time_mask_size, audio.shape[0]))
            start = self._integer(audio.shape[0] - size)
            audio[start : start + size] = mean
        return audio

    def _pixels(self, frames: torch.Tensor) -> torch.Tensor:
        """Crops `(batch, frames, height, width, 3)` in 0…255 → normalised `(batch, frames, 3, height, width)`."""
        settings = self.image_processor
        pixels = frames.permute(0, 1, 4, 2, 3).float()
        options = self.augmentation
        if options is not None:
            pixels = self._move(pixels)
            if options.brightness:
                pixels = pixels * self._uniform(
                    1 - options.brightness, 1 + options.brightness, len(pixels), 1, 1, 1, 1
                )
                pixels = pixels.clamp(0, 255)
        if settings.do_rescale:
            pixels = pixels * settings.rescale_factor
        if settings.do_normalize:
            mean, std = torch.tensor(settings.image_mean), torch.tensor(settings.image_std)
            pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        return pixels

    def _move(self, pixels: torch.Tensor) -> torch.Tensor:
        """Flip, zoom, shift and rotate: one affine map per clip, applied to all its frames."""
        options = self.augmentation
        if not (options.flip or options.zoom or options.rotation):
            return pixels
        batch, frames = pixels.shape[:2]
        mirror = 1 - 2 * (self._uniform(0, 1, batch) < options.flip).float()
        scale = self._uniform(1 - options.zoom, 1 + options.zoom, batch)
        angle = self._uniform(-options.rotation, options.rotation, batch) * math.pi / 180
        shift = self._uniform(-options.zoom, options.zoom, batch, 2)
        rows = [
            torch.stack([mirror * scale * angle.cos(), -scale * angle.sin(), shift[:, 0]], dim=1),
            torch.stack([mirror * scale * angle.sin(), scale * angle.cos(), shift[:, 1]], dim=1),
        ]
        theta = torch.stack(rows, dim=1).repeat_interleave(frames, dim=0)
        flat = pixels.flatten(0, 1)
        grid = nn.functional.affine_grid(theta, list(flat.shape), align_corners=False)
        return nn.functional.grid_sample(flat, grid, padding_mode="border", align_corners=False).view_as(pixels)

    def _feature(self, name: str, values: list[torch.Tensor | None]) -> tuple[torch.Tensor, torch.Tensor]:
        if next(value for value in values if value is not None).ndim == 2:
            return pad_clips(values)
        size = next(len(value) for value in values if value is not None)
        stacked = torch.stack([torch.full((size,), math.nan) if value is None else value for value in values])
        mask = stacked.isfinite()
        stacked = stacked.nan_to_num(0.0, 0.0, 0.0)
        options = self.augmentation
        if options is not None and options.feature_noise:
            _, spread = self.statistics[f"feature/{name}"]
            stacked = stacked + options.feature_noise * spread * torch.randn(stacked.shape, generator=self.generator)
        if options is not None and options.feature_dropout:
            mask = mask & (self._uniform(0, 1, *mask.shape) >= options.feature_dropout)
        return stacked, mask

    def _drop_modalities(self, batch: dict) -> None:
        """Hide one modality of some clips, never the last one that a clip has."""
        masks = [batch[name] for name in ("audio_mask", "video_mask") if name in batch]
        masks += list(batch.get("feature_masks", {}).values())
        dropped = self._uniform(0, 1, len(batch["labels"])) < self.augmentation.modality_dropout
        chosen = torch.randint(len(masks), dropped.shape, generator=self.generator)
        present = torch.stack([mask.any(1) for mask in masks])
        for index, mask in enumerate(masks):
            others = present.sum(0) - present[index].long() > 0
            mask[dropped & (chosen == index) & others] = False


def pad_clips(clips: list[torch.Tensor | None]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack clips of different length; `None` (an absent modality) becomes padding only. Returns values and mask."""
    example = next(clip for clip in clips if clip is not None)
    longest = max(len(clip) for clip in clips if clip is not None)
    values = example.new_zeros(len(clips), longest, *example.shape[1:])
    mask = torch.zeros(len(clips), longest, dtype=torch.bool)
    for index, clip in enumerate(clips):
        if clip is not None:
            values[index, : len(clip)] = clip
            mask[index, : len(clip)] = True
    return values, mask


def mix_clips(batch: dict, alpha: float, num_labels: int, generator: np.random.Generator) -> dict:
    """Mixup: every clip is mixed with another one of its batch, inputs and labels alike; masks are united."""
    size = len(batch["labels"])
    share = torch.from_numpy(generator.beta(alpha, alpha, size)).float()
    partner = torch.from_numpy(generator.permutation(size))

    def mix(values):
        if isinstance(values, dict):
            return {name: mix(value) for name, value in values.items()}
        if values.dtype == torch.bool:
            return values | values[partner]
        weight = share.view(-1, *[1] * (values.ndim - 1))
        return weight * values + (1 - weight) * values[partner]

    labels = nn.functional.one_hot(batch["labels"], num_labels).float()
    inputs = {name: mix(values) for name, values in batch.items() if name not in ("labels", "index")}
    return inputs | {"labels": mix(labels), "index": batch["index"]}


__all__ = ["Augmentation", "ClipCollator", "load_clips", "normalize_by_speaker", "prepare_clips"]
