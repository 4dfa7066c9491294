# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""IEMOCAP: ten actors in five sessions of one woman and one man, scripted and improvised (Busso et al., 2008).

A dialogue such as `Ses01F_impro01` is one recording of both actors; the letter tells who wears the motion-capture markers.
An utterance such as `Ses01F_impro01_M000` is spoken by whom its own last letter names. https://doi.org/10.1007/s10579-008-9076-6

The video shows both actors side by side, the wearer of the markers on the left. The release's own README leaves this out;
readers of the corpus found it independently and agree: `use_left` of wenliangdai/Multimodal-End2end-Sparse (Dai et al., NAACL
2021), `find_speaker` of IoannisKansizoglou/Iemocap-preprocess.
"""

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .base import CorpusConfig, CorpusScan, EmotionCorpusBuilder, unreadable
from .folds import natural_key


EMOTIONS = ["angry", "happy", "sad", "neutral"]
LABEL_OF = {"ang": "angry", "hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral"}
# Utterances of the whole release by the code that the evaluators agreed on; xxx: they did not agree. 10,039 in all.
PUBLISHED_COUNTS = {
    "ang": 1103,
    "hap": 595,
    "exc": 1041,
    "sad": 1084,
    "neu": 1708,
    "fru": 1849,
    "sur": 107,
    "fea": 40,
    "dis": 2,
    "oth": 3,
    "xxx": 2507,
}
SESSIONS = (1, 2, 3, 4, 5)
LEFT_HALF, RIGHT_HALF = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]

HOMEPAGE = "https://sail.usc.edu/iemocap/"
CITATION = """\
@article{busso2008iemocap,
  title = {{IEMOCAP}: Interactive Emotional Dyadic Motion Capture Database},
  author = {Busso, Carlos and Bulut, Murtaza and Lee, Chi-Chun and Kazemzadeh, Abe and Mower, Emily and Kim, Samuel and
            Chang, Jeannette N. and Lee, Sungbok and Narayanan, Shrikanth S.},
  journal = {Language Resources and Evaluation}, volume = {42}, number = {4}, pages = {335--359}, year = {2008}
}"""

_UTTERANCE = re.compile(r"Ses0([1-5])([FM])_(?:impro|script)\w*?_([FM])(?:XX)?\d+")
_SUMMARY = re.compile(r"\[\s*([\d.]+)\s*-\s*([\d.]+)\s*\]\s+(\S+)\s+(\w+)\s+\[([^\]]*)\]")
_TRANSCRIPT = re.compile(r"(Ses\w+)\s*\[[^\]]*\]\s*:?\s*(.*)")


@dataclass(frozen=True)
class Utterance:
    """One line of an evaluation: who says it, when (seconds of the dialogue), and what the evaluators heard in it.

    `valence`, `activation` and `dominance` are means over the evaluators, from 1 to 5.
    """

    name: str
    start_seconds: float
    end_seconds: float
    code: str
    valence: float
    activation: float
    dominance: float

    @property
    def dialog(self) -> str:
        return self.name.rsplit("_", 1)[0]

    @property
    def session(self) -> str:
        return self.name[:5]

    @property
    def letter(self) -> str:
        """`"F"` or `"M"`: who speaks, whoever wears the markers."""
        return self.name.rsplit("_", 1)[1][0]

    @property
    def frame_region(self) -> list[float]:
        """The half of the picture that shows the speaker."""
        return LEFT_HALF if self.letter == self.dialog[5] else RIGHT_HALF

    def columns(self) -> dict:
        """What the line says, as columns of the schema."""
        return {
            "clip_id": self.name,
            "start_seconds": self.start_seconds,
            "end_seconds": self.end_seconds,
            "label": LABEL_OF.get(self.code),
            "label_raw": self.code,
            "targets": [self.valence, self.activation, self.dominance],
            "speaker_id": f"{self.session}{self.letter}",
            "session_id": self.session,
            "utterance_group": self.name,
            "gender": "female" if self.letter == "F" else "male",
        }


def parse_summary_line(line: str) -> Utterance:
    """Read the line of an evaluation file that sums up an utterance.

    Args:
        line (`str`): such as `"[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]"`.

    Returns:
        `Utterance`: its fields.

    Raises:
        ValueError: If the line is not of this form, or no stretch of time.
    """
    match = _SUMMARY.match(line)
    try:
        start, end, name, code, ratings = match.groups()
        utterance = Utterance(name, float(start), float(end), code, *(float(value) for value in ratings.split(",")))
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            "Expected [start - end], utterance, emotion and [valence, activation, dominance], such as "
            f"[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000], received {line.strip()[:100]!r}."
        ) from None
    if not _UTTERANCE.fullmatch(name) or not start < end:
        raise ValueError(
            f"Expected an utterance of IEMOCAP that ends after its start, received {line.strip()[:100]!r}."
        )
    return utterance


def read_transcripts(path: Path) -> dict[str, str]:
    """What is said in each utterance of a dialogue; lines that name no utterance are passed over."""
    lines = path.read_text(encoding="latin-1").splitlines()
    matches = (_TRANSCRIPT.match(line.strip()) for line in lines)
    return {match.group(1): match.group(2).strip() for match in matches if match}


@dataclass
class IemocapConfig(CorpusConfig):
    """Options.

    `excited` is `"merged"` (default: excited is happy, 5,531 utterances) or `"dropped"` (4,490). `folds` is `"session"`
    (default: five folds, both actors of a session) or `"speaker"` (ten: the other actor of the dialogue is trained on).
    """

    excited: str = "merged"
    folds: str = "session"


class Iemocap(EmotionCorpusBuilder):
    """IEMOCAP in four classes from the licensed release: the sound of each utterance and its speaker's half of the video.

    `Iemocap(data_dir="IEMOCAP_full_release", excited="merged", folds="session")`. Without the videos, sound alone.
    """

    BUILDER_CONFIG_CLASS = IemocapConfig
    NAME = "iemocap"
    LABELS = EMOTIONS
    TARGETS = ["valence", "activation", "dominance"]
    LICENSE = "IEMOCAP licence: research only, no redistribution"
    LICENSE_ID = "other"
    WHY_NOT_SHARED = "Its licence forbids passing on the recordings, and what was made of them."
    HOMEPAGE = HOMEPAGE
    CITATION = CITATION
    EXPECTED = "the folders Session1 to Session5 of IEMOCAP_full_release"
    HOW_TO_GET = f"USC licenses IEMOCAP to researchers on request at {HOMEPAGE}iemocap_release.htm; the licence forbids passing it on."

    def scan(self, config: IemocapConfig) -> CorpusScan:
        for option, values in (("excited", ("merged", "dropped")), ("folds", ("session", "speaker"))):
            if getattr(config, option) not in values:
                raise ValueError(
                    f"Expected {option} to be {values[0]!r} or {values[1]!r}, received {getattr(config, option)!r}."
                )
        scan, counts = CorpusScan(), Counter()
        sessions = self.session_folders(config)
        for session in sessions:
            for evaluation in sorted((session / "dialog" / "EmoEvaluation").glob("*.txt"), key=str):
                if not evaluation.name.startswith("."):
                    self.scan_dialog(scan, counts, session, evaluation, config)
        fold_column = "session_id" if config.folds == "session" else "speaker_id"
        names = sorted({row[fold_column] for row in scan.rows}, key=natural_key)
        for row in scan.rows:
            row["fold"] = names.index(row[fold_column])
        if scan.rows and not any(row["video"] for row in scan.rows):
            warnings.warn(
                "iemocap: no videos (Session*/dialog/avi/DivX/*.avi): the table has sound alone.", stacklevel=2
            )
        if len(sessions) == len(SESSIONS):
            warn_if_incomplete(counts)
        return scan

    def session_folders(self, config: IemocapConfig) -> list[Path]:
        folder = self.corpus_folder(config)
        inner = folder / "IEMOCAP_full_release"
        folder = inner if inner.is_dir() else folder
        return [path for number in SESSIONS if (path := folder / f"Session{number}").is_dir()]

    def scan_dialog(self, scan: CorpusScan, counts: Counter, session: Path, evaluation: Path, config: IemocapConfig):
        """Add the utterances of one dialogue that have a class; count the codes of all."""
        if reason := unreadable(evaluation):
            scan.skip(evaluation, reason)
            return
        dialog = evaluation.stem
        transcription = session / "dialog" / "transcriptions" / evaluation.name
        transcripts = {} if unreadable(transcription) else read_transcripts(transcription)
        video = session / "dialog" / "avi" / "DivX" / f"{dialog}.avi"
        if video.exists() and (reason := unreadable(video)):
            scan.skip(video, f"{reason}: its utterances have sound alone")
        has_video = not unreadable(video)
        scan.files += [evaluation] + [transcription] * bool(transcripts) + [video] * has_video
        seen = set()
        for number, line in enumerate(evaluation.read_text(encoding="latin-1").splitlines(), start=1):
            # Below each summary stand the answers of single evaluators; the header begins with a percent sign.
            if not line.startswith("["):
                continue
            where = f"{evaluation}, line {number}"
            try:
                utterance = parse_summary_line(line)
            except ValueError:
                scan.skip(where, "not the summary of an utterance")
                continue
            if utterance.dialog != dialog or utterance.name in seen:
                scan.skip(where, f"{utterance.name} is of another dialogue, or here twice")
                continue
            seen.add(utterance.name)
            counts[utterance.code] += 1
            if utterance.code not in LABEL_OF or (utterance.code == "exc" and config.excited == "dropped"):
                continue
            audio = session / "sentences" / "wav" / dialog / f"{utterance.name}.wav"
            if unreadable(audio):
                scan.skip(audio, "no sound file of this utterance, or one that cannot be read")
                counts[utterance.code] -= 1
                continue
            scan.files.append(audio)
            scan.rows.append(
                {
                    **utterance.columns(),
                    "video": str(video) if has_video else None,
                    "audio": str(audio),
                    "audio_offset_seconds": utterance.start_seconds,
                    "frame_region": utterance.frame_region if has_video else None,
                    "text": transcripts.get(utterance.name),
                }
            )


def warn_if_incomplete(counts: Counter) -> None:
    """Compare a release of five sessions with the published numbers, and say which code differs."""
    different = [
        f"{counts[code]} instead of {PUBLISHED_COUNTS.get(code, 0)} {code}"
        for code in sorted({*PUBLISHED_COUNTS, *counts})
        if counts[code] != PUBLISHED_COUNTS.get(code, 0)
    ]
    if different:
        warnings.warn(
            f"iemocap: five sessions are there, but not the published utterances: {', '.join(different)}. Scores on them do "
            "not compare with published ones; get a complete copy, or say so beside every score.",
            stacklevel=3,
        )
