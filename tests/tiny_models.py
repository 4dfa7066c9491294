"""Tiny configurations and inputs of every network and form, for tests."""

import torch

from modeling_tacfn import AvtCaConfig, AvtCaModel, CfnSrConfig, CfnSrModel, TacfnConfig, TacfnModel
from modeling_tacfn.configuration_avt_ca import RELEASED_FIELDS
from modeling_tacfn.modeling_av_common import Standardize


TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
AUDIO_VIDEO = TINY | {
    "audio_channels": (8, 8, 16),
    "video_stem_channels": 8,
    "video_widths": (8, 8, 16, 16),
    "video_depths": (1, 1, 1, 1),
    "video_cardinality": 4,
}
AVT_CA = {
    "audio_channels": (8, 8, 16, 16),
    "video_stem_channels": 4,
    "video_stage_channels": (8, 8),
    "video_stage_depths": (2, 1),
    "video_feature_size": 16,
    "video_attention_size": 3,
    "video_channels": (12, 12, 8, 16),
}
FEATURES = TINY | {
    "feature_sizes": {"units": 7, "text": 12, "audio": 20},  # saved files sort their keys
    "static_features": ("units",),
    "spectrogram_features": ("audio",),
    "spectrogram_channels": (4, 8),
    "spectrogram_time_strides": (2, 2),
    "spectrogram_mel_strides": (4, 2),
}
CONFIGS = {
    "audio_video": AUDIO_VIDEO,
    "audio_video_both_ways": AUDIO_VIDEO | {"reinforced": ("audio", "video"), "weight_scale": "mean_one"},
    "audio_video_last": AUDIO_VIDEO | {"selection_pooling": "last"},
    "audio_video_own_classifiers": AUDIO_VIDEO | {"modality_loss_weight": 0.3},
    "features": FEATURES,
    "features_input_tokens": FEATURES
    | {"encoded_targets": ["text"], "weight_scale": "mean_one", "readout": "statistics", "modality_loss_weight": 0.3},
    "features_two_modalities": FEATURES | {"reinforced": ("units",), "num_labels": 4},
    "cfn_sr": AUDIO_VIDEO,
    "cfn_sr_released": AUDIO_VIDEO | {"stem_activation": False},
    "cfn_sr_mean": AUDIO_VIDEO | {"is_causal": False, "selection_pooling": "mean"},
    "cfn_sr_own_classifiers": AUDIO_VIDEO | {"modality_loss_weight": 0.3},
    "avt_ca": AVT_CA,
    "avt_ca_own_classifiers": AVT_CA | {"modality_loss_weight": 0.3, "combination": "concatenation"},
    "avt_ca_intermediate_only": AVT_CA | {"final_attention": "none", "video_attention": "after_first_stage"},
    "avt_ca_final_only": AVT_CA | {"intermediate_fusion": False, "pooling": "mean"},
    # In the released form a modality's own classifier learns only if its loss is asked for.
    "avt_ca_released": AVT_CA | RELEASED_FIELDS | {"num_attention_heads": 4, "modality_loss_weight": 0.3},
}
# A configuration is TACFN's unless its name begins with another network's.
NETWORKS = {"cfn_sr": (CfnSrConfig, CfnSrModel), "avt_ca": (AvtCaConfig, AvtCaModel)}


def classes(name: str) -> tuple[type, type]:
    """Configuration and model class of a configuration in `CONFIGS`."""
    return next((pair for network, pair in NETWORKS.items() if name.startswith(network)), (TacfnConfig, TacfnModel))


def takes_features(name: str) -> bool:
    """Whether a network takes named features, and not sound and pictures."""
    return name.startswith("features")


def make_config(name: str, **overrides):
    return classes(name)[0](**(CONFIGS[name] | overrides))


def build(name: str, **overrides):
    torch.manual_seed(0)
    model = classes(name)[1](make_config(name, **overrides)).eval()
    randomize_norms(model)
    return model


def randomize_norms(model) -> None:
    """Give the norms statistics that turn zero padding into something else, so that a leak of padding shows."""
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, Standardize):
            module.fit(torch.randn(module.mean.shape), 0.5 + torch.rand(module.std.shape))


def clip(name: str, length: int = 40, frames: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    """One clip without batch dimension: `length` audio steps, `frames` frames."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    if takes_features(name):
        return {"audio": draw(length, 20), "text": draw(frames, 12), "units": draw(7)}
    return {
        "input_features": draw(length, make_config(name).audio_coefficients),
        "pixel_values_videos": draw(frames, 3, 48, 48),
    }


def collate(name: str, clips: list[dict], extra: int = 0) -> dict:
    """Pad clips of different length (and by `extra` more steps) with noise that the masks must hide."""
    values, masks = {}, {}
    generator = torch.Generator().manual_seed(99)
    for key in clips[0]:
        if clips[0][key].ndim == 1:
            values[key] = torch.stack([item[key] for item in clips])
            masks[key] = torch.ones(values[key].shape, dtype=torch.bool)
            continue
        longest = max(len(item[key]) for item in clips) + extra
        values[key] = 5 * torch.randn((len(clips), longest, *clips[0][key].shape[1:]), generator=generator)
        masks[key] = torch.zeros(len(clips), longest, dtype=torch.bool)
        for index, item in enumerate(clips):
            values[key][index, : len(item[key])] = item[key]
            masks[key][index, : len(item[key])] = True
    if takes_features(name):
        return {"features": values, "feature_masks": masks}
    return values | {"audio_mask": masks["input_features"], "video_mask": masks["pixel_values_videos"]}
