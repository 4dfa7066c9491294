# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""CREMA-D: 91 actors speak twelve sentences in six emotions, 7,442 clips (Cao et al., 2014), with votes of 2,443 raters.

A file name tells actor, sentence, emotion and level, such as 1001_DFA_ANG_XX. What the actor was asked for (*intended*) and what
most raters saw or heard (*perceived*) are different labels: raters of the whole clip chose the intended one in 63.6 % of their
votes, those of the voice alone in 40.9 %. A score must say which it is against. https://doi.org/10.1109/TAFFC.2014.2336244
"""

import csv
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .base import AUDIO_SUFFIXES, VIDEO_SUFFIXES, CorpusConfig, CorpusScan, EmotionCorpusBuilder, walk
from .folds import natural_key


# The words and the order of RAVDESS, so that networks trained on either can be compared.
LABELS = ["neutral", "happy", "sad", "angry", "fearful", "disgust"]
EMOTIONS = {"NEU": "neutral", "HAP": "happy", "SAD": "sad", "ANG": "angry", "FEA": "fearful", "DIS": "disgust"}
VOTES = {code[0]: label for code, label in EMOTIONS.items()}
# XX says that no level was asked for.
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": None}
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
# Column of summaryTable.csv, and first digit of the row names of tabulatedVotes.csv.
MODALITIES = {"multimodal": ("MultiModalVote", "3"), "voice": ("VoiceVote", "1"), "face": ("FaceVote", "2")}

NUM_ACTORS = 91
PUBLISHED_TAKES = {"neutral": 1087, "happy": 1271, "sad": 1271, "angry": 1271, "fearful": 1271, "disgust": 1271}
# From the corpus's own README. Some formats of some of them are whole, but the votes were given for what is broken.
BROKEN_TAKES = {
    "1064_IEO_DIS_MD": "published broken: a minute with all emotions",
    "1064_TIE_SAD_XX": "published broken: no duration",
    "1076_MTI_NEU_XX": "published broken: very short, no sound",
    "1076_MTI_SAD_XX": "published broken: an error picture, no sound",
}
GIT_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
LFS_REMEDY = "it is a git-LFS pointer, not the file itself: run `git lfs pull` in the checkout"

SUMMARY, TABULATED, DEMOGRAPHICS = "summaryTable.csv", "tabulatedVotes.csv", "VideoDemographics.csv"
HOMEPAGE = "https://github.com/CheyneyComputerScience/CREMA-D"
CITATION = """\
@article{cao2014cremad,
  title = {{CREMA-D}: Crowd-sourced Emotional Multimodal Actors Dataset},
  author = {Cao, Houwei and Cooper, David G. and Keutmann, Michael K. and Gur, Ruben C. and Nenkova, Ani and Verma, Ragini},
  journal = {IEEE Transactions on Affective Computing}, volume = {5}, number = {4}, pages = {377--390}, year = {2014}
}"""
HOW_TO_GET = f"CREMA-D is free (ODbL 1.0, contents DbCL 1.0): `git lfs clone {HOMEPAGE}`, and name its folder."

_NAME = re.compile(rf"(1[0-9]{{3}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_(LO|MD|HI|XX?)", re.IGNORECASE)


@dataclass(frozen=True)
class CremaDName:
    """The four fields of a file name, in capitals."""

    actor: str
    sentence: str
    emotion: str
    level: str

    @property
    def take(self) -> str:
        """The name as the tables of the corpus write it, whatever the file's suffix and case."""
        return "_".join((self.actor, self.sentence, self.emotion, self.level))


def parse_crema_d_name(stem: str) -> CremaDName:
    """Read a file name of CREMA-D, without its folder and suffix.

    Args:
        stem (`str`): such as `"1001_DFA_ANG_XX"`, in capitals or not. `X` is read as `XX`: `1040_ITH_SAD_X.wav` is published so.

    Returns:
        `CremaDName`: its fields.

    Raises:
        ValueError: If the name does not follow the corpus's grammar.
    """
    match = _NAME.fullmatch(stem)
    if match is None:
        raise ValueError(f"Expected actor_sentence_emotion_level, such as 1001_DFA_ANG_XX, received {stem!r}.")
    actor, sentence, emotion, level = (part.upper() for part in match.groups())
    return CremaDName(actor, sentence, emotion, "XX" if level == "X" else level)


def demographics(path: str | Path) -> dict[str, dict[str, str | int | None]]:
    """Age, sex, race and ethnicity of the actors, as the corpus's table words them.

    Args:
        path (`str` or `Path`): `VideoDemographics.csv`, or a folder that holds it.

    Returns:
        `dict[str, dict]`: by actor, such as `{"1001": {"age": 51, "sex": "Male", "race": "Caucasian", "ethnicity": "Not Hispanic"}}`;
        the age in years at the recording.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If a column is missing.
    """
    path = Path(path)
    if path.is_dir():
        path = _find(path, DEMOGRAPHICS) or path / DEMOGRAPHICS
    return {
        line["ActorID"]: {
            "age": int(line["Age"]) if line["Age"].isdecimal() else None,
            "sex": line["Sex"] or None,
            "race": line["Race"] or None,
            "ethnicity": line["Ethnicity"] or None,
        }
        for line in _read_csv(path, ("ActorID", "Age", "Sex", "Race", "Ethnicity"))
    }


