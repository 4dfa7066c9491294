# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Prosody of made sounds whose pitch, level and rhythm are known."""

import numpy as np
import pytest

from modeling_tacfn import TacfnFeatureExtractor, TacfnProcessor
from modeling_tacfn.prosody import PROSODY_NAMES, prosody_functionals, prosody_tracks


RATE = 16000


def voice(pitch, seconds: float = 1.0, rate: int = RATE, level: float = 0.1) -> np.ndarray:
    """A buzz of up to 20 partials; `pitch` in Hz, a number or one per sample."""
    partials = min(20, int(rate / 2.1 / np.max(pitch)))
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(pitch, round(seconds * rate))) / rate
    return (level * sum(np.sin(k * phase) / k for k in range(1, partials + 1))).astype(np.float32)


def describe(waveform: np.ndarray, rate: int = RATE) -> dict[str, float]:
    return dict(zip(PROSODY_NAMES, prosody_functionals(waveform, rate).tolist(), strict=True))


def semitones(pitch: float) -> float:
    return 12 * np.log2(pitch / 55)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000])
@pytest.mark.parametrize("pitch", [80.0, 117.0, 220.0, 390.0])
def test_pitch_of_a_steady_voice(pitch, rate):
    found = describe(voice(pitch, rate=rate), rate)
    assert found["pitch_p50"] == pytest.approx(semitones(pitch), abs=0.1)
    assert found["pitch_range"] < 0.2
    assert found["voiced_share"] > 0.95


def test_a_rising_voice_has_its_slope_in_semitones_per_second():
    rising = describe(voice(110 * 2 ** np.linspace(0, 1, RATE)))
    assert rising["pitch_slope"] == pytest.approx(12, abs=0.5)
    assert rising["pitch_rising_share"] > 0.9
    assert describe(voice(110 * 2 ** np.linspace(1, 0, RATE)))["pitch_slope"] == pytest.approx(-12, abs=0.5)


def test_single_jumps_by_an_octave_are_smoothed_away():
    pitch = np.full(RATE, 150.0)
    pitch[8000:8320] = 300.0  # 20 ms
    assert describe(voice(pitch))["pitch_range"] < 1


def test_ten_times_the_amplitude_is_twenty_decibels_and_nothing_else():
    quiet, loud = describe(voice(200, level=0.1)), describe(voice(200, level=1.0))
    moved = {name for name in PROSODY_NAMES if abs(loud[name] - quiet[name]) > 0.05}
    assert moved == {name for name in PROSODY_NAMES if name.startswith("level_p")}
    assert loud["level_p50"] - quiet["level_p50"] == pytest.approx(20, abs=0.05)


def test_runs_of_voice_are_counted():
    silence = np.zeros(round(0.2 * RATE), np.float32)
    syllables = np.concatenate([part for _ in range(4) for part in (voice(150, 0.2), silence)])
    found = describe(syllables)
    assert found["voiced_runs_per_second"] * found["active_seconds"] == pytest.approx(4, abs=0.01)
    assert found["voiced_run_mean"] == pytest.approx(0.2, abs=0.04)


def test_a_brighter_sound_has_a_higher_centroid_and_a_lower_alpha_ratio():
    time = np.arange(RATE) / RATE
    dark = voice(150)
    bright = dark + (0.1 * np.sin(2 * np.pi * 3000 * time)).astype(np.float32)
    dark, bright = describe(dark), describe(bright)
    assert bright["centroid_mean"] > dark["centroid_mean"] + 0.5
    assert bright["alpha_ratio_mean"] < dark["alpha_ratio_mean"] - 5
    assert bright["hammarberg_index_mean"] < dark["hammarberg_index_mean"] - 5


def test_noise_has_no_pitch_but_all_the_rest():
    found = describe(np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32))
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {name for name in PROSODY_NAMES if name.startswith("pitch")}


@pytest.mark.parametrize("samples", [1, 100, 639, 640, 641, 3200])
def test_very_short_sound_has_no_infinity(samples):
    assert not np.isinf(prosody_functionals(voice(150)[:samples], RATE)).any()


def test_a_long_recording_in_blocks_is_one_recording():
    long = voice(150 + 40 * np.sin(np.linspace(0, 60, 30 * RATE)), 30.0)
    tracks, piece = prosody_tracks(long, RATE), prosody_tracks(long[20 * RATE - 8000 : 20 * RATE + 8000], RATE)
    for whole, part in zip(tracks, piece, strict=True):
        np.testing.assert_allclose(whole[..., 1960:2040], part[..., 10:90], atol=1e-6)


def test_too_low_a_rate_is_refused():
    with pytest.raises(ValueError, match="4000 Hz.*got 4000"):
        prosody_functionals(np.ones(4000, np.float32), 4000)


@pytest.fixture
def processor() -> TacfnProcessor:
    extractor = TacfnFeatureExtractor(feature_type="log_mel", feature_size=16, num_mel_bins=16, sampling_rate=RATE)
    return TacfnProcessor(extractor, do_prosody=True, do_video=False)


def test_the_processor_describes_what_it_hears(processor):
    batch = processor(
        audio=[voice(150), None, voice(250, 0.5)],
        features={"units": [None, np.ones((3, 2)), None]},
        sampling_rate=RATE,
    )
    prosody, mask = batch["features"]["prosody"].numpy(), batch["feature_masks"]["prosody"].numpy()
    np.testing.assert_array_equal(prosody[0], prosody_functionals(voice(150), RATE))
    np.testing.assert_array_equal(prosody[2], prosody_functionals(voice(250, 0.5), RATE))
    assert mask.all(axis=1).tolist() == [True, False, True]
    assert not mask[1].any()
    assert batch["audio_mask"].any(1).tolist() == [True, False, True]


def test_what_is_given_is_not_computed(processor):
    given = np.arange(len(PROSODY_NAMES), dtype=np.float32)
    batch = processor(audio=voice(150), features={"prosody": given}, sampling_rate=RATE)
    np.testing.assert_array_equal(batch["features"]["prosody"][0], given)


def test_prosody_without_the_sound_itself(processor, tmp_path):
    processor.do_audio = False
    assert set(processor(audio=voice(150), sampling_rate=RATE)) == {"features", "feature_masks"}
    processor.do_prosody = False
    with pytest.raises(ValueError, match="expected features in this clip"):
        processor(audio=voice(150), sampling_rate=RATE)


def test_it_is_saved_and_loaded(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = TacfnProcessor.from_pretrained(tmp_path)
    assert loaded.do_prosody
    assert loaded.static_features == ["prosody"]
    assert loaded.feature_columns == {"prosody": list(PROSODY_NAMES)}


def test_a_speaker_whose_pitch_is_never_heard_can_be_normalised(processor):
    processor.is_speaker_normalized = True
    noise = [np.random.default_rng(seed).normal(0, 0.05, RATE).astype(np.float32) for seed in range(3)]
    statistics = processor.speaker_statistics([processor.read(audio=clip, sampling_rate=RATE) for clip in noise])
    batch = processor(audio=noise[0], sampling_rate=RATE, speaker=statistics)
    assert batch["features"]["prosody"].isfinite().all()
    assert not batch["feature_masks"]["prosody"][0, :12].any()
