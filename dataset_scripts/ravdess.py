# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""RAVDESS: 24 actors speak and sing two sentences in eight emotions (Livingstone & Russo, 2018).

Everything about a recording is in its file name: modality, channel, emotion, intensity, statement, repetition and actor,
two digits each. https://doi.org/10.1371/journal.pone.0196391
"""

import hashlib
import logging
import os
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .archives import extract_archive, plan_extraction
from .base import AUDIO_SUFFIXES, VIDEO_SUFFIXES, CorpusConfig, CorpusScan, EmotionCorpusBuilder, unreadable, walk
from .download import DownloadError, download_files, zenodo_files
from .folds import published_folds
from .ravdess_published import (
    CHANNEL_CODES,
    EMOTIONS,
    FOLD_LISTS,
    MEDIA,
    MODALITIES,
    RECORD,
    compare_with_published,
    published_archives,
)


logger = logging.getLogger(__name__)

CHANNELS = {"01": "speech", "02": "song"}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
AUDIO_VIDEO, VIDEO_ONLY, AUDIO_ONLY = "01", "02", "03"
SUFFIXES = {"audio": AUDIO_SUFFIXES, "video": VIDEO_SUFFIXES, "both": VIDEO_SUFFIXES + AUDIO_SUFFIXES}
TRACK_SUFFIXES = (".csv",)
ARCHIVED = (".mp4", *AUDIO_SUFFIXES, *TRACK_SUFFIXES)
FOLDS = ("6x4", *FOLD_LISTS)

HOMEPAGE = "https://zenodo.org/records/1188976"
CITATION = """\
@article{livingstone2018ravdess,
  title = {The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)},
  author = {Livingstone, Steven R. and Russo, Frank A.},
  journal = {PLoS ONE}, volume = {13}, number = {5}, pages = {e0196391}, year = {2018}
}"""
HOW_TO_GET = f"RAVDESS is free for non-commercial use (CC BY-NC-SA 4.0) at {HOMEPAGE}; name the folder of its files."

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


def is_of_corpus(name: str, suffixes: tuple[str, ...], channel: str = "both") -> bool:
    """Whether a file name with one of these suffixes is one of the corpus, of this channel."""
    stem, suffix = os.path.splitext(name)
    try:
        return suffix.lower() in suffixes and channel in ("both", CHANNELS[parse_ravdess_name(stem).channel])
    except ValueError:
        return False


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
        if path.suffix.lower() == ".avi":
            scan.skip(path, "a video with the face tracking drawn into it (Zenodo 3255102); the recordings are mp4")
            continue
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
    """Options: `channel` is `"speech"` (default), `"song"` or `"both"`; `folds` is one of `FOLDS`."""

    channel: str = "speech"
    folds: str = "6x4"

    def __post_init__(self):
        super().__post_init__()
        if self.folds not in FOLDS:
            raise ValueError(f"Expected folds to be one of {', '.join(FOLDS)}, received {self.folds!r}.")


@dataclass
class RavdessMediaConfig(RavdessConfig):
    """Further options of the recordings themselves.

    Args:
        media (`str`): `"audio"` or `"video"` reads (unpacks, downloads) only such files; `"both"` is the default.
        download (`bool`): fetch from Zenodo what `data_dir` does not have; speech in both media is 13 GB.
        face_tracks (`bool`): let the published face tracks, where `data_dir` has them, say where to crop.
    """

    media: str = "both"
    download: bool = False
    face_tracks: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.media not in MEDIA:
            raise ValueError(f"Expected media to be one of {', '.join(MEDIA)}, received {self.media!r}.")


class Ravdess(EmotionCorpusBuilder):
    """RAVDESS from a folder: reads its archives and extracted folder trees of any shape, one row per performance.

    A performance is taken from its audio-video file (01) where there is one, else from the video-only file (02) together
    with the sound file (03), else from whichever of the two is there.
    `Ravdess(data_dir=..., channel="speech", media="both", download=False, folds="6x4", face_tracks=True)`.

    - Zip archives are unpacked once into the cache, the recordings and face tracks in them only.
    - `folds="6x4"` tests four actors at a time, in order (MSAF). `"luna-jimenez"` is the list of Luna-Jiménez et al.
      (2022). `"cfn_sr"` is that of CFN-SR's code, which never tests actors 21 to 24: use it only to compare with its figures.
    - Face tracks (OpenFace's tables, https://zenodo.org/records/3255102) are found by their names. The videos there show the
      tracking drawn over the face; they are passed over.
    """

    BUILDER_CONFIG_CLASS = RavdessMediaConfig
    NAME = "ravdess"
    LABELS = EMOTIONS
    LICENSE = "CC BY-NC-SA 4.0"
    LICENSE_ID = "cc-by-nc-sa-4.0"
    MAY_SHARE_MEDIA = True
    HOMEPAGE = HOMEPAGE
    CITATION = CITATION
    EXPECTED = "RAVDESS recordings named like Actor_01/01-01-01-01-01-01-01.mp4, or its archives"
    HOW_TO_GET = f"{HOW_TO_GET} Archives need not be extracted, and the option `download=True` fetches them."

    def default_num_folds(self, num_speakers: int) -> int:
        # Four actors are tested at a time, as in the literature: six folds of the whole corpus.
        return max(-(-num_speakers // 4), min(2, num_speakers))

    def take_of(self, name: str) -> str | None:
        try:
            return parse_ravdess_name(name).performance
        except ValueError:
            return None

    def scan(self, config: RavdessMediaConfig) -> CorpusScan:
        scan = CorpusScan()
        if config.download:
            self.download(config)
        folder = self.corpus_folder(config)
        folders = [folder, *self.unpack(scan, folder, config)]
        paths = [path for place in folders for path in scan.find_files(place, SUFFIXES[config.media])]
        performances = group_performances(scan, paths, config.channel)
        tracks = self.find_face_tracks(scan, folders) if config.face_tracks and config.media != "audio" else {}
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
                    "face_track": tracks.get(video.stem) if video else None,
                    **parse_ravdess_name(f"{AUDIO_VIDEO}-{performance}").columns(),
                }
            )
        self.set_folds(scan.rows, config.folds)
        self.compare(performances)
        return scan

    def set_folds(self, rows: list[dict], folds: str) -> None:
        """Fill the column `fold` from a published list; "6x4" is left to `default_num_folds`."""
        if folds == "6x4":
            return
        chosen = FOLD_LISTS[folds]
        actors = {row["speaker_id"] for row in rows}
        fold_of = published_folds(actors, chosen.folds, chosen.never_tested)
        for row in rows:
            row["fold"] = fold_of[row["speaker_id"]]
        absent = sorted({actor for block in (*chosen.folds, chosen.never_tested) for actor in block} - actors)
        if actors and absent:
            warnings.warn(
                f"{self.NAME}: the folds {folds!r} are kept to the {len(actors)} actors who are there; {', '.join(absent)} are "
                f"missing, so that a score is not comparable with one on all of {chosen.source}.",
                UserWarning,
                stacklevel=4,
            )
        if unseen := sorted(actors & set(chosen.never_tested)):
            warnings.warn(
                f"{self.NAME}: the folds {folds!r} train on the actors {', '.join(unseen)} in every fold and never test them, as "
                f"{chosen.source} does; folds='6x4' tests everyone.",
                UserWarning,
                stacklevel=4,
            )

    def unpack(self, scan: CorpusScan, folder: Path, config: RavdessMediaConfig) -> list[Path]:
        """Unpack the archives that hold something wanted which does not lie beside them; returns the folders they became."""
        found = list(walk(folder))
        beside = {path.name for path in found}
        suffixes = SUFFIXES[config.media] + (TRACK_SUFFIXES if config.face_tracks and config.media != "audio" else ())
        folders = []
        for archive in sorted(path for path in found if path.suffix.lower() == ".zip"):
            if reason := unreadable(archive):
                scan.skip(archive, reason)
                continue
            members, skipped = plan_extraction(archive, lambda name: is_of_corpus(name, ARCHIVED))
            scan.skipped |= skipped
            names = {PurePosixPath(member).name for member in members}
            if {name for name in names if is_of_corpus(name, suffixes, config.channel)} <= beside:
                continue
            # By its path, so that the archives of two folders do not take turns in one place.
            key = hashlib.sha256(str(archive).encode()).hexdigest()[:8]
            folders.append(self.cache_root / "ravdess_archives" / f"{archive.stem}-{key}")
            extract_archive(archive, members, folders[-1])
        return folders

    def download(self, config: RavdessMediaConfig) -> None:
        """Fetch the archives of the record whose takes are neither packed nor extracted in `data_dir`."""
        if config.data_dir is None:
            raise ValueError(f"Corpus {self.NAME!r} needs `data_dir`, the folder to download to.")
        folder = Path(config.data_dir)
        scan = CorpusScan()
        performances = group_performances(scan, scan.find_files(folder, SUFFIXES["both"]), config.channel)
        extracted = {
            modality: {name for name, kinds in performances.items() if modality in kinds} for modality in MODALITIES
        }
        missing = [
            name
            for name, (modality, takes) in published_archives(config.channel, config.media).items()
            if not (takes <= extracted[modality] or zipfile.is_zipfile(folder / name))
        ]
        # Whoever has everything needs no connection.
        if not missing:
            return
        listed = {remote.name: remote for remote in zenodo_files(RECORD)}
        if gone := [name for name in missing if name not in listed]:
            raise DownloadError(
                f"Expected {', '.join(gone[:5])} in {HOMEPAGE}, found {', '.join(list(listed)[:5]) or 'nothing'}. Download the "
                "archives by hand."
            )
        download_files([listed[name] for name in missing], folder)

    def find_face_tracks(self, scan: CorpusScan, folders: list[Path]) -> dict[str, str]:
        """The table of each recording, by the recording's name."""
        tracks: dict[str, str] = {}
        for path in (path for folder in folders for path in walk(folder)):
            if not is_of_corpus(path.name, TRACK_SUFFIXES):
                continue
            if reason := unreadable(path):
                scan.skip(path, reason)
            elif tracks.setdefault(path.stem, str(path)) == str(path):
                scan.files.append(path)
        return tracks

    def compare(self, performances: dict[str, dict[str, Path]]) -> None:
        """Say what is missing of the published corpus: a warning where everyone is there, a note otherwise."""
        for channel, code in CHANNEL_CODES.items():
            for modality in MODALITIES:
                takes = [name for name, kinds in performances.items() if name[:2] == code and modality in kinds]
                difference = compare_with_published(takes, channel, modality) if takes else None
                if difference and difference[1]:
                    warnings.warn(f"{self.NAME}: {difference[0]}.", UserWarning, stacklevel=4)
                elif difference:
                    logger.warning(f"{self.NAME}: {difference[0]}.")
