# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""RAVDESS: 24 actors speak and sing two sentences in eight emotions (Livingstone & Russo, 2018).

Everything about a recording is in its file name: modality, channel, emotion, intensity, statement, repetition and actor,
two digits each. https://doi.org/10.1371/journal.pone.0196391
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .base import AUDIO_SUFFIXES, VIDEO_SUFFIXES, CorpusConfig, CorpusScan, EmotionCorpusBuilder


EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
CHANNELS = {"01": "speech", "02": "song"}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
AUDIO_VIDEO, VIDEO_ONLY, AUDIO_ONLY = "01", "02", "03"

HOMEPAGE = "https://zenodo.org/records/1188976"
CITATION = """\
@article{livingstone2018ravdess,
  title = {The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)},
  author = {Livingstone, Steven R. and Russo, Frank A.},
  journal = {PLoS ONE}, volume = {13}, number = {5}, pages = {e0196391}, year = {2018}
}"""
HOW_TO_GET = f"RAVDESS is free for non-commercial use (CC BY-NC-SA 4.0) at {HOMEPAGE}; extract its archives and name their folder."

_NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-([0-9]{2})")


@dataclass(frozen=True)
class RavdessName:
    """The seven fields of a file name, as written, and what they mean."""

    modality: str
    channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: str
    actor: str

    @property
    def performance(self) -> str:
        """The last six fields: the same in every format of one take."""
        return "-".join((self.channel, self.emotion, self.intensity, self.statement, self.repetition, self.actor))

    @property
    def label(self) -> str:
        return EMOTIONS[int(self.emotion) - 1]

    @property
    def gender(self) -> str:
        return "male" if int(self.actor) % 2 else "female"

    @property
    def text(self) -> str:
        return STATEMENTS[self.statement]

    def columns(self) -> dict[str, str]:
        """What the name says about a clip, as columns of the schema."""
        return {
            "label": self.label,
            "label_raw": self.emotion,
            "intensity": INTENSITIES[self.intensity],
            "speaker_id": self.actor,
            "utterance_group": self.performance,
            "gender": self.gender,
            "text": self.text,
        }


def parse_ravdess_name(stem: str) -> RavdessName:
    """Read a file name of RAVDESS, without its folder and suffix.

    Args:
        stem (`str`): such as `"03-01-05-02-01-01-07"`.

    Returns:
        `RavdessName`: its fields.

    Raises:
        ValueError: If the name does not follow the corpus's grammar.
    """
    match = _NAME.fullmatch(stem)
    if match is None or match.group(7) == "00":
        raise ValueError(
            f"Expected seven two-digit fields, modality-channel-emotion-intensity-statement-repetition-actor, such as "
            f"03-01-05-02-01-01-07, received {stem!r}."
        )
    name = RavdessName(*match.groups())
    if name.label == "neutral" and name.intensity == "02":
        raise ValueError(
            f"Expected normal intensity for neutral, received strong in {stem!r}: RAVDESS has no strong neutral."
        )
    if name.channel == "02" and name.label in ("disgust", "surprised"):
        raise ValueError(
            f"Expected speech for {name.label}, received song in {stem!r}: RAVDESS has no {name.label} song."
        )
    return name


def group_performances(scan: CorpusScan, paths: list[Path], channel: str) -> dict[str, dict[str, Path]]:
    """Sort files by performance and by what they hold.

    Args:
        scan (`CorpusScan`): takes the names that do not fit.
        paths (`list[Path]`): media files.
        channel (`str`): `"speech"`, `"song"` or `"both"`; files of the other channel are passed over.

    Returns:
        `dict[str, dict[str, Path]]`: for each performance, its file of each kind, `"01"`, `"02"` or `"03"`.
    """
    if channel not in (*CHANNELS.values(), "both"):
        raise ValueError(f"Expected the channel 'speech', 'song' or 'both', received {channel!r}.")
    performances: dict[str, dict[str, Path]] = {}
    for path in paths:
        try:
            name = parse_ravdess_name(path.stem)
        except ValueError:
            scan.skip(path, "the name is not one of RAVDESS")
            continue
        if channel not in ("both", CHANNELS[name.channel]):
            continue
        is_audio = path.suffix.lower() in AUDIO_SUFFIXES
        if not is_audio and name.modality == AUDIO_ONLY:
            scan.skip(path, "a video file whose name says audio only")
            continue
        kinds = performances.setdefault(name.performance, {})
        # Sound taken out of a video keeps the video's name; it is sound all the same.
        kept = kinds.setdefault(AUDIO_ONLY if is_audio else name.modality, path)
        if kept != path:
            scan.skip(path, f"the same recording as {kept}")
    return performances


@dataclass
class RavdessConfig(CorpusConfig):
    """Options: `channel` is `"speech"` (default), `"song"` or `"both"`."""

    channel: str = "speech"


class Ravdess(EmotionCorpusBuilder):
    """RAVDESS from a folder: reads an extracted folder tree of any shape, one row per performance.

    A performance is taken from its audio-video file (01) where there is one, else from the video-only file (02) together
    with the sound file (03), else from whichever of the two is there. `Ravdess(data_dir=..., channel="speech")`.
    """

    BUILDER_CONFIG_CLASS = RavdessConfig
    NAME = "ravdess"
    LABELS = EMOTIONS
    LICENSE = "CC BY-NC-SA 4.0"
    HOMEPAGE = HOMEPAGE
    CITATION = CITATION
    EXPECTED = "RAVDESS recordings named like Actor_01/01-01-05-02-01-01-01.mp4"
    HOW_TO_GET = HOW_TO_GET

    def default_num_folds(self, num_speakers: int) -> int:
        # Four actors are tested at a time, as in the literature: six folds of the whole corpus.
        return max(-(-num_speakers // 4), min(2, num_speakers))

    def scan(self, config: RavdessConfig) -> CorpusScan:
        scan = CorpusScan()
        paths = scan.find_files(self.corpus_folder(config), VIDEO_SUFFIXES + AUDIO_SUFFIXES)
        performances = group_performances(scan, paths, config.channel)
        for performance in sorted(performances, key=lambda fields: (fields[-2:], fields)):
            kinds = performances[performance]
            video = kinds.get(AUDIO_VIDEO) or kinds.get(VIDEO_ONLY)
            audio = None if AUDIO_VIDEO in kinds else kinds.get(AUDIO_ONLY)
            main = video or audio
            scan.rows.append(
                {
                    "clip_id": main.stem,
                    "video": str(video) if video else None,
                    "audio": str(audio) if audio else None,
                    **parse_ravdess_name(f"{AUDIO_VIDEO}-{performance}").columns(),
                }
            )
        return scan
