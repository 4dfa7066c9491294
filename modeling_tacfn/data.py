"""From prepared clips to batches: features by speaker, padding with masks."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .feature_arrays import pad_feature, statistics_over
from .pixels import finish_pixels
from .prepared_clip import ClipReader, PreparedClip


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

    All that is done to pixels is arithmetic on what was drawn before, so that it can be left for the device of the network
    (`finish`): crops travel there as bytes, a quarter of the memory.

    Args:
        num_labels (`int`): number of classes.
        image_processor ([`TacfnImageProcessor`], *optional*): its pixel normalisation is applied to the crops.
        augmenter ([`Augmenter`], *optional*): none leaves the clips as they are.
        label_smoothing (`float`, *optional*, defaults to 0.0): share of each label that is spread over all classes.
        leaves_pixels (`bool`, *optional*, defaults to `False`): whether batches hold `crops`, for `finish` to make
            `pixel_values_videos` of.
    """

    def __init__(
        self,
        num_labels: int,
        image_processor=None,
        augmenter=None,
        label_smoothing: float = 0.0,
        leaves_pixels: bool = False,
    ):
        self.num_labels = num_labels
        self.leaves_pixels = leaves_pixels
        self.image_processor = image_processor
        self.augmenter = augmenter
        self.label_smoothing = label_smoothing

    def seed(self, seed: int) -> None:
        """Make the draws of the coming epoch a function of `seed` and clips alone, so that a resumed run repeats them."""
        if self.augmenter is not None:
            self.augmenter.seed(seed)

    def __call__(self, samples: list[dict]) -> dict[str, torch.Tensor]:
        batch = {"index": torch.tensor([sample["index"] for sample in samples])}
        batch["labels"] = torch.tensor([sample["label"] for sample in samples])
        if self.augmenter is not None:
            self.augmenter.begin(samples)
            samples = self.augmenter.exchange_features(samples)
        clips = [sample["clip"] for sample in samples]
        names = sorted({name for clip in clips for name in clip})
        arrays = {name: [clip.get(name) for clip in clips] for name in names}
        if "input_features" in arrays:
            batch["input_features"], batch["audio_mask"] = pad_clips(arrays.pop("input_features"))
        if "crops" in arrays:
            frames, batch["video_mask"] = pad_clips(arrays.pop("crops"))
            batch["crops"] = {"frames": frames, "mask": batch["video_mask"]}
        if arrays:
            features = {modality_of(array): pad_feature(array, values) for array, values in arrays.items()}
            batch["features"] = {name: torch.from_numpy(values) for name, (values, _) in features.items()}
            batch["feature_masks"] = {name: torch.from_numpy(mask) for name, (_, mask) in features.items()}
        if self.augmenter is not None:
            self.augmenter(batch, samples)
        is_class = not batch["labels"].is_floating_point()
        if is_class and (self.label_smoothing or (self.augmenter is not None and self.augmenter.options.mixup)):
            labels = nn.functional.one_hot(batch["labels"], self.num_labels).float()
            batch["labels"] = (1 - self.label_smoothing) * labels + self.label_smoothing / self.num_labels
        batch = batch if self.augmenter is None else self.augmenter.mix(batch)
        return batch if self.leaves_pixels else self.finish(batch)

    def finish(self, batch: dict) -> dict:
        """The batch with pixels instead of bytes, made on the device where it is; see [`finish_pixels`]."""
        return finish_pixels(batch, self.image_processor)


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


__all__ = ["ClipCollator", "feature_statistics", "load_clips", "normalize_by_speaker"]
