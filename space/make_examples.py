"""Make the example clips of the demo from the synthetic corpus (CC0-1.0): `python space/make_examples.py`."""

import sys
from itertools import chain, product
from pathlib import Path

import numpy as np
import soundfile


ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dataset_scripts.synthetic import write_clip  # noqa: E402
from dataset_scripts.synthetic_takes import FRAME_RATE, LABELS, Take, perform_take  # noqa: E402
from dataset_scripts.synthetic_voices import SAMPLING_RATE  # noqa: E402


FOLDER = ROOT / "modeling_tacfn" / "demo_examples"
# Speakers 1 to 4 are tested, and never trained on, in fold 0 of configs/synthetic.yaml.
SPEAKERS = {"neutral": 4, "calm": 2, "happy": 1, "sad": 2, "angry": 3, "fearful": 4, "disgust": 1, "surprised": 3}
TALK = ("calm", "happy", "angry", "sad", "surprised")


def take(emotion: str, speaker: int, statement: int = 1) -> Take:
    """A clip whose face and voice both show the emotion."""
    intensity = 1 if emotion in ("neutral", "calm") else 2
    return Take(speaker, emotion, intensity, statement, repetition=1, ambiguous_face=False, ambiguous_voice=False)


def main() -> None:
    """Write a clip of each emotion, a talk that goes through several, and a voice alone."""
    for emotion in LABELS:
        frames, speech = perform_take(take(emotion, SPEAKERS[emotion]))
        write_clip(FOLDER / f"{emotion}.mp4", frames, speech.waveform)
    pictures, sounds = [], []
    for emotion, statement in product(TALK, (1, 2)):
        frames, speech = perform_take(take(emotion, 2, statement))
        pictures.append(list(frames))
        sound = np.zeros(len(pictures[-1]) * SAMPLING_RATE // FRAME_RATE, np.float32)
        sound[: len(speech.waveform)] = speech.waveform[: len(sound)]
        sounds.append(sound)
    write_clip(FOLDER / "talk.mp4", chain.from_iterable(pictures), np.concatenate(sounds))
    _, speech = perform_take(take("angry", 1))
    soundfile.write(FOLDER / "angry_voice.flac", speech.waveform, SAMPLING_RATE)


if __name__ == "__main__":
    main()
