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
"""What the configurations of all networks of this package share."""

import dataclasses

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.utils import logging


logger = logging.get_logger(__name__)

# What the library puts beside the fields of a configuration, in a saved file or in a call.
LIBRARY_KEYS = frozenset(
    {
        "attn_implementation",
        "auto_map",
        "custom_pipelines",
        "experts_implementation",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "per_layer_config",
        "quantization_config",
        "torch_dtype",
    }
)
RAVDESS_LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


@strict
class AudioVideoConfig(PreTrainedConfig):
    """The labels of a network: RAVDESS's eight emotions unless others are given, always saved with their names."""

    def __post_init__(self, **kwargs):
        warn_of_unknown_fields(type(self), kwargs)
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(enumerate(RAVDESS_LABELS))
        if self.id2label is not None and self.label2id is None:
            self.label2id = {name: int(index) for index, name in self.id2label.items()}
        super().__post_init__(**kwargs)

    def to_diff_dict(self):
        # The library leaves two unnamed labels out of the saved file, its own default; ours is another.
        return super().to_diff_dict() | {"id2label": self.id2label, "label2id": self.label2id}


def warn_of_unknown_fields(config_class: type, given: dict) -> None:
    """
    Name the fields that this version does not know, which the library would keep and nobody would read.

    A file of a newer version then does not pass for one of this version: what such a field asks for is not done.
    """
    known = {field.name for field in dataclasses.fields(config_class)} | LIBRARY_KEYS
    unknown = sorted(name for name in given if name not in known and not name.startswith("_"))
    if unknown:
        logger.warning(
            f"{config_class.__name__} does not know the fields {', '.join(unknown)}: the file was written by a newer version of "
            "modeling_tacfn or of transformers, or a name is misspelt. They are kept but have no effect, so the network may "
            "answer otherwise than its authors meant; upgrade, or correct them."
        )


def check_encoder_sizes(config) -> None:
    """Refuse sizes that the MFCC CNN, the 3-D ResNeXt and the selection encoder cannot have together."""
    if len(config.audio_channels) != 3 or config.audio_channels[-1] != config.hidden_size:
        raise ValueError(
            f"`audio_channels` must be three sizes ending in `hidden_size` ({config.hidden_size}), got {list(config.audio_channels)}."
        )
    if len(config.video_widths) != len(config.video_depths):
        raise ValueError(
            f"`video_widths` and `video_depths` need one entry per stage, got {list(config.video_widths)} and "
            f"{list(config.video_depths)}."
        )
    odd = [width for width in config.video_widths if width % config.video_cardinality]
    if odd:
        raise ValueError(
            f"`video_widths` must be multiples of `video_cardinality` ({config.video_cardinality}), got {odd}."
        )


def check_attention_heads(config) -> None:
    """Refuse a number of heads that does not divide the token size."""
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"`hidden_size` must be a multiple of `num_attention_heads`, got {config.hidden_size} and "
            f"{config.num_attention_heads}; change one of them."
        )
