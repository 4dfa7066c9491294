# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A timeline as files: CSV and JSON with every window, subtitles (SRT) and ELAN annotations (EAF 3.0) with what is said."""

import csv
import mimetypes
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from .files import atomic_path, save_json_atomic
from .timeline_result import Segment, Timeline, Window


PICTURES = (".png", ".pdf", ".svg")
EAF_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_BOX = ("face_left", "face_top", "face_right", "face_bottom")


def save_timeline(timeline: Timeline, path: str | os.PathLike) -> None:
    """
    Write a timeline in the format that the name tells; the file appears when it is complete.

    Args:
        timeline ([`Timeline`]): best [`~Timeline.refined`] before.
        path (`str` or `Path`): ends in `.csv`, `.json`, `.srt`, `.eaf`, `.png`, `.pdf` or `.svg`.

    Raises:
        ValueError: another ending, or the recording's own name.
    """
    check_not_the_recording(path, timeline.source)
    suffix = Path(path).suffix.lower()
    if suffix in PICTURES:
        # Drawing is not needed to write text.
        from .timeline_plot import plot_timeline

        plot_timeline(timeline, path)
        return
    if suffix not in _WRITERS:
        raise ValueError(
            f"{path}: expected a file name ending in {', '.join([*_WRITERS, *PICTURES])}, which tells the format."
        )
    _WRITERS[suffix](timeline, path)


def check_not_the_recording(path: str | os.PathLike, source: str | os.PathLike) -> None:
    """Refuse to write over the recording."""
    if os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):
        raise ValueError(f"{path}: expected another file than the recording itself, which it would replace.")


