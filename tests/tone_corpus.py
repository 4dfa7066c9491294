"""A corpus of sine tones with a vector of units each, for tests of training.

Not in a test file, because `datasets` replaces `os` and `Path` in the file of a builder by versions that read from the net.
"""

from pathlib import Path

import datasets
import numpy as np
import soundfile

from dataset_scripts.base import CorpusScan, EmotionCorpusBuilder


SPEAKERS, TAKES = 4, 3
UNITS = [f"unit_{index}" for index in range(5)]
# A network and an audio front end that suit these tones.
NETWORK = {
    "feature_sizes": {"units": len(UNITS), "audio": 6},  # saved files sort their keys
    "static_features": ["units"],
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
AUDIO_PROCESSOR = {"sampling_rate": 8000, "n_fft": 256, "hop_length": 128, "num_mel_bins": 16, "feature_size": 6}


class Tones(EmotionCorpusBuilder):
    """Low tones are calm, high tones are angry; five units agree."""

    NAME = "tones"
    LABELS = ["calm", "angry"]
    LICENSE = "CC0-1.0"
    EXPECTED = "sound files named like s1_calm_0.wav"
    HOW_TO_GET = "The tests make them."
    FEATURE_TYPES = {"units": datasets.List(datasets.Value("float32"))}
    FEATURE_COLUMNS = {"units": UNITS}

    def scan(self, config):
        scan = CorpusScan()
        for path in scan.find_files(self.corpus_folder(config), (".wav",)):
            speaker, label, take = path.stem.split("_")
            draw = np.random.default_rng([ord(speaker[1]), ord(label[0]), int(take)])
            values = draw.normal(self.LABELS.index(label), 0.5, len(UNITS)) + int(speaker[1])
            row = {"clip_id": path.stem, "audio": str(path), "label": label, "label_raw": label, "speaker_id": speaker}
            scan.rows.append(row | {"features": {"units": values.tolist()}})
        return scan


class BareTones(Tones):
    """The same sounds without the units, for networks that take no named features."""

    NAME = "bare_tones"
    FEATURE_TYPES = {}
    FEATURE_COLUMNS = {}

    def scan(self, config):
        scan = super().scan(config)
        for row in scan.rows:
            del row["features"]
        return scan


class AskedTones(Tones):
    """The same sounds with a sentiment and two yes/no answers, on published sides, and nobody knows whose they are."""

    NAME = "asked_tones"
    TARGETS = ["sentiment", "calm", "angry"]
    YES_NO_TARGETS = ["calm", "angry"]

    def scan(self, config):
        scan = super().scan(config)
        for row in scan.rows:
            is_angry = row["label"] == "angry"
            row["targets"] = [-2.0 if is_angry else 1.0, float(not is_angry), float(is_angry)]
            row["split"] = {"s0": "test", "s1": "validation"}.get(row["speaker_id"], "train")
            row |= {"speaker_id": None, "fold": None}
        return scan


def write_tones(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for speaker in range(SPEAKERS):
        for label, pitch in (("calm", 300), ("angry", 900)):
            for take in range(TAKES):
                time_axis = np.arange(4000 + 800 * take) / 8000
                tone = 0.3 * np.sin(2 * np.pi * (pitch + 40 * speaker + 10 * take) * time_axis)
                soundfile.write(folder / f"s{speaker}_{label}_{take}.wav", tone, 8000)
    return folder