def read_votes(path: str | Path, modality: str = "multimodal") -> dict[str, str]:
    """What most raters saw or heard in each take.

    Args:
        path (`str` or `Path`): `summaryTable.csv` or `tabulatedVotes.csv` of the corpus.
        modality (`str`, *optional*, defaults to `"multimodal"`): what was shown to the raters: `"multimodal"`, `"voice"` or
            `"face"`.

    Returns:
        `dict[str, str]`: by take, one letter of A, D, F, H, N and S; several with colons between, such as `"A:F"`, if they tie.

    Raises:
        FileNotFoundError: If the table is not there.
        ValueError: If it is another table, or the modality is unknown.
    """
    if modality not in MODALITIES:
        raise ValueError(f"Expected the modality {', '.join(map(repr, MODALITIES))}, received {modality!r}.")
    column, digit = MODALITIES[modality]
    path = Path(path)
    if path.name.lower() == TABULATED.lower():
        # Its rows are named by what was shown, times 100,000, plus the number of the clip.
        lines = [
            (line["fileName"], line["emoVote"])
            for line in _read_csv(path, ("", "fileName", "emoVote"))
            if len(line[""]) == 6 and line[""][0] == digit
        ]
    else:
        lines = [(line["FileName"], line[column]) for line in _read_csv(path, ("FileName", column))]
    return {name.upper(): vote.upper() for name, vote in lines}


def folds_of_actors(genders: dict[str, str | None], num_folds: int) -> dict[str, int]:
    """Deal actors out to folds: women in natural order, then men, then those of unknown sex, one to each fold in turn.

    Args:
        genders (`dict[str, str | None]`): `"female"`, `"male"` or `None` by actor.
        num_folds (`int`): how many folds.

    Returns:
        `dict[str, int]`: the fold in which each actor is tested. Folds differ by one actor at most, and by one of each sex.
    """
    order = {"female": 0, "male": 1}
    actors = sorted(genders, key=lambda actor: (order.get(genders[actor], 2), natural_key(actor)))
    return {actor: place % num_folds for place, actor in enumerate(actors)}


def _find(folder: Path, name: str) -> Path | None:
    return min((path for path in walk(folder) if path.name.lower() == name.lower()), default=None)


def _read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected the table {path.name} of CREMA-D in {path}, which is not a file. {HOW_TO_GET}"
        )
    if is_git_lfs_pointer(path):
        raise ValueError(f"Expected the table {path.name} in {path}: {LFS_REMEDY}.")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file, restval="")
        reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
        missing = [column for column in columns if column not in reader.fieldnames]
        if missing:
            raise ValueError(
                f"Expected the columns {', '.join(columns)} in {path}, found {', '.join(reader.fieldnames) or 'none'}."
            )
        return [{column: line[column].strip() for column in columns} for line in reader]


def is_git_lfs_pointer(path: Path) -> bool:
    """Whether a checkout without git LFS left a line of text where the file should be."""
    with path.open("rb") as file:
        return file.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER


@dataclass
class CremaDConfig(CorpusConfig):
    """Options: `label` is `"intended"` (default) or `"perceived"`; the latter by the votes of those who were shown `modality`:
    `"multimodal"` (default), `"voice"` or `"face"`. `votes` and `demographics` name those tables where they are not in the folder."""

    label: str = "intended"
    modality: str = "multimodal"
    votes: str | None = None
    demographics: str | None = None


