"""`predict` as a function, and the picture of an answer."""

import re

import numpy as np
import pytest
import torch
from media_samples import tone
from tiny_models import build

from modeling_tacfn import TacfnFeatureExtractor, TacfnProcessor
from modeling_tacfn.prediction import Prediction, predict, speaker_statistics
from modeling_tacfn.prediction_plot import highlight, plot_prediction, relative, slot_of_frame
from modeling_tacfn.processing_tacfn import ClipInputs


RATE = 22050


@pytest.fixture(scope="module")
def network():
    return build("features")


def processor(is_speaker_normalized: bool) -> TacfnProcessor:
    return TacfnProcessor(
        TacfnFeatureExtractor(feature_type="log_mel", feature_size=20, num_mel_bins=20, sampling_rate=RATE),
        static_features=["units"],
        do_video=False,
        is_speaker_normalized=is_speaker_normalized,
    )


def spoken(seed: int) -> dict:
    units = np.random.default_rng(seed).random(7, np.float32)
    return {"audio": tone(1.0, RATE, 200 + 40 * seed), "sampling_rate": RATE, "features": {"units": units}}


def test_a_speaker_normalised_network_asks_for_speaker_clips(network):
    normalizing = processor(is_speaker_normalized=True)
    for nothing in (None, []):
        with pytest.raises(ValueError, match=r"`speaker_clips` \(`--speaker_clips` of the command\)"):
            predict(network, normalizing, speaker_clips=nothing, **spoken(0))
    clips = [spoken(seed) for seed in range(3)]
    once = predict(network, normalizing, speaker_clips=clips, **spoken(0))
    statistics = speaker_statistics(normalizing, clips)
    assert predict(network, normalizing, statistics=statistics, **spoken(0)).scores == once.scores
    assert predict(network, processor(False), **spoken(0)).scores != once.scores


def test_speaker_clips_that_are_of_no_use_are_said_to_be(network, caplog):
    plain = processor(is_speaker_normalized=False)
    answer = predict(network, plain, speaker_clips=[spoken(1)], **spoken(0))
    assert "what is known of the speaker is not used" in caplog.text
    assert answer.scores == predict(network, plain, **spoken(0)).scores


def test_relative_weights_leave_out_what_is_absent():
    np.testing.assert_allclose(relative(np.array([0.0, 0.1, 0.3])), [0, 0.5, 1.5])
    np.testing.assert_array_equal(relative(np.zeros(3)), np.zeros(3))


def test_weights_that_are_nearly_equal_look_nearly_equal():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(highlight(picture, np.full((2, 2), 0.25)), picture)
    nearly = highlight(picture, 0.25 + np.array([[0.002, -0.002], [0.001, -0.001]]))
    assert np.abs(nearly.astype(int) - picture).max() <= 3
    pointed = highlight(picture, np.array([[0.97, 0.01], [0.01, 0.01]]))
    assert np.abs(pointed.astype(int) - picture).mean() > 30
    np.testing.assert_array_equal(highlight(picture, np.zeros((2, 2))), picture)


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 30, 32, 50])
def test_slots_are_those_of_the_network(frames):
    pictures = torch.zeros(1, frames, 3, 32, 32)
    with torch.inference_mode():
        slots = (
            build("audio_video").fusion.video_encoder(pictures, torch.ones(1, frames, dtype=torch.bool))[0].shape[1]
        )
    shown = [slot_of_frame(index, frames, slots) for index in range(frames)]
    assert shown[0] == 0
    assert shown[-1] == slots - 1
    assert shown == sorted(shown)
    assert [shown[centre] for centre in range(0, frames, 16)] == list(range(slots))


def seen_clip(with_times: bool) -> ClipInputs:
    return ClipInputs(
        crops=np.full((8, 16, 16, 3), 90, np.uint8),
        crops_valid=np.arange(8) >= 6,
        boxes=np.where(np.arange(8)[:, None] >= 6, [4.0, 4, 20, 20], np.nan),
        frames=np.full((8, 24, 32, 3), 60, np.uint8),
        frame_seconds=np.arange(8) / 2 if with_times else None,
    )


@pytest.mark.parametrize(("with_times", "expected"), [(True, ["3.0 s", "3.5 s"]), (False, ["frame 7", "frame 8"])])
def test_crops_name_the_frames_they_were_cut_from(with_times, expected, tmp_path):
    weights = {"video": np.full((1, 2, 2), 0.25, np.float32)}
    answer = Prediction({"happy": 0.7, "sad": 0.3}, seen_clip(with_times), weights, source="there/clip.mp4")
    plot_prediction(answer, tmp_path / "answer.svg")
    texts = re.findall(r"<!-- (.*?) -->", (tmp_path / "answer.svg").read_text(encoding="utf-8"))
    assert [text for text in texts if re.fullmatch(r"\d\.\d s|frame \d", text)] == 2 * expected
    assert "clip.mp4: happy (70 %)" in texts


def test_units_that_were_not_measured_are_not_drawn(tmp_path):
    values = np.array([0.5, np.nan, 2.0], np.float32)
    answer = Prediction(
        {"happy": 0.7, "sad": 0.3},
        ClipInputs(waveform=tone(1.0, RATE), sampling_rate=RATE, features={"units": values}),
        {"units": np.array([0.2, 0.0, 0.8]), "audio": np.array([0.5, 0.5])},
        {"units": ["AU01", "AU02", "AU04"]},
    )
    plot_prediction(answer, tmp_path / "answer.svg")
    text = (tmp_path / "answer.svg").read_text(encoding="utf-8")
    assert "AU01" in text
    assert "AU04" in text
    assert "AU02" not in text
    assert "the 2 highest" in text
