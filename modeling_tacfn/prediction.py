# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""One call from a clip to emotions, with everything a picture of the answer needs."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoProcessor
from transformers.utils.logging import disable_progress_bar

from .processing_tacfn import ClipInputs


@dataclass
class Prediction:
    """
    What the network says of one clip.

    Args:
        scores (`dict[str, float]`): probability of each emotion, most likely first.
        clip ([`ClipInputs`]): what the network was given, as read.
        weight_vectors (`dict[str, np.ndarray]`): fused weight vector of each reinforced modality, of this clip.
        unit_names (`dict[str, list[str]]`): names of the numbers of each feature, where the processor knows them.
        source (`str`): name of the clip.
    """

    scores: dict[str, float]
    clip: ClipInputs
    weight_vectors: dict[str, np.ndarray] = field(default_factory=dict)
    unit_names: dict[str, list[str]] = field(default_factory=dict)
    source: str = ""

    @property
    def emotion(self) -> str:
        return next(iter(self.scores))

    def inputs(self) -> dict:
        """Which modalities the answer rests on."""
        valid = self.clip.crops_valid
        return {
            "sound": self.clip.has_sound,
            "frames": 0 if self.clip.crops is None else len(self.clip.crops),
            "frames_with_face": 0 if valid is None else int(valid.sum()),
            "features": sorted(name for name, values in self.clip.features.items() if np.isfinite(values).any()),
        }

    def to_dict(self) -> dict:
        return {"clip": self.source, "emotion": self.emotion, "scores": self.scores, "inputs": self.inputs()}


def load(folder: str | os.PathLike, device: str | None = None, trust_remote_code: bool = False):
    """
    Load a network and its processor from a folder or the Hub.

    Raises:
        OSError: there is no such model; the message says what a folder must hold.
    """
    if Path(folder).is_dir() and not (Path(folder) / "config.json").is_file():
        raise OSError(
            f"{folder} holds no config.json: expected a folder that train.py or save_pretrained wrote. Folds of a run are in "
            "its sub-folders."
        )
    disable_progress_bar()  # of the weights, which are read in a moment
    model = AutoModel.from_pretrained(folder, trust_remote_code=trust_remote_code)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
    return model.to(device or "cpu").eval(), processor


@torch.inference_mode()
def predict(
    model, processor, video=None, audio=None, features=None, sampling_rate=None, speaker_clips=None, source=""
) -> Prediction:
    """
    Emotions of one clip.

    Args:
        model, processor: from [`load`].
        video (`str`, `Path` or `np.ndarray`, *optional*): a media file, or frames.
        audio (`str`, `Path`, `np.ndarray` or `False`, *optional*): other sound than the video's, or none.
        features (`dict`, *optional*): named features, as the processor takes them.
        sampling_rate (`int`, *optional*): rate of a waveform in Hz.
        speaker_clips (`list[dict]`, *optional*): arguments of `processor.read` for clips of the same speaker, without
            labels; needed by a network trained on speaker-normalised features.
        source (`str`, *optional*): name of the clip.

    Returns:
        [`Prediction`]

    Raises:
        MediaError: the clip cannot be read, or nothing of it can be used.
        ValueError: an input of the wrong form, or speaker clips are needed.
    """
    clip = processor.read(
        video=video, audio=audio, features=features, sampling_rate=sampling_rate, keep_frames=video is not None
    )
    statistics = None
    if processor.is_speaker_normalized and speaker_clips:
        statistics = processor.speaker_statistics([processor.read(**arguments) for arguments in speaker_clips])
    batch = processor.batch([clip], device=model.device, speaker_statistics=statistics)
    output = model(**batch)
    probabilities = output.logits[0].float().softmax(-1).cpu().tolist()
    order = sorted(range(len(probabilities)), key=lambda index: -probabilities[index])
    return Prediction(
        scores={model.config.id2label[index]: probabilities[index] for index in order},
        clip=clip,
        weight_vectors={name: value[0].float().cpu().numpy() for name, value in (output.weight_vectors or {}).items()},
        unit_names=processor.feature_columns,
        source=source,
    )
