# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
Training with FSDP: every process keeps a part of the weights, of their gradients and of the optimiser's state.

Weights are put together layer by layer while the network runs, by all processes at once, so none of them may leave a layer
out. Whatever is not a step of training (validation, the moving average, scores, saving) is done by a whole copy of the network.
"""

import copy
import os

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin, PartialState
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor

from .data import modality_of


def make_accelerator(**options) -> Accelerator:
    """
    The accelerator that `accelerate launch` asks for, on processors too.

    Args:
        options: of `Accelerator`.

    Raises:
        SystemExit: version 1 of FSDP was asked for.
    """
    # Started by `accelerate launch` without a GPU to be seen, each process would take itself for the only one.
    if "LOCAL_RANK" in os.environ and not torch.cuda.is_available():
        options["cpu"] = True
    if os.environ.get("ACCELERATE_USE_FSDP", "false") != "true":
        return Accelerator(**options)
    if os.environ.get("FSDP_VERSION") != "2":
        raise SystemExit(
            "Only version 2 of FSDP is supported: set `fsdp_version: 2`, as configs/accelerate/fsdp.yaml does."
        )
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        # Single precision: what is computed in bf16 is autocast's choice, as without FSDP.
        mixed_precision_policy=MixedPrecisionPolicy(),
        # accelerate would take buffers, such as the statistics of norms, for sharded weights.
        cpu_ram_efficient_loading=False,
    )
    accelerator = Accelerator(fsdp_plugin=plugin, **options)
    if accelerator.distributed_type == DistributedType.MULTI_CPU:
        # accelerate leaves FSDP out where there is no accelerator, without a word; torch shards over gloo as well.
        PartialState().distributed_type = accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin
    return accelerator


def choose_units(accelerator: Accelerator, model: nn.Module) -> None:
    """What FSDP puts together at a time: those blocks among `_no_split_modules` that this form of the network has."""
    if accelerator.is_fsdp2:
        present = {type(module).__name__ for module in model.modules()}
        # accelerate refuses names that a network lacks.
        accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap = sorted(
            present & set(model._no_split_modules or ())
        )


class WholeNetwork:
    """
    Gives the network with all of its weights: itself, or under FSDP a copy that is filled from all processes.

    Args:
        accelerator (`Accelerator`): trains the network.
        model (`nn.Module`): the network before the accelerator prepares it.
    """

    def __init__(self, accelerator: Accelerator, model: nn.Module):
        self.accelerator = accelerator
        self.copy = copy.deepcopy(model).to(accelerator.device) if accelerator.is_fsdp2 else None

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> nn.Module:
        """The whole network of the prepared `model`. Under FSDP all processes must call it together."""
        network = self.accelerator.unwrap_model(model)
        if self.copy is None:
            return network
        for buffer in network.buffers():
            # Statistics of norms are those of the first process, as with DDP.
            torch.distributed.broadcast(buffer, 0)
        weights = network.state_dict()
        self.copy.load_state_dict(
            {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in weights.items()}
        )
        return self.copy


class CompleteBatches:
    """
    A collator of batches that all have the same modalities: one that no clip of a batch has becomes one masked step.

    Args:
        collator ([`ClipCollator`]): makes the batches.
        clips (`list[PreparedClip]`): all clips; what some of them have is in every batch.
    """

    def __init__(self, collator, clips: list):
        self.collator = collator
        owners = {array: clip for clip in reversed(clips) for array in clip}
        self.shapes = {array: clip[array].shape for array, clip in owners.items()}

    def __call__(self, samples: list[dict]) -> dict[str, torch.Tensor]:
        batch, size = self.collator(samples), len(samples)
        for array, shape in self.shapes.items():
            if array == "input_features" and array not in batch:
                batch[array] = torch.zeros(size, 1, *shape[1:])
                batch["audio_mask"] = torch.zeros(size, 1, dtype=torch.bool)
            elif array == "crops" and array not in batch:
                batch["video_mask"] = torch.zeros(size, 1, dtype=torch.bool)
                frames = torch.zeros(size, 1, *shape[1:], dtype=torch.uint8)
                batch[array] = {"frames": frames, "mask": batch["video_mask"]}
            elif array.startswith("feature/") and modality_of(array) not in batch.setdefault("features", {}):
                steps = shape if len(shape) == 1 else (1, *shape[1:])
                batch["features"][modality_of(array)] = torch.zeros(size, *steps)
                mask = torch.zeros(size, steps[0], dtype=torch.bool)
                batch.setdefault("feature_masks", {})[modality_of(array)] = mask
        return batch


__all__ = ["CompleteBatches", "WholeNetwork", "choose_units", "make_accelerator"]
