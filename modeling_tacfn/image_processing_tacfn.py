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
"""Frames to face crops to normalised pixels. The crops, the expensive half, can be kept and normalised again later."""

import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor, BatchFeature
from transformers.utils import logging

from .faces import crop_faces, find_faces


logger = logging.get_logger(__name__)

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
# A frame that holds nothing brighter is black padding; video compression lifts true black by a few steps.
BLACK_LEVEL = 16


class TacfnImageProcessor(BaseImageProcessor):
    r"""
    Turn the frames of clips into face crops and normalised pixels with a mask.

    Args:
        num_frames (`int`, *optional*, defaults to 30): frames taken evenly from a clip; `None` takes all.
        size (`dict`, *optional*, defaults to `{"height": 224, "width": 224}`): pixels of a crop; square.
        do_face_crop (`bool`, *optional*, defaults to `True`): cut out the face; otherwise the centre square of the frame.
        face_margin (`float`, *optional*, defaults to 0.3): added around the face, as a part of its size.
        do_rescale (`bool`, *optional*, defaults to `True`): multiply the bytes by `rescale_factor`.
        rescale_factor (`float`, *optional*, defaults to 1/255): brings bytes to [0, 1].
        do_normalize (`bool`, *optional*, defaults to `True`): subtract `image_mean`, divide by `image_std`.
        image_mean (`list[float]`, *optional*): per channel that the network sees; ImageNet's, red first, if not given.
        image_std (`list[float]`, *optional*): per channel that the network sees; ImageNet's, red first, if not given.
        do_flip_channel_order (`bool`, *optional*, defaults to `False`): give the network blue first, before the numbers above
            apply. For networks trained on pictures as OpenCV reads them, such as the released CFN-SR.
    """

    model_input_names = ["pixel_values_videos", "video_mask"]
    # A class default other than None is what makes the base class save an explicit None.
    num_frames = 30

    def __init__(
        self,
        num_frames: int | None = 30,
        size: dict[str, int] | None = None,
        do_face_crop: bool = True,
        face_margin: float = 0.3,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: list[float] | None = None,
        image_std: list[float] | None = None,
        do_flip_channel_order: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        size = {"height": size, "width": size} if isinstance(size, int) else size or {"height": 224, "width": 224}
        if set(size) != {"height", "width"} or size["height"] != size["width"] or size["height"] < 1:
            raise ValueError(f"`size` must be square, as in {{'height': 224, 'width': 224}}, got {size}.")
        if num_frames is not None and num_frames < 1:
            raise ValueError(f"`num_frames` must be positive, or None for every frame, got {num_frames}.")
        if face_margin < 0:
            raise ValueError(f"`face_margin` must not be negative, got {face_margin}.")
        self.num_frames = num_frames
        self.size = dict(size)
        self.do_face_crop = do_face_crop
        self.face_margin = face_margin
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor
        self.do_normalize = do_normalize
        self.image_mean = list(image_mean) if image_mean is not None else list(IMAGENET_MEAN)
        self.image_std = list(image_std) if image_std is not None else list(IMAGENET_STD)
        self.do_flip_channel_order = do_flip_channel_order

    def sample(self, frames) -> np.ndarray:
        """
        Check one clip and take `num_frames` frames evenly: the middles of equal parts; all of them if there are fewer.

        Args:
            frames (`np.ndarray` or `torch.Tensor` of shape `(num_frames, height, width, 3)`): RGB bytes.

        Returns:
            `np.ndarray` of shape `(num_sampled, height, width, 3)`, uint8.

        Raises:
            ValueError: another rank, channel order or type, or no frame at all.
        """
        frames = _checked(frames)
        if self.num_frames is None or len(frames) <= self.num_frames:
            return frames
        return frames[((np.arange(self.num_frames) + 0.5) * len(frames) / self.num_frames).astype(int)]

    def crops(self, frames, boxes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """
        Cut one clip to squares of `size`: the face where `do_face_crop`, else the centre of the frame.

        Args:
            frames (`np.ndarray` of shape `(num_frames, height, width, 3)`): RGB bytes; every one is used.
            boxes (`np.ndarray` of shape `(num_frames, 4)`, *optional*): known faces, left, top, right, bottom in pixels.

        Returns:
            `tuple`: crops of shape `(num_frames, size, size, 3)`, uint8; valid of shape `(num_frames,)`, boolean, 0 for a
            black frame and for all frames of a clip without a face; the boxes, NaN for a black frame, `None` without a
            face or a face crop.

        Raises:
            ValueError: frames or boxes of another shape.
        """
        frames = _checked(frames)
        side = self.size["height"]
        valid = frames[:, ::4, ::4].max(axis=(1, 2, 3)) > BLACK_LEVEL
        if not valid.any():
            logger.warning("Every frame of this clip is black: its video counts as absent.")
            return np.zeros((len(frames), side, side, 3), np.uint8), valid, None
        if not self.do_face_crop:
            return _centre_squares(frames, side), valid, None
        if boxes is not None and np.shape(boxes) != (len(frames), 4):
            raise ValueError(
                f"expected one box (left, top, right, bottom) per frame, shape ({len(frames)}, 4), got {np.shape(boxes)}."
            )
        # Black frames would mislead the search, which looks at a few frames only.
        lit = frames if valid.all() else frames[valid]
        found = find_faces(lit) if boxes is None else np.asarray(boxes)[valid]
        crops = np.zeros((len(frames), side, side, 3), np.uint8)
        if found is None:
            logger.warning(
                "No face was found in this clip: its video counts as absent. If the frames are face crops already, set "
                "do_face_crop=False."
            )
            return crops, np.zeros(len(frames), bool), None
        crops[valid] = crop_faces(lit, found, side, self.face_margin)
        boxes = np.full((len(frames), 4), np.nan)
        boxes[valid] = found
        return crops, valid, boxes

    def normalize(self, crops):
        """
        Bring RGB bytes to the numbers the network takes.

        Args:
            crops (`np.ndarray` or `torch.Tensor` of shape `(..., height, width, 3)`): bytes, of any device.

        Returns:
            The same kind of array, float32, of shape `(..., 3, height, width)`.
        """
        mean, std = (self.image_mean, self.image_std) if self.do_normalize else ([0.0] * 3, [1.0] * 3)
        factor = self.rescale_factor if self.do_rescale else 1.0
        scale = np.array([factor / deviation for deviation in std], np.float32)[:, None, None]
        shift = np.array([-centre / deviation for centre, deviation in zip(mean, std, strict=True)], np.float32)
        shift = shift[:, None, None]
        if isinstance(crops, np.ndarray):
            crops = crops[..., ::-1] if self.do_flip_channel_order else crops
            pixels = np.multiply(np.moveaxis(crops, -1, -3), scale, dtype=np.float32, order="C")
            pixels += shift
            return pixels
        scale, shift = (torch.from_numpy(array).to(crops.device) for array in (scale, shift))
        crops = crops.flip(-1) if self.do_flip_channel_order else crops
        return torch.addcmul(shift, crops.movedim(-1, -3).float(), scale).contiguous()

    def preprocess(self, videos, valid=None, cropped: bool = False, return_tensors: str | None = None) -> BatchFeature:
        """
        Crop and normalise one clip or several of any number of frames.

        Args:
            videos (`np.ndarray` of shape `(num_frames, height, width, 3)`, or a list of those): RGB bytes.
            valid (`list[np.ndarray]`, *optional*): with `cropped`, what [`~TacfnImageProcessor.crops`] returned for each.
            cropped (`bool`, *optional*, defaults to `False`): `videos` are crops already, only to be normalised.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.

        Returns:
            `BatchFeature`: `pixel_values_videos` of shape `(batch_size, num_frames, 3, height, width)`, float32, zero
            where masked; `video_mask` of shape `(batch_size, num_frames)`, boolean, 1 for a usable frame.

        Raises:
            ValueError: frames that are not RGB bytes of rank 4, or cropped clips of another size.
        """
        single = hasattr(videos, "ndim") and videos.ndim != 5
        clips = [videos] if single else list(videos)
        if not clips:
            raise ValueError("expected at least one clip, got an empty list.")
        if not cropped:
            clips, valid, _ = zip(*(self.crops(self.sample(clip)) for clip in clips), strict=True)
        else:
            clips = [_checked(clip) for clip in clips]
            valid = [valid] if single and valid is not None else valid
            valid = [np.ones(len(clip), bool) for clip in clips] if valid is None else valid
        side = self.size["height"]
        pixels = np.zeros((len(clips), max(len(clip) for clip in clips), 3, side, side), np.float32)
        mask = np.zeros(pixels.shape[:2], bool)
        for index, (clip, usable) in enumerate(zip(clips, valid, strict=True)):
            if clip.shape[1:3] != (side, side):
                raise ValueError(
                    f"expected crops of {side}x{side} pixels, got {clip.shape[1]}x{clip.shape[2]}. Pass cropped=False, or "
                    "crop with this same processor."
                )
            mask[index, : len(clip)] = usable
            pixels[index, : len(clip)][usable] = self.normalize(clip[usable])
        return BatchFeature({"pixel_values_videos": pixels, "video_mask": mask}, tensor_type=return_tensors)

    def __call__(self, videos, **kwargs) -> BatchFeature:
        return self.preprocess(videos, **kwargs)


def _checked(frames) -> np.ndarray:
    frames = frames.detach().cpu().numpy() if hasattr(frames, "detach") else np.asarray(frames)
    if frames.ndim != 4:
        hint = "Add the missing axis, as in frames[None], for a single picture." if frames.ndim == 3 else ""
        hint = "Pass a list of clips, as in list(frames), for several." if frames.ndim == 5 else hint
        raise ValueError(
            f"expected frames of shape (num_frames, height, width, 3), got {frames.shape}. {hint}".strip()
        )
    if 0 in frames.shape[:3]:
        raise ValueError(
            f"expected at least one frame of at least one pixel, got shape {frames.shape}. Leave this clip's video out."
        )
    if frames.shape[-1] != 3:
        hint = {1: "Repeat the grey channel three times.", 4: "Drop the alpha channel: frames[..., :3]."}
        remedy = hint.get(frames.shape[-1], "")
        if frames.shape[1] == 3:
            remedy = "The channels seem to come first: pass frames.transpose(0, 2, 3, 1)."
        raise ValueError(f"expected 3 channels (RGB) on the last axis, got shape {frames.shape}. {remedy}".strip())
    if frames.dtype != np.uint8:
        broken = ""
        if np.issubdtype(frames.dtype, np.floating) and not np.isfinite(frames).all():
            broken = " that hold NaN or infinity"
        raise ValueError(
            f"expected frames as bytes (uint8, 0 to 255), got {frames.dtype}{broken}. Pass the decoded bytes; from values "
            "in [0, 1], (frames * 255).round().astype('uint8')."
        )
    return frames


def _centre_squares(frames: np.ndarray, side: int) -> np.ndarray:
    height, width = frames.shape[1:3]
    if height == width == side:
        return frames
    edge = min(height, width)
    left, top = (width - edge) / 2, (height - edge) / 2
    box = (left, top, left + edge, top + edge)
    resized = [Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR, box=box) for frame in frames]
    return np.stack([np.asarray(frame) for frame in resized])


TacfnImageProcessor.register_for_auto_class()
