# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What the demo says of a clip, as plain values: the answer, what each input alone would give, and what the network saw."""

import io
import os
import time
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw

from .prediction import Prediction, answers_of, speaker_statistics
from .prediction_plot import highlight, relative, slot_of_frame
from .processing_tacfn import ClipInputs
from .timeline_result import NO_FACE, NO_SOUND


SHOWN_FRAMES = 6
SHOWN_UNITS = 12
FRAME_WIDTH = 320
CROP_SIDE = 160
BOX_COLOUR = (213, 94, 0)
SOUND, FACE = "sound", "face"


@torch.inference_mode()
def answer_clip(
    model,
    processor,
    path: str | os.PathLike | None,
    features: dict[str, str] | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> dict:
    """
    Answer one clip, or one stretch of a recording, three ways: from all of it, and from each input alone.

    Args:
        model, processor: from [`~prediction.load`].
        path (`str` or `Path`, *optional*): video or sound file.
        features (`dict[str, str]`, *optional*): for each named feature its file.
        start_seconds (`float`, *optional*): start of the stretch.
        end_seconds (`float`, *optional*): its end.

    Returns:
        `dict`: `emotion`, `score`, `scores`, `is_probability`, `alone` (scores by input), `inputs`, `states`, `start_seconds`,
        `end_seconds`, `work_seconds`, and for the eye `frames` and `unit_weights`.

    Raises:
        MediaError: the file cannot be read, or nothing of it can be used.
        ValueError: features of a wrong form.
    """
    started = time.perf_counter()
    statistics = speaker_statistics(processor, None)
    clip = processor.read(
        video=path, features=features, start_seconds=start_seconds, end_seconds=end_seconds, keep_frames=True
    )
    alone = parts_of(clip)
    if len(alone) < 2:
        alone = {}
    # By the law of this package the answers do not depend on each other: what has no pictures is not batched with what has
    # them, and costs nearly nothing.
    is_pictured = clip.crops is not None
    pictured = {name: part for name, part in alone.items() if (part.crops is not None) == is_pictured}
    others = {name: part for name, part in alone.items() if name not in pictured}
    output, (whole, *single) = _answered(model, processor, [clip, *pictured.values()], statistics)
    scores_alone = dict(zip(pictured, single, strict=True))
    if others:
        scores_alone |= dict(zip(others, _answered(model, processor, [*others.values()], statistics)[1], strict=True))
    prediction = Prediction(
        scores=dict(sorted(whole.items(), key=lambda item: -item[1])),
        clip=clip,
        weight_vectors={name: value[0].float().cpu().numpy() for name, value in (output.weight_vectors or {}).items()},
        unit_names=processor.feature_columns,
        is_probability=model.config.problem_type != "regression",
    )
    takes_sound = processor.do_audio or processor.do_prosody
    states = [NO_FACE] * (processor.do_video and not clip.has_video) + [NO_SOUND] * (
        takes_sound and not clip.has_sound
    )
    return {
        "emotion": prediction.emotion,
        "score": prediction.scores[prediction.emotion],
        "scores": prediction.scores,
        "is_probability": prediction.is_probability,
        "alone": {name: scores_alone[name] for name in alone},
        "inputs": prediction.inputs(),
        "states": states,
        "start_seconds": start_seconds,
        "end_seconds": end_seconds,
        "frames": shown_frames(prediction),
        "unit_weights": unit_weights(prediction),
        "work_seconds": time.perf_counter() - started,
    }


def _answered(model, processor, clips: list[ClipInputs], statistics: dict | None) -> tuple[object, list[dict]]:
    """The network's output for a batch, and of each clip its scores by label."""
    output = model(**processor.batch(clips, device=model.device, speaker=statistics))
    answers = answers_of(output.logits.float(), model.config.problem_type).cpu().tolist()
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    return output, [dict(zip(labels, answer, strict=True)) for answer in answers]


def parts_of(clip: ClipInputs) -> dict[str, ClipInputs]:
    """The same clip with one input at a time: its sound with the prosody in it, its face, each other feature by its name."""
    nothing = {"crops": None, "crops_valid": None, "boxes": None, "waveform": None, "frames": None}
    parts = {}
    heard = {name: values for name, values in clip.features.items() if name in ("prosody", "audio")}
    if clip.has_sound or heard:
        parts[SOUND] = replace(clip, **nothing | {"waveform": clip.waveform, "features": heard})
    if clip.has_video:
        parts[FACE] = replace(
            clip,
            **nothing | {"crops": clip.crops, "crops_valid": clip.crops_valid, "boxes": clip.boxes, "features": {}},
        )
    for name, values in clip.features.items():
        if name not in heard and np.isfinite(values).any():
            parts[name] = replace(clip, **nothing | {"features": {name: values}})
    return parts


def shown_frames(prediction: Prediction) -> list[dict]:
    """
    Some frames spread over the clip: when, the frame with its face box, the crop, and the crop under its weights.

    Returns:
        `list[dict]`: `seconds`, `box` (pixels of the whole frame, or `None`), and JPEG bytes `frame`, `crop`, `weights`; the
        last two are `None` where there is no face, or no map of weights.
    """
    clip, weights = prediction.clip, prediction.weight_vectors.get("video")
    if clip.frames is None or not len(clip.frames):
        return []
    indices = np.flatnonzero(clip.crops_valid) if clip.has_video else np.arange(len(clip.frames))
    shown = min(SHOWN_FRAMES, len(indices))
    indices = indices[((np.arange(shown) + 0.5) * len(indices) / shown).astype(int)]
    is_weighted = weights is not None and weights.any()
    return [
        {
            "seconds": None if clip.frame_seconds is None else round(float(clip.frame_seconds[index]), 3),
            "box": _box(clip, index),
            "frame": _frame_with_box(clip.frames[index], _box(clip, index)),
            "crop": _jpeg(clip.crops[index], CROP_SIDE) if clip.crops_valid[index] else None,
            "weights": _jpeg(
                highlight(clip.crops[index], weights[slot_of_frame(index, len(clip.crops), len(weights))]), CROP_SIDE
            )
            if is_weighted and clip.crops_valid[index]
            else None,
        }
        for index in indices
    ]


def unit_weights(prediction: Prediction) -> dict[str, list[dict]]:
    """For each feature of one vector, its numbers with the highest weights: `unit`, `value`, `weight` (1: equal weights)."""
    shown = {}
    for name, values in prediction.clip.features.items():
        if name not in prediction.weight_vectors or values.ndim != 1:
            continue
        weights = relative(prediction.weight_vectors[name])
        names = prediction.unit_names.get(name) or [str(index) for index in range(len(weights))]
        order = [index for index in np.argsort(-weights)[:SHOWN_UNITS] if np.isfinite(values[index])]
        shown[name] = [
            {"unit": names[index], "value": float(values[index]), "weight": float(weights[index])} for index in order
        ]
    return shown


def _box(clip: ClipInputs, index: int) -> list[float] | None:
    if clip.boxes is None or not np.isfinite(clip.boxes[index]).all():
        return None
    return [round(float(value), 1) for value in clip.boxes[index]]


def _frame_with_box(frame: np.ndarray, box: list[float] | None) -> bytes:
    picture = Image.fromarray(frame)
    scale = min(1.0, FRAME_WIDTH / picture.width)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    if box is not None:
        ImageDraw.Draw(picture).rectangle([value * scale for value in box], outline=BOX_COLOUR, width=3)
    return _encoded(picture)


def _jpeg(pixels: np.ndarray, side: int) -> bytes:
    return _encoded(Image.fromarray(pixels).resize((side, side)))


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


__all__ = ["FACE", "SOUND", "answer_clip", "parts_of", "shown_frames", "unit_weights"]
