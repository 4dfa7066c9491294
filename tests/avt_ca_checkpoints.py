"""State dicts as AVT-CA's and EfficientFace's authors save them, at any size, and the made-up weights of their parity."""

import numpy as np
import torch


def avt_ca_shapes(config) -> dict[str, list[int]]:
    """Names and shapes of everything that AVT-CA's released `models/multimodalcnn.py` saves with its default fusion."""
    size = config.audio_channels[-1]
    shapes = {f"visual_model.{name}": shape for name, shape in efficientface_shapes(config).items()}
    sizes = {
        "audio_model": (config.audio_coefficients, *config.audio_channels),
        "visual_model": (config.video_feature_size, *config.video_channels),
    }
    for model, channels in sizes.items():
        for index in range(4):
            prefix = f"{model}.conv1d_{index}"
            shapes[f"{prefix}.0.weight"] = [channels[index + 1], channels[index], 3]
            shapes[f"{prefix}.0.bias"] = [channels[index + 1]]
            shapes |= norm_shapes(f"{prefix}.1", channels[index + 1])
        shapes |= linear_shapes(f"{model}.classifier_1.0", size, config.num_labels)
    audio, video = sizes["audio_model"][2], sizes["visual_model"][2]
    for block, query, key in (("av1", audio, video), ("va1", video, audio)):
        for norm, width in (("norm1_q", query), ("norm1_k", key), ("norm2", query)):
            shapes |= {f"{block}.{norm}.weight": [width], f"{block}.{norm}.bias": [width]}
        shapes[f"{block}.attn.q.weight"] = [query, query]
        shapes[f"{block}.attn.kv.weight"] = [2 * query, key]
        shapes |= linear_shapes(f"{block}.attn.proj", query, query)
        shapes |= linear_shapes(f"{block}.mlp.fc1", query, config.feed_forward_ratio * query)
        shapes |= linear_shapes(f"{block}.mlp.fc2", config.feed_forward_ratio * query, query)
    shapes |= {"finalAttention.in_proj_weight": [3 * size, size], "finalAttention.in_proj_bias": [3 * size]}
    shapes |= linear_shapes("finalAttention.out_proj", size, size)
    return shapes | linear_shapes("classifier_1.0", 2 * size, config.num_labels)


def efficientface_shapes(config) -> dict[str, list[int]]:
    """Names and shapes of EfficientFace without its classifier of faces."""
    stem, first = config.video_stem_channels, config.video_stage_channels[0]
    size, channels = config.video_attention_size, stem
    shapes = convolution_shapes("conv1.0", 3, stem, 3) | norm_shapes("conv1.1", stem)
    for stage, (width, depth) in enumerate(zip(config.video_stage_channels, config.video_stage_depths, strict=True)):
        half = width // 2
        for unit in range(depth):
            prefix = f"stage{stage + 2}.{unit}"
            if not unit:
                shapes |= convolution_shapes(f"{prefix}.branch1.0", 1, channels, 3)
                shapes |= norm_shapes(f"{prefix}.branch1.1", channels)
                shapes |= convolution_shapes(f"{prefix}.branch1.2", channels, half, 1)
                shapes |= norm_shapes(f"{prefix}.branch1.3", half)
            shapes |= convolution_shapes(f"{prefix}.branch2.0", half if unit else channels, half, 1)
            shapes |= convolution_shapes(f"{prefix}.branch2.3", 1, half, 3)
            shapes |= convolution_shapes(f"{prefix}.branch2.5", half, half, 1)
            for norm in (1, 4, 6):
                shapes |= norm_shapes(f"{prefix}.branch2.{norm}", half)
        channels = width
    for quarter in (1, 2, 3, 4):
        for index in (1, 2):
            shapes |= convolution_shapes(f"local.conv{quarter}_{index}", 1, first, 3)
            shapes |= norm_shapes(f"local.bn{quarter}_{index}", first)
    gate = "modulator.channel_att.gate_c.gate_c"
    shapes |= linear_shapes(f"{gate}_fc_0", first, size) | norm_shapes(f"{gate}_bn_1", size)
    shapes |= linear_shapes(f"{gate}_fc_final", size, first)
    gate = "modulator.spatial_att.gate_s.gate_s"
    layers = (("conv_reduce0", first, size, 1), ("conv_di_0", size, size, 3), ("conv_di_1", size, size, 3))
    for name, in_channels, out_channels, kernel in (*layers, ("conv_final", size, 1, 1)):
        shapes |= convolution_shapes(f"{gate}_{name}", in_channels, out_channels, kernel)
        shapes[f"{gate}_{name}.bias"] = [out_channels]
    for name in ("bn_reduce0", "bn_di_0", "bn_di_1"):
        shapes |= norm_shapes(f"{gate}_{name}", size)
    width = config.video_feature_size
    return shapes | convolution_shapes("conv5.0", channels, width, 1) | norm_shapes("conv5.1", width)


def convolution_shapes(name: str, in_channels: int, out_channels: int, kernel: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [out_channels, in_channels, kernel, kernel]}


def linear_shapes(name: str, in_size: int, out_size: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [out_size, in_size], f"{name}.bias": [out_size]}


def norm_shapes(name: str, channels: int) -> dict[str, list[int]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": [channels] for part in parts} | {f"{name}.num_batches_tracked": []}


def made_up_avt_ca_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Weights by the formula of `parity/avt_ca.json`, which gives each of them another number."""
    state = {}
    for k, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
            continue
        wave = np.sin(12.9898 * (np.arange(int(np.prod(shape))) + 1) + 78.233 * (k + 1)).reshape(shape)
        if name.endswith("running_var"):
            wave = 0.5 + 0.1 * np.abs(wave)
        elif name.endswith("running_mean"):
            wave = 0.05 * wave
        elif len(shape) == 1:
            wave = 1 + 0.1 * wave if name.endswith(".weight") else 0.1 * wave
        else:
            wave = 2 * wave / np.sqrt(np.prod(shape[1:]))
        state[name] = torch.from_numpy(wave.astype(np.float32))
    return state
