# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""CMU-MOSEI and CMU-MOSI: sentences from YouTube monologues with sentiment from -3 to 3, in MOSEI six emotions from 0 to 3 too.

Zadeh et al., ACL 2018 (MOSEI) and IEEE Intelligent Systems 31(6), 2016 (MOSI). Read from MulT's pickles, which bring the
published split, or from the computational sequences of CMU's SDK.
"""

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .base import CorpusScan, unreadable, walk
from .csd_files import ComputationalSequence, in_time, mean_of_words, overlapping
from .folds import SIDES, natural_key
from .word_features import ALIGNED, HOW_TO_GET, MODALITIES, SIDE_OF, UNALIGNED, WordFeatureConfig, WordFeatureCorpus


# Classes of the rounded sentiment, -3 to 3; the names are MOSI's.
SENTIMENTS = [
    *("strongly negative", "negative", "weakly negative", "neutral"),
    *("weakly positive", "positive", "strongly positive"),
]
EMOTIONS = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
CSD = "csd"
SDK = "https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK"
# A pause between words in the SDK's transcripts.
PAUSE = "sp"


def sentiment_class(value: float) -> str:
    """Name of the whole number nearest to a sentiment, cut to -3 to 3; halves go to the even one, as numpy rounds."""
    return SENTIMENTS[int(np.clip(np.round(value), -3, 3)) + 3]


@dataclass
class SentimentConfig(WordFeatureConfig):
    """Options: those of `WordFeatureConfig`; `form` may be `"csd"` too, and then

    `labels_csd`, `vectors_csd`, `words_csd`, `audio_csd` and `vision_csd` name the files where they are not the usual ones of
    the folder, and `split_file` a JSON file `{"train": [video, …], "valid": […], "test": […]}`: the lists are
    `mmsdk.mmdatasdk.cmu_mosei.standard_folds.standard_train_fold` and its neighbours in the SDK.
    """

    labels_csd: str | None = None
    vectors_csd: str | None = None
    words_csd: str | None = None
    audio_csd: str | None = None
    vision_csd: str | None = None
    split_file: str | None = None


class CmuMosei(WordFeatureCorpus):
    """CMU-MOSEI as sequences of text, sound and facial features per word, with sentiment and, from csd files, six emotions.

    `CmuMosei(data_dir=..., form="aligned", padding="kept")`. `targets` are the first of `TARGETS` that the files hold;
    `label` is the class of the rounded sentiment. `speaker_id` is the video: a person may speak in several videos, so that
    folds by speaker, and the published split, may still share people.
    """

    BUILDER_CONFIG_CLASS = SentimentConfig
    NAME = "cmu_mosei"
    LABELS = SENTIMENTS
    TARGETS = ["sentiment", *EMOTIONS]
    YES_NO_TARGETS = EMOTIONS
    LICENSE = "CMU-MOSEI: labels and features for research; the videos belong to their makers"
    LICENSE_ID = "other"
    WHY_NOT_SHARED = "The videos belong to the people who made them and put them on YouTube."
    HOMEPAGE = "http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/"
    CITATION = """\
