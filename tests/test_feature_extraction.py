"""MFCC and log-mel: equal to librosa, the same alone and in a batch, and clear about inputs that cannot be right."""

import time

import numpy as np
import pytest
import soundfile
import torch

from modeling_tacfn.feature_extraction_tacfn import TacfnFeatureExtractor
from modeling_tacfn.media import resample


librosa = pytest.importorskip("librosa")
BACKENDS = ["numpy", "torchaudio"]


def voice(seconds: float, rate: int = 44100, seed: int = 0) -> np.ndarray:
    """Harmonics of a gliding pitch under a syllable-like envelope, with noise and a silent gap."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * times)) / rate
    sound = sum(np.sin(k * phase) / k for k in range(1, 20)) * np.abs(np.sin(2 * np.pi * 2 * times))
    sound += 0.01 * generator.normal(size=len(times))
    sound[len(sound) // 2 : len(sound) // 2 + 2000] = 0
    return (0.2 * sound).astype(np.float32)


def mfcc(waveform, rate=44100, **options):
    return librosa.feature.mfcc(y=waveform, sr=rate, n_mfcc=options.pop("n_mfcc", 13), **options).T


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seconds", [3.5, 0.5, 2048 / 44100, 0.02])
def test_mfcc_equals_librosa(backend, seconds):
    waveform = voice(seconds)
    features = TacfnFeatureExtractor(backend=backend)(waveform, 44100)["input_features"]
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[0], mfcc(waveform), atol=1e-3, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"sampling_rate": 22050, "feature_size": 10}, {"n_mfcc": 10}),
        ({"sampling_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "num_mel_bins": 40}, {}),
        ({"sampling_rate": 22050, "min_frequency": 50.0, "max_frequency": 8000.0, "num_mel_bins": 64}, {}),
    ],
)
def test_other_settings_equal_librosa(backend, settings, options):
    extractor = TacfnFeatureExtractor(backend=backend, **settings)
    rate = extractor.sampling_rate
    waveform = voice(1.0, rate)
    names = {"win_length": "win_length", "num_mel_bins": "n_mels", "min_frequency": "fmin", "max_frequency": "fmax"}
    options = options | {names[name]: value for name, value in settings.items() if name in names}
    expected = mfcc(waveform, rate, n_fft=extractor.n_fft, hop_length=extractor.hop_length, **options)
    np.testing.assert_allclose(extractor(waveform, rate)["input_features"][0], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_log_mel_equals_librosa(backend):
    waveform = voice(1.0)
    extractor = TacfnFeatureExtractor("log_mel", feature_size=64, num_mel_bins=64, backend=backend)
    expected = librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=44100, n_mels=64), top_db=80.0).T
    np.testing.assert_allclose(extractor(waveform, 44100)["input_features"][0], expected, atol=1e-3, rtol=0)


@pytest.mark.real_data
def test_real_speech_equals_librosa(real_data):
    paths = sorted((real_data / "ravdess" / "audio_speech").glob("Actor_*/*.flac"))[::150]
    assert len(paths) == 8
    for path in paths:
        waveform, rate = soundfile.read(path, dtype="float32")
        waveform = resample(waveform, rate, 44100)
        for backend in BACKENDS:
            features = TacfnFeatureExtractor(backend=backend)(waveform, 44100)["input_features"][0]
            np.testing.assert_allclose(features, mfcc(waveform), atol=1e-3, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("num_samples", [1, 100, 511, 512, 1600, 44100])
def test_number_of_frames(backend, num_samples):
    extractor = TacfnFeatureExtractor(backend=backend)
    batch = extractor(voice(1.0)[:num_samples], 44100)
    assert batch["input_features"].shape == (1, 1 + num_samples // 512, 13)
    assert extractor.num_frames(num_samples) == 1 + num_samples // 512
    assert np.isfinite(batch["input_features"]).all()
    assert batch["audio_mask"].all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_alone_equals_batched(backend):
    # A quiet clip beside a loud one: the 80 dB range is each clip's own. The long one pads all others.
    clips = [voice(0.3), 0.001 * voice(0.7, seed=1), voice(1.5, seed=2), voice(0.011), np.zeros(700, np.float32)]
    extractor = TacfnFeatureExtractor(backend=backend, padding_value=-7.0)
    batch = extractor(clips, 44100, return_tensors="pt")
    assert batch["audio_mask"].dtype == torch.bool
    for index, clip in enumerate(clips):
        alone = extractor(clip, 44100, return_tensors="pt")["input_features"][0]
        assert batch["audio_mask"][index].tolist() == [
            step < len(alone) for step in range(batch["audio_mask"].shape[1])
        ]
        torch.testing.assert_close(batch["input_features"][index, : len(alone)], alone, atol=1e-4, rtol=0)
        assert (batch["input_features"][index, len(alone) :] == -7).all()


def test_backends_agree():
    clips = [voice(1.0), voice(0.2, seed=3)]
    batches = [TacfnFeatureExtractor(backend=backend)(clips, 44100)["input_features"] for backend in BACKENDS]
    np.testing.assert_allclose(*batches, atol=1e-3, rtol=0)


def test_a_device_selects_torchaudio_and_keeps_the_result_there():
    extractor = TacfnFeatureExtractor()
    assert not extractor._uses_torchaudio(None)
    assert extractor._uses_torchaudio("cpu")
    batch = extractor(voice(0.3), 44100, return_tensors="pt", device="cpu")
    assert batch["input_features"].device == torch.device("cpu")


@pytest.mark.gpu
def test_gpu_equals_cpu():
    clips = [voice(1.0), voice(0.2, seed=3)]
    extractor = TacfnFeatureExtractor()
    on_gpu = extractor(clips, 44100, return_tensors="pt", device="cuda")
    assert on_gpu["input_features"].is_cuda
    assert on_gpu["audio_mask"].is_cuda
    expected = extractor(clips, 44100, return_tensors="pt")["input_features"]
    torch.testing.assert_close(on_gpu["input_features"].cpu(), expected, atol=1e-3, rtol=0)


def test_numpy_is_fast():
    extractor, waveform = TacfnFeatureExtractor(), voice(3.5)
    extractor(waveform, 44100)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        extractor(waveform, 44100)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.03


def test_resamples_when_the_rate_differs(caplog):
    times = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 1000 * times).astype(np.float32)
    extractor = TacfnFeatureExtractor("log_mel", feature_size=64, num_mel_bins=64)
    from_48k = extractor(tone, 48000)["input_features"][0]
    at_44k = extractor(np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100), 44100)["input_features"][0]
    assert from_48k.shape == at_44k.shape
    assert (from_48k.argmax(1)[5:-5] == at_44k.argmax(1)[5:-5]).all()
    # The same samples taken for 44.1 kHz would be another tone: the warning is all that stands between.
    assert (extractor(tone)["input_features"][0].argmax(1)[5:-5] != at_44k.argmax(1)[5]).all()


def test_warns_without_a_rate(caplog):
    TacfnFeatureExtractor()(voice(0.1))
    assert "44100 Hz is assumed" in caplog.text


def test_warns_about_unscaled_integers_in_floats(caplog):
    TacfnFeatureExtractor()(voice(0.1) * 32768, 44100)
    assert "divide by 32768" in caplog.text


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_integers_are_scaled_by_their_range(dtype):
    waveform = voice(0.5)
    scaled = (waveform * -float(np.iinfo(dtype).min)).astype(dtype)
    extractor = TacfnFeatureExtractor()
    np.testing.assert_allclose(extractor.waveform(scaled, 44100), waveform, atol=2**-15)


def test_accepts_tensors_lists_and_float64():
    extractor, waveform = TacfnFeatureExtractor(), voice(0.1)
    expected = extractor(waveform, 44100)["input_features"]
    for other in (torch.from_numpy(waveform), waveform.tolist(), waveform.astype(np.float64), [waveform]):
        np.testing.assert_array_equal(extractor(other, 44100)["input_features"], expected)
    assert extractor([waveform.tolist(), waveform], 44100)["input_features"].shape[0] == 2


def test_input_is_not_changed():
    waveform = voice(0.1)
    copy = waveform.copy()
    TacfnFeatureExtractor()(waveform, 44100)
    np.testing.assert_array_equal(waveform, copy)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 44100), np.float32), r"axis 0 looks like channels.*mean\(axis=0\)"),
        (np.zeros((44100, 2), np.float32), r"axis 1 looks like channels.*mean\(axis=1\)"),
        (np.zeros((1, 2, 3), np.float32), r"got an array of shape \(1, 2, 3\)"),
        (np.zeros(0, np.float32), "got an empty one"),
        ([], "got an empty one"),
        ([voice(0.1), np.zeros(0, np.float32)], "got an empty one"),
        (np.array([0, np.nan, np.nan, 0], np.float32), r"NaN or infinity in 2 of 4 \(first at 1\)"),
        (np.array([0, np.inf], np.float32), "NaN or infinity in 1 of 2"),
        (np.zeros(10, np.uint8), "got dtype uint8"),
        (np.zeros(10, bool), "got dtype bool"),
        (np.array(["a"]), "got dtype <U1"),
        (np.float32(0.5), r"shape \(\)"),
    ],
)
def test_refuses(audio, message):
    with pytest.raises(ValueError, match=message):
        TacfnFeatureExtractor()(audio, 44100)


@pytest.mark.parametrize("rate", [0, -44100])
def test_refuses_rate(rate):
    with pytest.raises(ValueError, match="positive number of Hz"):
        TacfnFeatureExtractor()(voice(0.1), rate)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_type": "plp"}, "feature_type"),
        ({"backend": "librosa"}, "backend"),
        ({"feature_type": "log_mel"}, "feature_size=128"),
        ({"feature_size": 129}, "num_mel_bins=128"),
        ({"hop_length": 0}, "hop_length"),
        ({"win_length": 4096}, "n_fft=2048"),
        ({"max_frequency": 30000.0}, "22050"),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TacfnFeatureExtractor(**settings)


def test_every_number_is_saved(tmp_path):
    settings = {
        "feature_type": "log_mel",
        "feature_size": 32,
        "sampling_rate": 16000,
        "n_fft": 512,
        "win_length": 400,
        "hop_length": 160,
        "num_mel_bins": 32,
        "min_frequency": 20.0,
        "max_frequency": 7600.0,
        "top_db": 70.0,
        "padding_value": -1.0,
        "backend": "numpy",
    }
    TacfnFeatureExtractor(**settings).save_pretrained(tmp_path)
    loaded = TacfnFeatureExtractor.from_pretrained(tmp_path)
    assert {name: getattr(loaded, name) for name in settings} == settings


@pytest.mark.parametrize("backend", ["numpy", "torchaudio"])
def test_absolute_floor_of_the_power(backend):
    settings = {
        "feature_type": "log_mel",
        "feature_size": 64,
        "num_mel_bins": 64,
        "sampling_rate": 16000,
        "n_fft": 640,
    }
    extractor = TacfnFeatureExtractor(**settings, minimum_power=1e-3, top_db=None, backend=backend)
    loud = np.zeros(3200, np.float32)
    loud[1600:] = np.sin(np.arange(1600))
    levels = extractor(loud, 16000, return_tensors="np")["input_features"][0]
    assert levels.min() == pytest.approx(-30, abs=1e-4)
    whole = TacfnFeatureExtractor(**settings, backend=backend)(loud, 16000, return_tensors="np")["input_features"][0]
    assert whole.min() == pytest.approx(whole.max() - 80, abs=1e-3)
    np.testing.assert_allclose(levels, np.maximum(whole, -30), atol=1e-3)
