# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Emotions over a long recording, from windows that slide over it.

The recording is read forwards once and nothing that is past is kept, so that memory does not grow with it and time grows
linearly. The answer of a window is that of a file cut to exactly this window; docs/timeline.md says what that means for faces.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from .media import MediaError
from .prediction import answers_of, speaker_statistics
from .processing_tacfn import ClipInputs
from .timeline_faces import FaceChoice, FacePoint, parse_choices
from .timeline_media import open_recording
from .timeline_result import Segment, Timeline, Window, check_refinement
from .timeline_windows import FeatureRows, WindowReader


def make_timeline(
    model,
    processor,
    path: str | os.PathLike,
    *,
    smoothing_seconds: float = 0.0,
    threshold: float = 0.0,
    on_progress: Callable[[float], None] | None = None,
    **options,
) -> Timeline:
    """
    Emotions over a recording, in one call.

    Args:
        model, processor, path, options: as [`grow_timeline`] takes them.
        smoothing_seconds, threshold: as [`Timeline.refined`] takes them.
        on_progress (`Callable`, *optional*): told the share of the recording that was read, from 0 to 1, now and then.

    Returns:
        [`Timeline`]

    Raises:
        MediaError, ValueError: as [`grow_timeline`] and [`Timeline.refined`].
    """
    check_refinement(smoothing_seconds, threshold, model.config.problem_type != "regression")
    for timeline in grow_timeline(model, processor, path, **options):
        if on_progress is not None:
            on_progress(timeline.progress)
    return timeline.refined(smoothing_seconds, threshold)


def grow_timeline(
    model,
    processor,
    path: str | os.PathLike,
    *,
    window_seconds: float = 3.0,
    hop_seconds: float = 1.0,
    min_seconds: float = 0.5,
    faces: str | Sequence[str | FaceChoice] = "largest",
    with_audio: bool = True,
    features: Mapping[str, str | os.PathLike] | None = None,
    statistics: dict | None = None,
    batch_size: int = 4,
) -> Iterator[Timeline]:
    """
    Emotions over a recording, as they become known.

    Args:
        model, processor: from [`~prediction.load`].
        path (`str` or `Path`): a video or sound file of any length.
        window_seconds (`float`, *optional*, defaults to 3): length of a window. Best about as long as the clips that the
            network was trained on.
        hop_seconds (`float`, *optional*, defaults to 1): from the start of a window to that of the next. The last window is the
            first that reaches the end of the recording, to 0.15 s, where it is cut.
        min_seconds (`float`, *optional*, defaults to 0.5): a last window that was cut to less is not answered.
        faces (`str`, [`FaceChoice`] or a list of those, *optional*, defaults to `"largest"`): which of several faces is
            followed: `"largest"`, `"left"`, `"right"`, `"2"` (from the left), `"320,180"` (a point in pixels), each from a time
            on with `@SECONDS`.
        with_audio (`bool`, *optional*, defaults to `True`): whether the sound is listened to.
        features (`Mapping[str, str]`, *optional*): for each named feature a table with a row per frame and its `timestamp`.
        statistics (`dict`, *optional*): for a speaker-normalised network, what [`~prediction.speaker_statistics`] gave.
        batch_size (`int`, *optional*, defaults to 4): windows that the network is given at a time. Changes no answer.

    Returns:
        `Iterator[Timeline]`: one and the same timeline with more windows every time, at last complete.

    Raises:
        MediaError: the file cannot be read, or has nothing that the network takes.
        ValueError: an option out of range, or a table without times or columns.
    """
    if not (0 < hop_seconds < np.inf and 0 < window_seconds < np.inf and min_seconds >= 0 and batch_size >= 1):
        raise ValueError(
            "expected hop_seconds and window_seconds above 0, min_seconds of at least 0 and a batch_size of at least 1, got "
            f"{hop_seconds}, {window_seconds}, {min_seconds} and {batch_size}."
        )
    started = time.perf_counter()
    choices = parse_choices(faces)
    takes_sound = with_audio and (processor.do_audio or processor.do_prosody)
    tables = {name: FeatureRows(processor, name, table) for name, table in (features or {}).items()}
    _check_inputs(processor, takes_sound, tables)
    if statistics is None:
        statistics = speaker_statistics(processor, None)
    timeline = Timeline(
        source=os.fspath(path),
        labels=[model.config.id2label[index] for index in range(model.config.num_labels)],
        window_seconds=float(window_seconds),
        hop_seconds=float(hop_seconds),
        is_probability=model.config.problem_type != "regression",
        notes=_not_measured(model, processor, tables),
    )
    with open_recording(path, processor.do_video, takes_sound) as recording:
        reader = WindowReader(recording, processor, choices, tables, window_seconds, hop_seconds)
        timeline.faces = reader.crops.points if reader.crops else []
        pending: list[tuple[Window, ClipInputs | None]] = []
        for window, clip in reader.windows(takes_sound, min(min_seconds, window_seconds)):
            pending.append((window, clip))
            # Windows without an answer wait for those with one, but not for ever.
            if sum(clip is not None for _, clip in pending) < batch_size and len(pending) < 8 * batch_size:
                continue
            _answer(model, processor, statistics, timeline, pending)
            pending = []
            timeline.progress = recording.share_read(window.end)
            timeline.frame_size = reader.crops.frame_size if reader.crops else None
            timeline.processing_seconds += time.perf_counter() - started
            yield timeline
            started = time.perf_counter()
        _answer(model, processor, statistics, timeline, pending)
        if not timeline.windows:
            raise MediaError(
                f"{recording.path}: expected pictures or sound, but nothing of it can be decoded; get another copy."
            )
        recording.warn_of_damage()
    timeline.frame_size = reader.crops.frame_size if reader.crops else None
    timeline.progress, timeline.is_complete = 1.0, True
    timeline.processing_seconds += time.perf_counter() - started
    yield timeline


@torch.inference_mode()
def _answer(model, processor, statistics, timeline: Timeline, pending: list) -> None:
    """Put the answers of some windows into the timeline."""
    clips = [clip for _, clip in pending if clip is not None]
    answers = iter(())
    if clips:
        batch = processor.batch(clips, device=model.device, speaker=statistics)
        logits = model(**batch.to(model.device, dtype=model.dtype)).logits
        answers = iter(answers_of(logits.float(), model.config.problem_type).cpu().tolist())
    for window, clip in pending:
        if clip is not None:
            window = replace(window, scores=dict(zip(timeline.labels, next(answers), strict=True)))
        timeline.windows.append(window)
        timeline.seconds = window.end


def _check_inputs(processor, takes_sound: bool, tables: dict) -> None:
    if not (processor.do_video or takes_sound or tables):
        raise ValueError(
            "expected something of the recording that this network takes: it takes no pictures, and its sound is left out or not "
            f"taken either. Give the tables of its features ({', '.join(processor.feature_columns) or 'none is named'})."
        )


def _not_measured(model, processor, tables: dict) -> list[str]:
    """Inputs of a network of named features that neither the recording nor a table holds."""
    measured = {*tables, *["audio"] * processor.do_audio, *["prosody"] * processor.do_prosody}
    absent = [name for name in getattr(model.config, "feature_sizes", None) or {} if name not in measured]
    return [
        f"{name} is not measured in a recording: the answers come from the other inputs. Give a table with a row per frame, as "
        f"features={{{name!r}: 'FILE.csv'}} (--features {name}=FILE.csv)."
        for name in absent
    ]


__all__ = ["FaceChoice", "FacePoint", "Segment", "Timeline", "Window", "grow_timeline", "make_timeline"]