@inproceedings{zadeh2018mosei,
  title = {Multimodal Language Analysis in the Wild: {CMU-MOSEI} Dataset and Interpretable Dynamic Fusion Graph},
  author = {Zadeh, AmirAli Bagher and Liang, Paul Pu and Poria, Soujanya and Cambria, Erik and Morency, Louis-Philippe},
  booktitle = {ACL}, year = {2018}
}"""
    EXPECTED = (
        "mosei_senti_data.pkl, mosei_senti_data_noalign.pkl (form='unaligned') or the SDK's .csd files (form='csd')"
    )
    HOW_TO_GET = f"{HOW_TO_GET} The csd files are those of {SDK}."
    FORMS = (ALIGNED, UNALIGNED, CSD)
    FILES = {ALIGNED: "mosei_senti_data.pkl", UNALIGNED: "mosei_senti_data_noalign.pkl"}
    # Usual names of the SDK's files, as the beginning of the name.
    CSD_FILES = {
        "labels_csd": "CMU_MOSEI_Labels",
        "vectors_csd": "CMU_MOSEI_TimestampedWordVectors",
        "words_csd": "CMU_MOSEI_TimestampedWords.",
        "audio_csd": "CMU_MOSEI_COVAREP",
        "vision_csd": "CMU_MOSEI_VisualFacet42",
    }

    def scan(self, config: SentimentConfig) -> CorpusScan:
        self.form = config.form
        return super().scan(config)

    def scan_pickle(self, config: SentimentConfig) -> CorpusScan:
        return self.scan_csd(config) if config.form == CSD else super().scan_pickle(config)

    # ---- from a pickle

    def check_labels(self, labels: np.ndarray) -> None:
        size = math.prod(labels.shape[1:])
        if size not in (1, len(self.TARGETS)):
            raise ValueError(
                f"{self.path}: expected labels of shape (clips, 1, 1), or with emotions {len(self.TARGETS)} numbers for each "
                f"clip, received {labels.shape}."
            )

    def pickle_row(self, side: str, index: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        if not isinstance(arrays.get("id"), (np.ndarray, list)):
            raise ValueError("the file has no ids, which tell the videos")
        parts = [_text(part) for part in np.ravel(arrays["id"][index])]
        video = parts[0].split("[")[0]
        start, end = (_seconds(part) for part in parts[1:3]) if len(parts) >= 3 else (None, None)
        clip_id = f"{video}[{parts[1]}]" if len(parts) >= 3 else parts[0]
        return _columns(clip_id, video, start, end, np.ravel(arrays["labels"][index]))

    # ---- from computational sequences

    def scan_csd(self, config: SentimentConfig) -> CorpusScan:
        scan = CorpusScan()
        files = {option: self.csd_file(config, option) for option in self.CSD_FILES}
        if all(path is None for path in files.values()):
            return scan
        needed = [option for option in files if files[option] is None and option != "words_csd"]
        if needed:
            raise FileNotFoundError(
                f"Expected computational sequences named {', '.join(self.CSD_FILES[option] for option in needed)}….csd in "
                f"{config.data_dir}; name them with the options {', '.join(needed)}. {self.HOW_TO_GET}"
            )
        self.csd_paths = {option: path for option, path in files.items() if path is not None}
        scan.files += self.csd_paths.values()
        side_of = read_split(config.split_file) if config.split_file else {}
        with ExitStack() as stack:
            opened = {name: stack.enter_context(ComputationalSequence(path)) for name, path in self.csd_paths.items()}
            for video in sorted(opened["labels_csd"].entries, key=natural_key):
                absent = [name for name in opened if video not in opened[name].entries and name != "words_csd"]
                if absent:
                    scan.skip(video, f"not in {', '.join(self.csd_paths[name].name for name in absent)}")
                    continue
                self.scan_video(scan, video, opened, side_of.get(video))
        if side_of and not any(row["split"] for row in scan.rows):
            raise ValueError(f"Expected video ids of this corpus in {config.split_file}, found none of them.")
        return scan

    def csd_file(self, config: SentimentConfig, option: str) -> Path | None:
        """The file that is named, or the only one of the usual name."""
        if (named := getattr(config, option)) is not None:
            path = Path(named).expanduser().absolute()
            if reason := unreadable(path):
                raise FileNotFoundError(f"Expected a computational sequence as {option}, but {path} is {reason}.")
            return path
        beginning = self.CSD_FILES[option]
        found = [
            path
            for path in walk(self.corpus_folder(config))
            if path.name.startswith(beginning) and path.suffix == ".csd"
        ]
        if len(found) > 1:
            raise ValueError(
                f"Expected one {beginning}….csd, found {', '.join(map(str, sorted(found)))}. Name one with the option {option}."
            )
        return found[0] if found else None

    def scan_video(self, scan: CorpusScan, video: str, opened: dict[str, ComputationalSequence], side: str | None):
        intervals, labels = opened["labels_csd"].read(video)
        words, _ = opened["vectors_csd"].read(video)
        spoken = in_time(*opened["words_csd"].read(video)) if video in _entries(opened.get("words_csd")) else None
        for number, ((start, end), values) in enumerate(zip(intervals, labels, strict=True)):
            clip_id = f"{video}[{number}]"
            # Numbered as the file has them, which is how the SDK calls them.
            if not overlapping(words, start, end).any():
                scan.skip(clip_id, f"no word between {start:.2f} and {end:.2f} s")
                continue
            try:
                row = _columns(clip_id, video, float(start), float(end), values) | {"split": side}
            except ValueError as error:
                scan.skip(clip_id, str(error))
                continue
            if spoken is not None:
                inside = spoken[1][overlapping(spoken[0], start, end)]
                row["text"] = " ".join(word for word in map(_text, inside[:, 0]) if word != PAUSE)
            scan.rows.append(row)

    def _generate_examples(self, rows) -> Iterator[tuple[str, dict]]:
        yield from self.aligned_examples(rows) if self.form == CSD else super()._generate_examples(rows)

    def aligned_examples(self, rows) -> Iterator[tuple[str, dict]]:
        """Rows with the means of every feature over each word that the sentence overlaps."""
        sources = dict(zip(MODALITIES, ("vectors_csd", "audio_csd", "vision_csd"), strict=True))
        video, steps, num_broken = None, {}, dict.fromkeys(MODALITIES, 0)
        with ExitStack() as stack:
            opened = {
                name: stack.enter_context(ComputationalSequence(self.csd_paths[source]))
                for name, source in sources.items()
            }
            for row in rows:
                if row["speaker_id"] != video:
                    video = row["speaker_id"]
                    steps = {name: sequence.read(video) for name, sequence in opened.items()}
                intervals, vectors = in_time(*steps["text"])
                inside = overlapping(intervals, row["start_seconds"], row["end_seconds"])
                features = {"text": np.where(np.isfinite(vectors[inside]), vectors[inside], 0).astype(np.float32)}
                for name in ("audio", "vision"):
                    features[name], broken = mean_of_words(intervals[inside], *steps[name])
                    num_broken[name] += broken
                yield row["clip_id"], {**row, "features": features}
        found = ", ".join(f"{count} in {name}" for name, count in num_broken.items() if count)
        if found:
            warnings.warn(
                f"{self.NAME}: numbers that are not finite were read as 0, as in the pickles made with the SDK: {found}.",
                stacklevel=2,
            )


class CmuMosi(CmuMosei):
    """CMU-MOSI as sequences of text, sound and facial features per word, with sentiment.

    `CmuMosi(data_dir=..., form="aligned", padding="kept")`. In its pickles sound has 5 and vision 20 numbers, which its makers
    chose. `speaker_id` is the video: 93 videos of 89 people, so that folds by speaker may still share a person.
    """

    NAME = "cmu_mosi"
    TARGETS = ["sentiment"]
    YES_NO_TARGETS = []
    LICENSE = "CMU-MOSI: labels and features for research; the videos belong to their makers"
    HOMEPAGE = "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/"
    CITATION = """\
