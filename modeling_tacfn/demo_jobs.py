# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The jobs of the demo, as its worker processes run them: plain values in, a stream of plain values out."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .demo_answers import answer_clip
from .demo_limits import DemoLimits, MediaFacts, check_size, inspect_media
from .media import MediaError
from .timeline import grow_timeline
from .timeline_files import save_csv, save_srt, to_dict
from .timeline_result import Timeline
from .timeline_video import save_video


# A recording up to this many windows long is one clip.
CLIP_WINDOWS = 2
# The page is told of a growing timeline about this often.
TELL_SECONDS = 0.7
ARRAYS = (".npy",)


@dataclass(frozen=True)
class Job:
    """
    What one person asks for.

    Args:
        kind (`str`): `"answer"` (a clip, and the timeline if it is long), `"moment"` (one stretch of it), `"timeline"`, or
            `"video"` (the recording with its answers burnt in).
        model (`str`): name of the network, as the demo lists it.
        media (`str`, *optional*): path of the upload.
        features (`tuple[str, ...]`): paths of feature files, each named after its feature.
        row (`str`): the clip in tables that hold several.
        window_seconds, hop_seconds, smoothing_seconds, threshold (`float`): as [`~timeline.make_timeline`] takes them.
        moment (`float`, *optional*): the middle of the stretch that is looked into, in seconds.
        output (`str`, *optional*): where a video is written.
    """

    kind: str
    model: str
    media: str | None = None
    features: tuple[str, ...] = ()
    row: str = ""
    window_seconds: float = 3.0
    hop_seconds: float = 1.0
    smoothing_seconds: float = 0.0
    threshold: float = 0.0
    moment: float | None = None
    output: str | None = None

    @property
    def files(self) -> list[str]:
        return [*([self.media] if self.media else []), *self.features]


def run_job(job: Job, model, processor, limits: DemoLimits) -> Iterator[tuple[str, object]]:
    """
    Do a job.

    Args:
        job ([`Job`]): what is asked for.
        model, processor: from [`~prediction.load`].
        limits ([`DemoLimits`]): what is allowed.

    Returns:
        `Iterator[tuple[str, object]]`: `("answer", dict)`, `("timeline", dict)` while it grows, of the whole one `("tables", dict)`
        (text by ending), and `("video", path)`.

    Raises:
        MediaError, ValueError: the files cannot be used; the message says why.
    """
    facts = _checked(job, limits)
    features = {} if job.kind in ("timeline", "video") else _named_features(job, processor, limits)
    if job.kind == "video" and not facts.has_pictures:
        raise MediaError(f"{job.media}: expected a video to draw into, but it only has sound.")
    is_long = facts is not None and facts.seconds > CLIP_WINDOWS * job.window_seconds and not features
    if job.kind in ("answer", "moment"):
        stretch = _stretch(job, facts.seconds) if is_long else (None, None)
        answer = answer_clip(model, processor, job.media, features, *stretch)
        yield "answer", answer | {"seconds": None if facts is None else round(facts.seconds, 3), "is_part": is_long}
    if job.kind == "moment" or (job.kind == "answer" and not is_long):
        return
    whole = None
    for timeline in _growing(job, model, processor):
        whole = timeline
        yield "timeline", plain(timeline)
    if job.kind == "video":
        save_video(whole, job.output)
        yield "video", job.output
    else:
        yield "tables", _tables(whole)


def _checked(job: Job, limits: DemoLimits) -> MediaFacts | None:
    if not job.files:
        raise MediaError(
            "expected a video, a sound or features, got nothing. Choose a file, record one, or try an example."
        )
    if not all(os.path.isfile(path) for path in job.files):
        raise MediaError("expected the file that was uploaded, but it was deleted meanwhile. Upload it again.")
    if job.media is None:
        if job.kind != "answer":
            raise MediaError("expected a recording, got features alone. Choose a video or a sound.")
        return None
    facts = inspect_media(job.media, limits)
    if facts.seconds < limits.min_seconds:
        raise MediaError(
            f"{job.media}: too short: {facts.seconds:.2f} s, and at least {limits.min_seconds:g} s are needed to tell anything."
        )
    return facts


def _named_features(job: Job, processor, limits: DemoLimits) -> dict:
    """The files by the feature that each is named after; a single feature of a network needs no name."""
    taken = [name for name in processor.feature_columns if name != "prosody"]
    if "#" in job.row:
        raise ValueError(f"expected the name of a clip in the table, without a #, got {job.row!r}.")
    chosen = {}
    for path in job.features:
        check_size(path, limits)
        stem = Path(path).stem
        name = stem if stem in taken else taken[0] if len(taken) == 1 and len(job.features) == 1 else None
        if name is None:
            raise ValueError(
                f"expected feature files named after what this network takes ({', '.join(taken) or 'it takes no features'}), "
                f"got {Path(path).name}. Rename the file, or choose another network."
            )
        if Path(path).suffix.lower() in ARRAYS:
            chosen[name] = np.load(path, allow_pickle=False)
        else:
            chosen[name] = f"{path}#{job.row}" if job.row else path
    return chosen


def _stretch(job: Job, seconds: float) -> tuple[float, float]:
    """One window of a long recording: around the moment asked for, else in its middle."""
    middle = seconds / 2 if job.moment is None else job.moment
    start = min(max(middle - job.window_seconds / 2, 0.0), max(seconds - job.window_seconds, 0.0))
    return round(start, 3), round(start + job.window_seconds, 3)


def _growing(job: Job, model, processor) -> Iterator[Timeline]:
    """The timeline as it grows, not more often than people see; at last the whole one."""
    told_at = 0.0
    for growing in grow_timeline(
        model, processor, job.media, window_seconds=job.window_seconds, hop_seconds=job.hop_seconds
    ):
        if not growing.is_complete and time.monotonic() - told_at < TELL_SECONDS:
            continue
        yield growing.refined(job.smoothing_seconds, job.threshold if growing.is_probability else 0.0)
        told_at = time.monotonic()


def plain(timeline: Timeline) -> dict:
    """What [`~timeline_files.to_dict`] gives, with what each window stands for, the stretches over which one thing is said, and no folder."""
    stretches = [
        {"start": stretch.start, "end": stretch.end, "said": stretch.said, "score": stretch.score}
        for stretch in timeline.segments()
    ]
    return to_dict(timeline) | {
        "source": Path(timeline.source).name,
        "is_probability": timeline.is_probability,
        "progress": timeline.progress,
        "segments": stretches,
        "spans": timeline.spans(),
    }


def _tables(timeline: Timeline) -> dict[str, str]:
    """The timeline as `tacfn timeline` writes it: text by ending."""
    with tempfile.TemporaryDirectory(prefix="tacfn-") as folder:
        path = Path(folder, "emotions")
        save_csv(timeline, path.with_suffix(".csv"))
        save_srt(timeline, path.with_suffix(".srt"))
        return {ending: path.with_suffix(f".{ending}").read_text(encoding="utf-8") for ending in ("csv", "srt")}


__all__ = ["Job", "plain", "run_job"]
