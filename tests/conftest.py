"""Fixtures shared by all tests."""

import os
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
# The tests import their own helper modules and train.py, which are not installed.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# First of all: where torchaudio does not fit torch, the package makes it importable, and tests take from transformers what needs it.
import modeling_tacfn  # noqa: E402, F401


@pytest.fixture(scope="session", autouse=True)
def no_progress_bars():
    import datasets

    datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings that `TACFN_DATA` names; its tests are skipped where there is none."""
    folder = os.environ.get("TACFN_DATA")
    if not folder:
        pytest.skip("set TACFN_DATA to the folder with the real recordings")
    return Path(folder)


@pytest.fixture(scope="module")
def recording():
    """100 numbered frames, and four seconds of sound at 48 kHz with four bursts."""
    from media_samples import bursts, numbered_frames

    return numbered_frames(100), bursts(4, [0.0, 1.0, 2.0, 3.5], 48000)


@pytest.fixture(scope="module")
def mp4(tmp_path_factory, recording):
    """Four seconds at 25 frames/s with B-frames and a keyframe about every second."""
    from media_samples import write_mp4

    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    return write_mp4(
        path, *recording, 48000, codec_options={"preset": "fast", "bf": "3", "g": "25", "sc_threshold": "0"}
    )