@article{zadeh2016mosi,
  title = {Multimodal Sentiment Intensity Analysis in Videos: Facial Gestures and Verbal Messages},
  author = {Zadeh, Amir and Zellers, Rowan and Pincus, Eli and Morency, Louis-Philippe},
  journal = {IEEE Intelligent Systems}, volume = {31}, number = {6}, pages = {82--88}, year = {2016}
}"""
    EXPECTED = "mosi_data.pkl, mosi_data_noalign.pkl (form='unaligned') or the SDK's .csd files (form='csd')"
    FILES = {ALIGNED: "mosi_data.pkl", UNALIGNED: "mosi_data_noalign.pkl"}
    CSD_FILES = {
        "labels_csd": "CMU_MOSI_Opinion_Labels",
        "vectors_csd": "CMU_MOSI_TimestampedWordVectors",
        "words_csd": "CMU_MOSI_TimestampedWords.",
        "audio_csd": "CMU_MOSI_COVAREP",
        "vision_csd": "CMU_MOSI_Visual_Facet_42",
    }


def _columns(clip_id: str, video: str, start: float | None, end: float | None, values: np.ndarray) -> dict[str, Any]:
    """What a sentence's place and labels say, as columns of the schema."""
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(f"expected finite labels, received {values.tolist()}")
    if len(values) not in (1, 1 + len(EMOTIONS)):
        raise ValueError(f"expected the sentiment, or it and {len(EMOTIONS)} emotions, received {len(values)} numbers")
    return {
        "clip_id": clip_id,
        "start_seconds": start,
        "end_seconds": end,
        "label": sentiment_class(values[0]),
        "label_raw": f"{values[0]:.4g}",
        "targets": [float(value) for value in values],
        "speaker_id": video,
        "utterance_group": clip_id,
    }


def read_split(path: str | Path) -> dict[str, str]:
    """Read which side of the published split each video is on.

    Args:
        path (`str` or `Path`): JSON, `{"train": [video, …], "valid": […], "test": […]}`.

    Returns:
        `dict[str, str]`: one of `folds.SIDES` for each video.

    Raises:
        ValueError: If it is not of this form, or a video is on two sides.
    """
    expected = f'{path}: expected JSON {{"train": [video, …], "valid": […], "test": […]}}'
    try:
        content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{expected}, but it cannot be read ({error}).") from error
    if not isinstance(content, dict) or not set(content) <= {*SIDE_OF, *SIDES}:
        raise ValueError(
            f"{expected}, received {list(content) if isinstance(content, dict) else type(content).__name__}."
        )
    side_of: dict[str, str] = {}
    for name, videos in content.items():
        side = SIDE_OF.get(name, name)
        if not isinstance(videos, list) or not all(isinstance(video, str) for video in videos):
            raise ValueError(f"{expected}; {name} is no list of video ids.")
        for video in videos:
            if side_of.setdefault(video, side) != side:
                raise ValueError(f"{path}: video {video} is both in {side_of[video]} and in {side}.")
    return side_of


def _entries(sequence: ComputationalSequence | None) -> dict:
    return {} if sequence is None else sequence.entries


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
