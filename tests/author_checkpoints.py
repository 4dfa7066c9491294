"""State dicts as the authors' code saves them, at any size, and the made-up weights that stand for trained ones."""

import numpy as np
import torch


NORM = ("weight", "bias", "running_mean", "running_var")


def cfn_sr_shapes(config, num_labels: int = 8) -> dict[str, list[int]]:
    """Names and shapes of everything that CFN-SR's released `networks/msaf_ravdess.py` saves, its encoder switched on."""
    size, inner = config.hidden_size, config.intermediate_size
    first, second, third = config.audio_channels
    widest = 2 * config.video_widths[-1]
    shapes = {
        "msaf.0.channel_affine.weight": [size, widest],
        "msaf.0.channel_affine.bias": [size],
        "msaf.0.y_affine.weight": [size, size],
        "msaf.0.attn_weight_affine.weight": [1, size],
        "msaf.0.attn_weight_affine.bias": [1],
        "msaf.0.audio_attention.version": [1],
        "msaf.0.audio_attention.embed_positions._float_tensor": [1],
        "fc.weight": [num_labels, widest + config.audio_bins * third],
        "fc.bias": [num_labels],
        "audio_model_blocks.0.0.weight": [first, config.audio_coefficients, 7],
        "audio_model_blocks.0.0.bias": [first],
        "audio_model_blocks.0.3.weight": [second, first, 7],
        "audio_model_blocks.0.3.bias": [second],
        "audio_model_blocks.0.8.weight": [third, second, 5],
        "audio_model_blocks.0.8.bias": [third],
    }
    for layer in range(config.num_hidden_layers):
        prefix = f"msaf.0.audio_attention.layers.{layer}"
        shapes |= {
            f"{prefix}.self_attn.in_proj_weight": [3 * size, size],
            f"{prefix}.self_attn.in_proj_bias": [3 * size],
            f"{prefix}.self_attn.out_proj.weight": [size, size],
            f"{prefix}.self_attn.out_proj.bias": [size],
            f"{prefix}.fc1.weight": [inner, size],
            f"{prefix}.fc1.bias": [inner],
            f"{prefix}.fc2.weight": [size, inner],
            f"{prefix}.fc2.bias": [size],
        }
        norms = [f"{prefix}.layer_norms.{index}" for index in (0, 1)]
        shapes |= {f"{norm}.{part}": [size] for norm in norms for part in ("weight", "bias")}
    shapes |= {f"msaf.0.audio_attention.layer_norm.{part}": [size] for part in ("weight", "bias")}
    for index, channels in (("2", first), ("6", second), ("10", third)):
        shapes |= norm_shapes(f"audio_model_blocks.0.{index}", channels)
    for name, shape in resnext_shapes(config).items():
        name = name.replace("conv1.", "0.", 1) if name.startswith("conv1.") else name
        name = name.replace("bn1.", "1.", 1) if name.startswith("bn1.") else name
        if name.startswith("layer"):
            name = f"{int(name[5]) + 2}{name[6:]}"
        shapes[f"video_model_blocks.0.{name}"] = shape
    return shapes


def resnext_shapes(config) -> dict[str, list[int]]:
    """Names and shapes of the 3-D ResNeXt of 3D-ResNets-PyTorch, without its classifier."""
    channels = config.video_stem_channels
    shapes = {"conv1.weight": [channels, 3, 7, 7, 7]} | norm_shapes("bn1", channels)
    for stage, (width, depth) in enumerate(zip(config.video_widths, config.video_depths, strict=True)):
        for block in range(depth):
            prefix = f"layer{stage + 1}.{block}"
            shapes[f"{prefix}.conv1.weight"] = [width, channels, 1, 1, 1]
            shapes[f"{prefix}.conv2.weight"] = [width, width // config.video_cardinality, 3, 3, 3]
            shapes[f"{prefix}.conv3.weight"] = [2 * width, width, 1, 1, 1]
            for index, size in ((1, width), (2, width), (3, 2 * width)):
                shapes |= norm_shapes(f"{prefix}.bn{index}", size)
            if channels != 2 * width or (stage and not block):
                shapes[f"{prefix}.downsample.0.weight"] = [2 * width, channels, 1, 1, 1]
                shapes |= norm_shapes(f"{prefix}.downsample.1", 2 * width)
            channels = 2 * width
    return shapes


def norm_shapes(name: str, channels: int) -> dict[str, list[int]]:
    return {f"{name}.{part}": [channels] for part in NORM} | {f"{name}.num_batches_tracked": []}


def made_up_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Weights by the formula of `parity/cfn_sr.json`, which gives each of them another number."""
    state = {}
    for k, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        wave = np.sin(0.37 * np.arange(int(np.prod(shape))) + 0.11 * k).reshape(shape)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
            continue
        if name.endswith((".version", "_float_tensor")):
            wave = np.ones(shape)
        elif name.endswith("running_var"):
            wave = 1 + 0.1 * np.abs(wave)
        elif name.endswith("running_mean"):
            wave = 0.1 * wave
        elif len(shape) == 1:
            wave = 1 + 0.1 * wave if name.endswith(".weight") else 0.05 * wave
        else:
            wave = wave / np.sqrt(np.prod(shape[1:]))
        state[name] = torch.from_numpy(wave.astype(np.float32))
    return state
