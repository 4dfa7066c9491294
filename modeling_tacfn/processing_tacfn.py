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
"""Files, arrays or tables to the tensors and masks of the network. Any modality of any clip may be absent."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from transformers import BatchFeature, ProcessorMixin
from transformers.utils import logging

from .faces import crop_region
from .feature_arrays import mean_of_known, normalize_batch, pad_feature, speaker_estimate, spread_rows
from .feature_extraction_tacfn import TacfnFeatureExtractor
from .feature_tables import read_table
from .image_processing_tacfn import TacfnImageProcessor
from .media import MediaError, NoAudioError, NoVideoError, read_audio, read_clip
from .prosody import PROSODY_NAMES, prosody_functionals
from .speaker_file import load_speaker


logger = logging.get_logger(__name__)

# A waveform that never exceeds this (-80 dB) is a muted track, not quiet speech.
SILENCE_PEAK = 1e-4


@dataclass
class ClipInputs:
    """
    One clip, read and cropped but not yet batched: what a cache keeps and a plot shows.

    Args:
        crops (`np.ndarray` of shape `(num_frames, size, size, 3)`, *optional*): uint8 RGB.
        crops_valid (`np.ndarray` of shape `(num_frames,)`, *optional*): 1 for a usable crop, 0 for a black or faceless one.
        boxes (`np.ndarray` of shape `(num_frames, 4)`, *optional*): the faces: left, top, right, bottom in pixels.
        frames (`np.ndarray` of shape `(num_frames, height, width, 3)`, *optional*): whole frames, if asked for.
        frame_seconds (`np.ndarray` of shape `(num_frames,)`, *optional*): when each frame is shown.
        waveform (`np.ndarray` of shape `(num_samples,)`, *optional*): mono float32.
        sampling_rate (`int`, *optional*): rate of `waveform` in Hz, the feature extractor's.
        features (`dict[str, np.ndarray]`): each of shape `(num_steps, dim)`, or `(dim,)` if static; NaN where absent.
    """

    crops: np.ndarray | None = None
    crops_valid: np.ndarray | None = None
    boxes: np.ndarray | None = None
    frames: np.ndarray | None = None
    frame_seconds: np.ndarray | None = None
    waveform: np.ndarray | None = None
    sampling_rate: int | None = None
    features: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def has_sound(self) -> bool:
        return self.waveform is not None and float(np.abs(self.waveform).max(initial=0.0)) > SILENCE_PEAK

    @property
    def has_video(self) -> bool:
        return self.crops is not None and bool(self.crops_valid.any())

    @property
    def has_features(self) -> bool:
        return any(np.isfinite(values).any() for values in self.features.values())


class TacfnBatch(BatchFeature):
    """A `BatchFeature` whose `to` reaches the tensors inside `features` and `feature_masks` too."""

    def to(self, *args, **kwargs) -> "TacfnBatch":
        nested = {
            key: BatchFeature(value).to(*args, **kwargs).data for key, value in self.items() if isinstance(value, dict)
        }
        super().to(*args, **kwargs)
        self.data.update(nested)
        return self


class TacfnProcessor(ProcessorMixin):
    r"""
    One call from clips to network inputs: sound to MFCC, frames to face crops, tables to feature sequences or vectors.

    Args:
        feature_extractor ([`TacfnFeatureExtractor`], *optional*): for the sound; the paper's settings if not given.
        image_processor ([`TacfnImageProcessor`], *optional*): for the frames; the paper's settings if not given.
        feature_columns (`dict[str, list[str]]`, *optional*): for each feature name, the CSV columns in order.
        static_features (`list[str]`, *optional*): features that are averaged over a clip to one vector.
        square_root_features (`list[str]`, *optional*): features whose square root is taken (after the average, if static): it
            evens out the spread of skewed, non-negative numbers such as the intensities of action units.
        do_audio (`bool`, *optional*, defaults to `True`): `False` for a network that takes no `input_features`: sound is at
            most heard for its prosody.
        do_prosody (`bool`, *optional*, defaults to `False`): describe the prosody of every audible clip in the feature
            `prosody` (see `prosody.py`), unless that is given.
        do_video (`bool`, *optional*, defaults to `True`): `False` for a network that takes no pictures: of a video file
            only the sound is read.
        is_speaker_normalized (`bool`, *optional*, defaults to `False`): the network was trained on features centred and
            scaled by each speaker's own clips, and takes a `speaker` with every call.
        speaker_prior (`dict[str, dict]`, *optional*): what is usual of speakers, by feature, as training found it: stands in
            for a `speaker` that is not given, and steadies what a few clips tell.

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling_tacfn import TacfnProcessor

    >>> processor = TacfnProcessor()
    >>> inputs = processor(audio=np.random.default_rng(0).normal(0, 0.1, 44100), sampling_rate=44100)
    >>> inputs["input_features"].shape
    torch.Size([1, 87, 13])

    ```
    """

    # The base class restores only what is a plain argument here, neither keyword-only nor in **kwargs.
    def __init__(
        self,
        feature_extractor=None,
        image_processor=None,
        feature_columns: dict[str, list[str]] | None = None,
        static_features: list[str] | None = None,
        square_root_features: list[str] | None = None,
        do_audio: bool = True,
        do_prosody: bool = False,
        do_video: bool = True,
        is_speaker_normalized: bool = False,
        speaker_prior: dict[str, dict[str, list[float]]] | None = None,
    ):
        super().__init__(feature_extractor or TacfnFeatureExtractor(), image_processor or TacfnImageProcessor())
        self.feature_columns = {name: list(columns) for name, columns in (feature_columns or {}).items()}
        self.static_features = list(static_features or [])
        self.square_root_features = list(square_root_features or [])
        self.do_audio = do_audio
        self.do_prosody = do_prosody
        if do_prosody:
            self.feature_columns["prosody"] = list(PROSODY_NAMES)
            self.static_features = list(dict.fromkeys([*self.static_features, "prosody"]))
        self.do_video = do_video
        self.is_speaker_normalized = is_speaker_normalized
        self.speaker_prior = speaker_prior

    @property
    def model_input_names(self) -> list[str]:
        return super().model_input_names + ["features", "feature_masks"]

    def __call__(
        self,
        videos=None,
        audio=None,
        features=None,
        sampling_rate=None,
        return_tensors: str | None = "pt",
        device=None,
        speaker: dict | str | os.PathLike | None = None,
    ) -> BatchFeature:
        """
        Prepare one clip or several.

        Args:
            videos (`str`, `Path`, `np.ndarray` of shape `(num_frames, height, width, 3)`, or a list of those):
                media files, or RGB bytes. `None` in a list: that clip has no video.
            audio (`str`, `Path`, `np.ndarray` of shape `(num_samples,)`, `False`, or a list of those, *optional*):
                files or waveforms. `None`: the sound of the video file. `False`: no sound.
            features (`dict[str, str | Path | np.ndarray | list]`, *optional*): for each name a CSV file,
                `"file.csv#clip_id"`, an array of shape `(num_steps, dim)` (or `(dim,)` if static), or a list of those.
            sampling_rate (`int` or `list[int]`, *optional*): rate of waveforms in Hz; files know their own.
            return_tensors (`str`, *optional*, defaults to `"pt"`): `"pt"` or `"np"`.
            device (`str` or `torch.device`, *optional*): where the sound is transformed and the tensors are put.
            speaker (`dict`, `str` or `Path`, *optional*): what a speaker-normalised network has to know of the person in all of
                these clips: what [`~TacfnProcessor.speaker_statistics`] gave, or the file that `tacfn adapt` wrote.

        Returns:
            `BatchFeature`: `input_features` and `audio_mask`, `pixel_values_videos` and `video_mask`, `features` and
            `feature_masks` (by name), each pair only if some clip has that modality. Masks are boolean, 1 for what is
            there; the row of a clip that lacks the modality (no face, no or silent sound, no table) is all 0.

        Raises:
            ValueError: lists of different lengths, arrays of a wrong shape, type or content, or a speaker that is not known
                or another network's.
            MediaError: a file cannot be read, or nothing at all is left of a clip.
        """
        arguments = {"videos": _as_list(videos), "audio": _as_list(audio)}
        for name, value in (features or {}).items():
            arguments[f"features[{name!r}]"] = _as_list(value)
        arguments["sampling_rate"] = list(sampling_rate) if isinstance(sampling_rate, (list, tuple)) else sampling_rate
        # `False` and one rate hold for all clips; anything else that is no list is a batch of one.
        lengths = {name: len(value) for name, value in arguments.items() if isinstance(value, list)}
        if not lengths:
            raise ValueError("expected `videos`, `audio` or `features`, got none of them.")
        if len(set(lengths.values())) > 1:
            given = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise ValueError(
                f"expected one entry per clip in every list, got {given}. Use None where a clip has none."
            )
        size = next(iter(lengths.values()))
        if size == 0:
            raise ValueError("expected at least one clip, got empty lists.")
        rows = {name: value if isinstance(value, list) else [value] * size for name, value in arguments.items()}
        clips = [
            self.read(
                video=rows["videos"][index],
                audio=rows["audio"][index],
                features={name: rows[f"features[{name!r}]"][index] for name in features or {}},
                sampling_rate=rows["sampling_rate"][index],
            )
            for index in range(size)
        ]
        return self.batch(clips, return_tensors=return_tensors, device=device, speaker=speaker)

    def read(
        self,
        video=None,
        audio=None,
        features: dict | None = None,
        sampling_rate: int | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        audio_offset_seconds: float | None = None,
        frame_region: Sequence[float] | None = None,
        keep_frames: bool = False,
    ) -> ClipInputs:
        """
        Read, resample, sample and crop one clip, without batching it.

        Args:
            video (`str`, `Path` or `np.ndarray`, *optional*): as one of the `videos` of a call.
            audio (`str`, `Path`, `np.ndarray` or `False`, *optional*): as one of the `audio` of a call.
            features (`dict[str, str | Path | np.ndarray]`, *optional*): as the `features` of a call, for this clip.
            sampling_rate (`int`, *optional*): rate of a waveform in Hz.
            start_seconds (`float`, *optional*): where to start in media files.
            end_seconds (`float`, *optional*): where to end in media files.
            audio_offset_seconds (`float`, *optional*, defaults to 0): when a sound file of its own starts, on the clock of
                the video: a file that holds just this clip starts at `start_seconds`.
            frame_region (`Sequence[float]`, *optional*): the part of every picture that is looked at: left, top, right and
                bottom as fractions of its size. `(0, 0, 0.5, 1)` is the left half. Frames and boxes are of this part.
            keep_frames (`bool`, *optional*, defaults to `False`): keep the whole frames as well, for a plot.

        Returns:
            [`ClipInputs`]

        Raises:
            ValueError: an array of a wrong shape, type or content.
            MediaError: a file cannot be read, or no modality is left.
        """
        # The sound inside of a video is on its clock already.
        audio_offset_seconds = None if audio is None else audio_offset_seconds
        if not self.do_video and _is_path(video):
            video, audio = None, video if audio is None else audio
        elif not self.do_video and video is not None:
            raise ValueError("expected no frames, since this processor has do_video=False, got an array of them.")
        if not (self.do_audio or self.do_prosody):
            audio = False
        clip = ClipInputs()
        frames = None
        if _is_path(video):
            frames, clip.frame_seconds, clip.waveform = self._read_file(
                video, audio is None, start_seconds, end_seconds
            )
        elif video is not None:
            frames = self.image_processor.sample(video)
        if frames is not None:
            frames = frames if frame_region is None else crop_region(frames, frame_region)
            clip.crops, clip.crops_valid, clip.boxes = self.image_processor.crops(frames)
            clip.frames = frames if keep_frames else None
        if _is_path(audio):
            try:
                window = (_on_clock(seconds, audio_offset_seconds) for seconds in (start_seconds, end_seconds))
                clip.waveform = self._resampled(*read_audio(audio, *window))
            except NoAudioError as error:
                logger.warning(f"{error} The sound of this clip counts as absent.")
        elif audio is not None and audio is not False:
            clip.waveform = self.feature_extractor.waveform(audio, sampling_rate)
        if clip.waveform is not None:
            clip.sampling_rate = self.feature_extractor.sampling_rate
        for name, source in (features or {}).items():
            if source is not None:
                clip.features[name] = self._read_features(name, source)
        if self.do_prosody and clip.has_sound and "prosody" not in clip.features:
            clip.features["prosody"] = prosody_functionals(clip.waveform, clip.sampling_rate)
        if not (clip.has_sound or clip.has_video or clip.has_features):
            raise MediaError(self._nothing_left(clip, video, audio))
        return clip

    def speaker_statistics(self, clips: list[ClipInputs]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """
        Mean and standard deviation of every feature over clips of one speaker; no labels are needed.

        Args:
            clips (`list[ClipInputs]`): clips of the speaker, several of them in different moods, as `read` gave them. With
                a `speaker_prior` there may be few, or none.

        Returns:
            `dict[str, tuple[np.ndarray, np.ndarray]]`: for `audio` and each named feature, both of shape `(dim,)`.
        """
        prior = self.speaker_prior or {}
        values: dict[str, list[np.ndarray]] = {name: [] for name in prior}
        for clip in clips:
            if self.do_audio and clip.has_sound:
                sound = self.feature_extractor(clip.waveform, clip.sampling_rate, return_tensors="np")
                values.setdefault("audio", []).append(sound["input_features"][0])
            for name, rows in clip.features.items():
                values.setdefault(name, []).append(rows)
        return {name: speaker_estimate(rows, prior.get(name)) for name, rows in values.items()}

    def batch(
        self,
        clips: list[ClipInputs],
        return_tensors: str | None = "pt",
        device=None,
        speaker: dict | str | os.PathLike | None = None,
    ) -> BatchFeature:
        """
        Turn clips that were read into padded tensors and masks; the second half of a call.

        Args:
            clips (`list[ClipInputs]`): what [`~TacfnProcessor.read`] returned, or parts of it put together anew.
            return_tensors (`str`, *optional*, defaults to `"pt"`): `"pt"` or `"np"`.
            device (`str` or `torch.device`, *optional*): where the sound is transformed and the tensors are put.
            speaker (`dict`, `str` or `Path`, *optional*): as in a call.

        Returns:
            `BatchFeature`: as a call returns.
        """
        if not clips:
            raise ValueError("expected at least one clip to batch, got an empty list.")
        data: dict = {}
        if self.do_audio and any(clip.waveform is not None for clip in clips):
            data.update(self._batch_sound(clips, device))
        if any(clip.crops is not None for clip in clips):
            data.update(self._batch_video(clips))
        names = list(dict.fromkeys(name for clip in clips for name in clip.features))
        if names:
            pairs = {name: pad_feature(name, [clip.features.get(name) for clip in clips]) for name in names}
            data["features"] = {name: values for name, (values, _) in pairs.items()}
            data["feature_masks"] = {name: mask for name, (_, mask) in pairs.items()}
        if self.is_speaker_normalized:
            normalize_batch(data, self._known_of(speaker))
        elif speaker is not None:
            logger.warning("This network is not speaker-normalised: what is known of the speaker is not used.")
        if return_tensors is None:
            return TacfnBatch(data)
        nested = {key: value for key, value in data.items() if isinstance(value, dict)}
        for key, value in nested.items():
            data[key] = BatchFeature(value, tensor_type=return_tensors).data
        batch = TacfnBatch(data, tensor_type=return_tensors)
        return batch.to(device) if device is not None and return_tensors == "pt" else batch

    def _known_of(self, speaker: dict | str | os.PathLike | None) -> dict:
        if _is_path(speaker):
            return load_speaker(speaker, self)
        if speaker is not None:
            return speaker
        if self.speaker_prior:
            return self.speaker_statistics([])
        raise ValueError(
            "this network was trained on features centred and scaled by each speaker's own clips: expected `speaker`, the "
            "file that `tacfn adapt` makes of several clips, or what `processor.speaker_statistics` makes of them."
        )

    def _read_file(self, path, with_audio: bool, start: float | None, end: float | None):
        try:
            clip = read_clip(
                path, self.image_processor.num_frames, with_audio=with_audio, start_seconds=start, end_seconds=end
            )
        except NoVideoError as error:
            logger.warning(f"{error} The video of this clip counts as absent.")
            return None, None, None
        waveform = None if clip.waveform is None else self._resampled(clip.waveform, clip.sampling_rate)
        return clip.frames, clip.frame_seconds, waveform

    def _resampled(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray | None:
        return self.feature_extractor.waveform(waveform, sampling_rate) if waveform.size else None

    def _read_features(self, name: str, source) -> np.ndarray:
        columns = self.feature_columns.get(name)
        if _is_path(source):
            if columns is None:
                raise ValueError(
                    f"expected the CSV columns of {name!r} in the processor's `feature_columns`, which names "
                    f"{sorted(self.feature_columns) or 'none'}. Pass feature_columns={{{name!r}: [...]}} or an array."
                )
            values = read_table(source, columns)
        else:
            values = source.detach().cpu().numpy() if hasattr(source, "detach") else np.asarray(source)
            values = values.astype(np.float32)
        is_static = name in self.static_features
        expected = "(dim,) or (num_steps, dim)" if is_static else "(num_steps, dim)"
        if values.ndim not in ((1, 2) if is_static else (2,)) or values.size == 0:
            raise ValueError(f"expected the feature {name!r} to have shape {expected}, got {values.shape}.")
        if columns is not None and values.shape[-1] != len(columns):
            raise ValueError(
                f"expected {len(columns)} numbers per step of {name!r}, as `feature_columns` names them, got "
                f"{values.shape[-1]}."
            )
        if np.isinf(values).any():
            raise ValueError(f"expected finite numbers in the feature {name!r} (NaN for a missing one), got infinity.")
        if is_static and values.ndim == 2:
            values = mean_of_known(values)
        if name not in self.square_root_features:
            return values
        if np.nanmin(values, initial=0.0) < 0:
            raise ValueError(
                f"expected no negative number in the feature {name!r}, whose square root this network sees, got "
                f"{np.nanmin(values)}. Give the raw intensities, not normalised ones."
            )
        return np.sqrt(values)

    def _batch_sound(self, clips: list[ClipInputs], device) -> dict:
        audible = [index for index, clip in enumerate(clips) if clip.has_sound]
        if not audible:
            longest = max(len(clip.waveform) for clip in clips if clip.waveform is not None)
            shape = (len(clips), self.feature_extractor.num_frames(longest))
            features = np.zeros((*shape, self.feature_extractor.feature_size), np.float32)
            return {"input_features": features, "audio_mask": np.zeros(shape, bool)}
        for clip in (clips[index] for index in audible):
            if clip.sampling_rate != self.feature_extractor.sampling_rate:
                raise ValueError(
                    f"expected waveforms at {self.feature_extractor.sampling_rate} Hz, got one at {clip.sampling_rate}. "
                    "Read the clip with this same processor."
                )
        sound = self.feature_extractor(
            [clips[index].waveform for index in audible],
            sampling_rate=self.feature_extractor.sampling_rate,
            return_tensors=None if device is None else "pt",
            device=device,
        )
        return spread_rows(sound, audible, len(clips))

    def _batch_video(self, clips: list[ClipInputs]) -> dict:
        seen = [index for index, clip in enumerate(clips) if clip.crops is not None]
        video = self.image_processor.preprocess(
            [clips[index].crops for index in seen], [clips[index].crops_valid for index in seen], cropped=True
        )
        return spread_rows(video, seen, len(clips))

    def _nothing_left(self, clip: ClipInputs, video, audio) -> str:
        found = []
        if clip.crops is not None:
            found.append("frames without a usable face")
        if clip.waveform is not None:
            found.append("silent sound")
        if clip.features:
            found.append("features that are all missing")
        wanted = ["a face"] * self.do_video + ["audible sound"] * (self.do_audio or self.do_prosody)
        expected = f"{', '.join(wanted)} or features" if wanted else "features"
        source = next((f"{value}: " for value in (video, audio) if _is_path(value)), "")
        return (
            f"{source}expected {expected} in this clip, found {' and '.join(found) or 'none of them'}. "
            "Check that the right file was given; for frames that are face crops already set do_face_crop=False."
        )


def _is_path(value) -> bool:
    return isinstance(value, (str, os.PathLike))


def _on_clock(seconds: float | None, offset: float | None) -> float | None:
    """A time on the clock that starts `offset` seconds later."""
    return seconds if seconds is None or offset is None else seconds - offset


def _as_list(value):
    """One entry per clip; `None` and `False` stay what they are. A list of plain numbers is one clip."""
    if value is None or value is False:
        return value
    if isinstance(value, (list, tuple)):
        return (
            [np.asarray(value)]
            if value and isinstance(value[0], (int, float)) and value[0] is not False
            else list(value)
        )
    # Never split a two-dimensional array: stereo sound would pass for two clips.
    return list(value) if getattr(value, "ndim", 0) == 5 else [value]


TacfnProcessor.register_for_auto_class()
