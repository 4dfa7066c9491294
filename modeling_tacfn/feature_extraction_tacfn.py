# Copyright 2026 The modeling_tacfn authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Waveform to MFCC or log-mel, in numpy or batched in torchaudio; both equal librosa's numbers within 1e-3."""

import math
from functools import lru_cache

import numpy as np
import torch
from scipy import fft

from .media import resample
from .torchaudio_cpu import make_importable


make_importable()  # the next import reaches transformers.audio_utils, which imports torchaudio wherever it is installed

from transformers import BatchFeature, SequenceFeatureExtractor  # noqa: E402
from transformers.audio_utils import mel_filter_bank, window_function  # noqa: E402
from transformers.utils import logging  # noqa: E402


logger = logging.get_logger(__name__)

FEATURE_TYPES = ("mfcc", "log_mel")
BACKENDS = ("auto", "numpy", "torchaudio")
# A float waveform lies in [-1, 1]; far beyond it are integers that were cast without being scaled.
LARGEST_PLAUSIBLE_PEAK = 32.0


class TacfnFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Turn waveforms into MFCC or log-mel frames. The defaults are the paper's: 13 MFCC at 44.1 kHz.

    Args:
        feature_type (`str`, *optional*, defaults to `"mfcc"`): `"mfcc"` or `"log_mel"` (dB).
        feature_size (`int`, *optional*, defaults to 13): coefficients per frame; equal to `num_mel_bins` for `"log_mel"`.
        sampling_rate (`int`, *optional*, defaults to 44100): rate the features are computed at, in Hz.
        n_fft (`int`, *optional*, defaults to 2048): samples per Fourier transform.
        win_length (`int`, *optional*): samples of the Hann window; `n_fft` if not given.
        hop_length (`int`, *optional*, defaults to 512): samples between two frames.
        num_mel_bins (`int`, *optional*, defaults to 128): Slaney mel filters.
        min_frequency (`float`, *optional*, defaults to 0.0): lower edge of the filters in Hz.
        max_frequency (`float`, *optional*): upper edge of the filters in Hz; half the sampling rate if not given.
        minimum_power (`float`, *optional*, defaults to 1e-10): floor of the power in a mel filter, -100 dB as in librosa.
        top_db (`float`, *optional*, defaults to 80.0): levels lower than a clip's loudest by more than this are raised to it;
            `None` keeps them.
        padding_value (`float`, *optional*, defaults to 0.0): fills the frames past a clip's end.
        backend (`str`, *optional*, defaults to `"auto"`): `"numpy"`, `"torchaudio"`, or `"auto"`: torchaudio for a call
            that names a `device`, if it is installed, else numpy.
    """

    model_input_names = ["input_features", "audio_mask"]

    def __init__(
        self,
        feature_type: str = "mfcc",
        feature_size: int = 13,
        sampling_rate: int = 44100,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int = 512,
        num_mel_bins: int = 128,
        min_frequency: float = 0.0,
        max_frequency: float | None = None,
        minimum_power: float = 1e-10,
        top_db: float | None = 80.0,
        padding_value: float = 0.0,
        backend: str = "auto",
        **kwargs,
    ):
        if feature_type not in FEATURE_TYPES:
            raise ValueError(f"`feature_type` must be one of {FEATURE_TYPES}, got {feature_type!r}.")
        if backend not in BACKENDS:
            raise ValueError(f"`backend` must be one of {BACKENDS}, got {backend!r}.")
        for name, value in (("sampling_rate", sampling_rate), ("n_fft", n_fft), ("hop_length", hop_length)):
            if value < 1:
                raise ValueError(f"`{name}` must be positive, got {value}.")
        if win_length is not None and not 1 <= win_length <= n_fft:
            raise ValueError(f"`win_length` must lie in [1, n_fft={n_fft}], got {win_length}.")
        if feature_type == "log_mel" and feature_size != num_mel_bins:
            raise ValueError(
                f"'log_mel' gives one number per mel filter: expected feature_size = num_mel_bins = {num_mel_bins}, got "
                f"{feature_size}. Pass feature_size={num_mel_bins}."
            )
        if not 1 <= feature_size <= num_mel_bins:
            raise ValueError(f"`feature_size` must lie in [1, num_mel_bins={num_mel_bins}], got {feature_size}.")
        if not 0 <= min_frequency < (max_frequency or sampling_rate / 2) <= sampling_rate / 2:
            raise ValueError(
                f"expected 0 <= min_frequency < max_frequency <= sampling_rate / 2 = {sampling_rate / 2} Hz, got "
                f"{min_frequency} and {max_frequency}."
            )
        if minimum_power <= 0 or (top_db is not None and top_db <= 0):
            raise ValueError(f"`minimum_power` and `top_db` must be positive, got {minimum_power} and {top_db}.")
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.feature_type = feature_type
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.num_mel_bins = num_mel_bins
        self.min_frequency = min_frequency
        self.max_frequency = max_frequency
        self.minimum_power = minimum_power
        self.top_db = top_db
        self.backend = backend

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames that `num_samples` samples at `sampling_rate` give."""
        return 1 + num_samples // self.hop_length

    def waveform(self, audio, sampling_rate: int | None = None) -> np.ndarray:
        """
        Check one clip's sound and bring it to this extractor's rate.

        Args:
            audio (`np.ndarray`, `torch.Tensor` or `list[float]` of shape `(num_samples,)`):
                mono; floating point in [-1, 1], or signed integers, which are scaled by their range.
            sampling_rate (`int`, *optional*): its rate in Hz; the extractor's is assumed, with a warning, if not given.

        Returns:
            `np.ndarray` of shape `(num_samples,)`, float32, at `self.sampling_rate`.

        Raises:
            ValueError: the sound is empty, not one-dimensional, not numeric, or not finite.
        """
        samples = audio.detach().cpu().numpy() if hasattr(audio, "detach") else np.asarray(audio)
        if samples.ndim != 1:
            raise ValueError(_wrong_rank(samples.shape))
        if samples.size == 0:
            raise ValueError(
                "expected a waveform of at least one sample, got an empty one. Leave the sound of this clip out instead."
            )
        if np.issubdtype(samples.dtype, np.signedinteger):
            samples = samples / -float(np.iinfo(samples.dtype).min)
        elif not np.issubdtype(samples.dtype, np.floating):
            raise ValueError(
                f"expected a floating point waveform in [-1, 1] or signed integers, got dtype {samples.dtype}. Convert it "
                "to float32 first."
            )
        samples = samples.astype(np.float32)
        peak = float(np.abs(samples).max())
        if not math.isfinite(peak):
            broken = np.flatnonzero(~np.isfinite(samples))
            raise ValueError(
                f"expected finite samples, got NaN or infinity in {broken.size} of {samples.size} (first at {broken[0]}). "
                "Repair the sound, for example with np.nan_to_num, or leave it out."
            )
        if peak > LARGEST_PLAUSIBLE_PEAK:
            logger.warning(
                f"A floating point waveform is expected in [-1, 1], the largest magnitude here is {peak:.0f}. If these are "
                "16-bit integers, pass them as int16 or divide by 32768."
            )
        if sampling_rate is None:
            logger.warning(
                f"No `sampling_rate` was given with an array of sound: {self.sampling_rate} Hz is assumed. A wrong rate "
                "gives wrong features without any error; pass `sampling_rate`."
            )
        elif sampling_rate <= 0:
            raise ValueError(f"`sampling_rate` must be a positive number of Hz, got {sampling_rate}.")
        elif sampling_rate != self.sampling_rate:
            samples = resample(samples, sampling_rate, self.sampling_rate)
        return samples

    def __call__(
        self, audio, sampling_rate: int | None = None, return_tensors: str | None = None, device=None
    ) -> BatchFeature:
        """
        Compute the features of one clip or of several of any lengths.

        Args:
            audio (`np.ndarray`, `torch.Tensor`, `list[float]`, or a list of those): see [`~TacfnFeatureExtractor.waveform`].
            sampling_rate (`int`, *optional*): rate of all given clips in Hz; they are resampled where it differs.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.
            device (`str` or `torch.device`, *optional*): where torchaudio computes and the result stays.

        Returns:
            `BatchFeature`: `input_features` of shape `(batch_size, num_frames, feature_size)`, float32, and `audio_mask`
            of shape `(batch_size, num_frames)`, boolean, 1 for a frame of the clip and 0 for padding.

        Raises:
            ValueError: a clip is empty, not mono, or not finite.
            ImportError: the torchaudio backend is asked for and cannot be imported.
        """
        clips = list(audio) if isinstance(audio, (list, tuple)) and np.ndim(audio[0] if audio else 0) > 0 else [audio]
        waveforms = [self.waveform(clip, sampling_rate) for clip in clips]
        if self._uses_torchaudio(device):
            features, mask = self._torchaudio_features(waveforms, device)
            if return_tensors != "pt":
                features, mask = features.cpu().numpy(), mask.cpu().numpy()
        else:
            rows = [self._numpy_features(waveform) for waveform in waveforms]
            longest = max(len(row) for row in rows)
            features = np.full((len(rows), longest, self.feature_size), self.padding_value, dtype=np.float32)
            mask = np.zeros((len(rows), longest), dtype=bool)
            for index, row in enumerate(rows):
                features[index, : len(row)] = row
                mask[index, : len(row)] = True
        batch = BatchFeature({"input_features": features, "audio_mask": mask}, tensor_type=return_tensors)
        return batch if device is None or return_tensors != "pt" else batch.to(device)

    def _uses_torchaudio(self, device) -> bool:
        if self.backend == "numpy" or (self.backend == "auto" and device is None):
            return False
        try:
            import torchaudio  # noqa: F401
        except (ImportError, OSError) as error:
            if self.backend == "auto":
                return False
            raise ImportError("backend='torchaudio' needs torchaudio: install it, or set backend='numpy'.") from error
        return True

    def _numpy_features(self, waveform: np.ndarray) -> np.ndarray:
        padded = np.pad(waveform, (self.n_fft // 2, self.n_fft - self.n_fft // 2))
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_length]
        frames = frames[: self.num_frames(len(waveform))] * _window(self.n_fft, self.win_length)
        spectrum = fft.rfft(frames, axis=-1)  # (frames, 1 + n_fft // 2)
        power = spectrum.real**2 + spectrum.imag**2
        mel = power @ _mel_filters(*self._filter_arguments())
        level = 10.0 * np.log10(np.maximum(mel, self.minimum_power))
        if self.top_db is not None:
            level = np.maximum(level, level.max() - self.top_db)
        if self.feature_type == "log_mel":
            return level
        return fft.dct(level, type=2, norm="ortho", axis=-1)[:, : self.feature_size]

    def _torchaudio_features(self, waveforms: list[np.ndarray], device):
        lengths = torch.tensor([self.num_frames(len(waveform)) for waveform in waveforms], device=device)
        samples = torch.zeros(len(waveforms), max(len(waveform) for waveform in waveforms))
        for row, waveform in zip(samples, waveforms, strict=True):
            row[: len(waveform)] = torch.from_numpy(waveform)
        mel_spectrogram, dct = _torchaudio_modules(
            self.win_length or self.n_fft, self.hop_length, self.feature_size, str(device), *self._filter_arguments()
        )
        # Zeros stand on both sides of every clip, so that the padding of the batch changes no frame of a shorter one.
        mel = mel_spectrogram(samples.to(device)).transpose(1, 2)  # (batch, frames, mel)
        mask = torch.arange(mel.shape[1], device=mel.device) < lengths[:, None]
        features = 10.0 * torch.log10(mel.clamp(min=self.minimum_power))
        if self.top_db is not None:
            loudest = features.masked_fill(~mask[..., None], -torch.inf).amax(dim=(1, 2), keepdim=True)
            features = torch.maximum(features, loudest - self.top_db)
        if self.feature_type == "mfcc":
            # Summing 128 levels near -90 dB in single precision would cost 1e-3.
            features = (features.double() @ dct).float()
        return features.masked_fill(~mask[..., None], self.padding_value), mask

    def _filter_arguments(self) -> tuple:
        upper = self.max_frequency or self.sampling_rate / 2
        return self.n_fft, self.num_mel_bins, self.min_frequency, upper, self.sampling_rate


@lru_cache(maxsize=8)
def _window(n_fft: int, win_length: int | None) -> np.ndarray:
    length = win_length or n_fft
    return window_function(length, "hann", frame_length=n_fft, center=True).astype(np.float32)


@lru_cache(maxsize=8)
def _mel_filters(n_fft: int, num_mel_bins: int, lower: float, upper: float, sampling_rate: int) -> np.ndarray:
    filters = mel_filter_bank(
        1 + n_fft // 2, num_mel_bins, lower, upper, sampling_rate, norm="slaney", mel_scale="slaney"
    )
    return filters.astype(np.float32)


@lru_cache(maxsize=8)
def _torchaudio_modules(
    win_length: int,
    hop_length: int,
    feature_size: int,
    device: str,
    n_fft: int,
    num_mel_bins: int,
    lower: float,
    upper: float,
    sampling_rate: int,
):
    try:
        from torchaudio.transforms import MelSpectrogram
    except ImportError as error:
        raise ImportError("backend='torchaudio' needs torchaudio: install it, or set backend='numpy'.") from error

    mel_spectrogram = MelSpectrogram(
        sampling_rate,
        n_fft,
        win_length,
        hop_length,
        lower,
        upper,
        n_mels=num_mel_bins,
        pad_mode="constant",
        norm="slaney",
        mel_scale="slaney",
    )
    place = None if device == "None" else device
    dct = torch.from_numpy(fft.dct(np.eye(num_mel_bins), norm="ortho")[:, :feature_size])
    return mel_spectrogram.to(place), dct.to(place)


def _wrong_rank(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        channels = int(np.argmin(shape))
        return (
            f"expected mono sound of shape (num_samples,), got {shape}: axis {channels} looks like channels. Pass "
            f"`audio.mean(axis={channels})`, or a list of one-dimensional arrays for several clips."
        )
    return f"expected mono sound of shape (num_samples,), got an array of shape {shape}."


TacfnFeatureExtractor.register_for_auto_class()