class CremaD(EmotionCorpusBuilder):
    """CREMA-D from a checkout of its repository, or from a folder of its clips in any format; one row per take.

    The picture is the Flash video (or an mp4 made of it). The sound is the WAV file where there is one: it was converted from
    the original recording, while the Flash video holds lossy MP3, and in checkouts older than December 2020 nothing at all in 28
    takes. Without it the sound is that of the video; MP3 files are used where there is neither.
    Takes that are published broken are left out, and with `label="perceived"` those whose votes tie.
    `CremaD(data_dir=..., label="intended", modality="multimodal")`.
    """

    BUILDER_CONFIG_CLASS = CremaDConfig
    NAME = "crema_d"
    LABELS = LABELS
    LICENSE = "ODbL 1.0 (database), DbCL 1.0 (contents)"
    LICENSE_ID = "odbl"
    MAY_SHARE_MEDIA = True
    HOMEPAGE = HOMEPAGE
    CITATION = CITATION
    EXPECTED = "CREMA-D recordings named like VideoFlash/1001_DFA_ANG_XX.flv"
    HOW_TO_GET = HOW_TO_GET

    def scan(self, config: CremaDConfig) -> CorpusScan:
        if config.label not in ("intended", "perceived"):
            raise ValueError(f"Expected the label 'intended' or 'perceived', received {config.label!r}.")
        folder = self.corpus_folder(config)
        votes = self.votes(config, folder) if config.label == "perceived" else None
        genders = self.genders(config, folder)
        scan = CorpusScan()
        takes = group_takes(scan, scan.find_files(folder, (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES, ".mp3")))
        check_counts(takes)
        ties = []
        for take in sorted(takes, key=lambda take: natural_key(take)):
            if take in BROKEN_TAKES:
                scan.skip(take, BROKEN_TAKES[take])
                continue
            name = parse_crema_d_name(take)
            label_raw = name.emotion if votes is None else votes.get(take, "")
            if ":" in label_raw:
                ties.append(take)
                continue
            label = (EMOTIONS if votes is None else VOTES).get(label_raw)
            if label is None:
                scan.skip(take, f"no {config.modality} vote of it among A, D, F, H, N and S: {label_raw!r}")
                continue
            scan.rows.append(
                {
                    "clip_id": take,
                    "video": takes[take].get("video"),
                    "audio": takes[take].get("audio"),
                    "label": label,
                    "label_raw": label_raw,
                    "intensity": LEVELS[name.level],
                    "speaker_id": name.actor,
                    "utterance_group": take,
                    "gender": genders.get(name.actor),
                    "text": SENTENCES[name.sentence],
                }
            )
        if ties:
            warnings.warn(
                f"{self.NAME}: left out {len(ties)} of {len(takes)} takes, whose {config.modality} votes tie, such as {ties[0]} "
                f"({votes[ties[0]]}).",
                UserWarning,
                stacklevel=4,
            )
        actors = {row["speaker_id"]: row["gender"] for row in scan.rows}
        fold_of = folds_of_actors(actors, self.default_num_folds(len(actors)))
        for row in scan.rows:
            row["fold"] = fold_of[row["speaker_id"]]
        return scan

    def take_of(self, name: str) -> str | None:
        try:
            return parse_crema_d_name(name).take
        except ValueError:
            return None

    def votes(self, config: CremaDConfig, folder: Path) -> dict[str, str]:
        path = config.votes or _find(folder, SUMMARY) or _find(folder, TABULATED)
        if path is None:
            raise FileNotFoundError(
                f"Expected {SUMMARY} or {TABULATED} in {folder} for the perceived label, found neither. Name the table with the "
                f"option `votes`. {HOW_TO_GET}"
            )
        return read_votes(Path(path).expanduser(), config.modality)

    def genders(self, config: CremaDConfig, folder: Path) -> dict[str, str]:
        path = config.demographics or _find(folder, DEMOGRAPHICS)
        if path is None:
            warnings.warn(
                f"{self.NAME}: no {DEMOGRAPHICS} in {folder}, so that no gender is known and the folds are not balanced by it. "
                "Name the table with the option `demographics`.",
                UserWarning,
                stacklevel=4,
            )
            return {}
        known = {"male", "female"}
        sexes = {actor: str(row["sex"]).lower() for actor, row in demographics(Path(path).expanduser()).items()}
        return {actor: sex for actor, sex in sexes.items() if sex in known}


def group_takes(scan: CorpusScan, paths: list[Path]) -> dict[str, dict[str, str]]:
    """Sort files by take, and choose the picture and the sound of each.

    Args:
        scan (`CorpusScan`): takes the files that are not used, and why.
        paths (`list[Path]`): media files.

    Returns:
        `dict[str, dict[str, str]]`: for each take its `video`, its `audio`, or both; `audio` is absent where the sound is the
        video's own.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        try:
            take = parse_crema_d_name(path.stem).take
        except ValueError:
            scan.skip(path, "the name is not one of CREMA-D")
            continue
        # Pointers are some 130 bytes, so that only such small files need be opened.
        if path.stat().st_size < 1024 and is_git_lfs_pointer(path):
            scan.skip(path, LFS_REMEDY)
            continue
        suffix = path.suffix.lower()
        kept = found.setdefault(take, {}).setdefault(suffix, path)
        if kept != path:
            scan.skip(path, f"the same recording as {kept}")
    takes = {}
    for take, files in found.items():
        # The Flash video is the published one; others were made of it.
        video = next((files[suffix] for suffix in (".flv", *VIDEO_SUFFIXES) if suffix in files), None)
        sound = next((files[suffix] for suffix in AUDIO_SUFFIXES if suffix in files), None)
        audio = sound or (None if video else files[".mp3"])
        takes[take] = {name: str(path) for name, path in (("video", video), ("audio", audio)) if path}
    return takes


def check_counts(takes: dict[str, dict[str, str]]) -> None:
    """Warn if all actors are there but not the published number of takes of each emotion."""
    names = [parse_crema_d_name(take) for take in takes]
    if len({name.actor for name in names}) < NUM_ACTORS:
        return
    counts = Counter(EMOTIONS[name.emotion] for name in names)
    wrong = [
        f"{label} {counts[label]:,} instead of {number:,}"
        for label, number in PUBLISHED_TAKES.items()
        if counts[label] != number
    ]
    if wrong:
        warnings.warn(
            f"crema_d: {len(takes):,} takes of {NUM_ACTORS} actors, {sum(PUBLISHED_TAKES.values()):,} are published: {', '.join(wrong)}.",
            UserWarning,
            stacklevel=5,
        )