def save_csv(timeline: Timeline, path: str | os.PathLike) -> None:
    """A row for each window; cells are empty where there is no answer or no face."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["start_seconds", "end_seconds", "said", "emotion", "score", "states", *timeline.labels, *_BOX]
        )
        for window in timeline.windows:
            scores = [""] * len(timeline.labels) if window.scores is None else map(_digits, window.scores.values())
            box = [""] * 4 if window.box is None else [f"{value:.1f}" for value in window.box]
            writer.writerow(
                [
                    *(f"{seconds:.3f}" for seconds in (window.start, window.end)),
                    *(window.said, window.emotion or "", "" if window.score is None else _digits(window.score)),
                    "; ".join(window.states),
                    *scores,
                    *box,
                ]
            )


def to_dict(timeline: Timeline) -> dict:
    """Plain values for JSON: what was asked, how long it took, and every window."""
    return {
        "source": timeline.source,
        "seconds": round(timeline.seconds, 3),
        "labels": timeline.labels,
        "window_seconds": timeline.window_seconds,
        "hop_seconds": timeline.hop_seconds,
        "smoothing_seconds": timeline.smoothing_seconds,
        "threshold": timeline.threshold,
        "is_complete": timeline.is_complete,
        "processing_seconds": round(timeline.processing_seconds, 3),
        "real_time_factor": None if timeline.real_time_factor is None else round(timeline.real_time_factor, 4),
        "notes": timeline.notes,
        "frame_size": None
        if timeline.frame_size is None
        else {"height": timeline.frame_size[0], "width": timeline.frame_size[1]},
        "windows": [_plain(window) for window in timeline.windows],
    }


def save_json(timeline: Timeline, path: str | os.PathLike) -> None:
    """What [`to_dict`] gives."""
    save_json_atomic(path, to_dict(timeline))


def save_srt(timeline: Timeline, path: str | os.PathLike) -> None:
    """Subtitles: what is said over each stretch of the recording, with the mean score."""
    blocks = []
    for number, segment in enumerate(timeline.segments(), start=1):
        times = f"{_subtitle_time(segment.start)} --> {_subtitle_time(segment.end)}"
        blocks.append(f"{number}\n{times}\n{caption(timeline, segment)}\n")
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(blocks), encoding="utf-8")


def caption(timeline: Timeline, segment: Segment) -> str:
    """One line for a stretch: `happy 82 %`, with what was missing in all of it."""
    missing = set.intersection(*(set(window.states) for window in segment.windows)) - {segment.said}
    said = segment.said if segment.score is None else f"{segment.said} {timeline.said_score(segment.score)}"
    return said + (f" ({', '.join(sorted(missing))})" if missing else "")


def timeline_table(timeline: Timeline) -> str:
    """What a person reads: each stretch, what is said of it and how it was."""
    speed = "" if timeline.real_time_factor is None else f", {timeline.real_time_factor:.2f} s of work for each second"
    lines = [f"{timeline.source}  ({clock(timeline.seconds)}, {len(timeline.windows)} windows{speed})"]
    for segment in timeline.segments():
        lines.append(f"  {clock(segment.start):>7} – {clock(segment.end):<7}  {caption(timeline, segment)}")
    return "\n".join(lines)


def clock(seconds: float, has_hours: bool | None = None) -> str:
    """Minutes and seconds as people write them, with hours where there are some, or as told."""
    whole = round(seconds)
    if whole >= 3600 if has_hours is None else has_hours:
        return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"


def save_elan(timeline: Timeline, path: str | os.PathLike) -> None:
    """
    Annotations for ELAN (EAF 3.0): a tier with what is said, and one that tells where the face or the sound is missing.

    The recording is linked by its full name and, should both be moved, by its place seen from the file.
    """
    path, source = Path(path).absolute(), Path(timeline.source).absolute()
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "modeling_tacfn",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _SCHEMA_INSTANCE,
            "xsi:noNamespaceSchemaLocation": EAF_SCHEMA,
        },
    )
    header = ElementTree.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    media = {
        "MEDIA_URL": source.as_uri(),
        "MIME_TYPE": mimetypes.guess_type(source.name)[0] or "application/octet-stream",
    }
    if source.drive == path.drive:
        relative = Path(os.path.relpath(source, path.parent)).as_posix()
        media["RELATIVE_MEDIA_URL"] = relative if relative.startswith("..") else f"./{relative}"
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    tiers = {
        "emotion": timeline.segments(),
        "missing": [segment for segment in timeline.segments(_missing) if segment.said],
    }
    last_annotation = sum(map(len, tiers.values()))
    ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"}).text = str(last_annotation)
    slots = ElementTree.SubElement(document, "TIME_ORDER")
    milliseconds = sorted(
        {_milliseconds(seconds) for part in tiers.values() for one in part for seconds in (one.start, one.end)}
    )
    names = {value: f"ts{number}" for number, value in enumerate(milliseconds, start=1)}
    for value, name in names.items():
        ElementTree.SubElement(slots, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(value)})
    number = 0
    for tier_id, segments in tiers.items():
        tier = ElementTree.SubElement(document, "TIER", {"LINGUISTIC_TYPE_REF": "default-lt", "TIER_ID": tier_id})
        for segment in segments:
            number += 1
            first, last = (names[_milliseconds(seconds)] for seconds in (segment.start, segment.end))
            aligned = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{number}", "TIME_SLOT_REF1": first, "TIME_SLOT_REF2": last},
            )
            ElementTree.SubElement(aligned, "ANNOTATION_VALUE").text = segment.said
    ElementTree.SubElement(
        document,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true"},
    )
    ElementTree.indent(document, "    ")
    with atomic_path(path) as temporary:
        ElementTree.ElementTree(document).write(temporary, encoding="UTF-8", xml_declaration=True)


def _missing(window: Window) -> str:
    return ", ".join(state for state in window.states if state.startswith("no "))


def _plain(window: Window) -> dict:
    return {
        "start": round(window.start, 3),
        "end": round(window.end, 3),
        "said": window.said,
        "emotion": window.emotion,
        "score": None if window.score is None else round(window.score, 5),
        "states": list(window.states),
        "scores": None if window.scores is None else {name: round(value, 5) for name, value in window.scores.items()},
        "box": None if window.box is None else [round(value, 1) for value in window.box],
        "tracks": list(window.tracks),
    }


def _digits(value: float) -> str:
    return f"{value:.5f}"


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _subtitle_time(seconds: float) -> str:
    whole, rest = divmod(_milliseconds(seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{rest:03d}"


_WRITERS: dict[str, Callable[[Timeline, str | os.PathLike], None]] = {
    ".csv": save_csv,
    ".json": save_json,
    ".srt": save_srt,
    ".eaf": save_elan,
}
ENDINGS = (*_WRITERS, *PICTURES)


__all__ = [
    "ENDINGS",
    "caption",
    "check_not_the_recording",
    "clock",
    "save_csv",
    "save_elan",
    "save_json",
    "save_srt",
    "save_timeline",
    "timeline_table",
    "to_dict",
]
