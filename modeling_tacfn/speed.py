# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What makes training fast on a GPU and changes nothing of what is learnt: workers, layouts of memory, compilation."""

from collections.abc import Callable

import torch
from torch import nn


def loader_options(num_workers: int, device: torch.device) -> dict:
    """
    Arguments of a `DataLoader` whose batches are made by `num_workers` processes, or by the training process itself for 0.

    On a GPU batches are put where it copies them from by itself. The processes stay between epochs.
    """
    return {
        "num_workers": num_workers,
        "persistent_workers": num_workers > 0,
        "pin_memory": device.type == "cuda",
        # Of its own: how often it draws depends on the processes, and the dropout of the network must not.
        "generator": torch.Generator() if num_workers else None,
    }


class FinishedBatches:
    """
    The batches of a loader, finished on the device where it puts them.

    Args:
        loader (`DataLoader`): gives batches.
        finish (`Callable`): what is done to each.
    """

    def __init__(self, loader, finish: Callable[[dict], dict]):
        self.loader, self.finish = loader, finish

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self):
        return map(self.finish, self.loader)


def use_channels_last(model: nn.Module) -> None:
    """Keep the kernels of 2-D and 3-D convolutions with their channels last, as tensor cores read them. Values are the same."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def compile_network(model: nn.Module, backend: str | Callable) -> None:
    """
    Compile a network in place: its weights keep their names, and it is asked as before.

    Of a network that sees pictures it is their encoder, which does nearly all the work: its sizes stay the same from batch to
    batch, while those of the sound do not, and max pooling over sound would be compiled again for each length. Of a network of
    named features it is all but the classifier, with every size left open.

    Args:
        model: a network of this package.
        backend (`str` or `Callable`): of `torch.compile`, such as `inductor`.
    """
    encoder = getattr(model.fusion, "video_encoder", None)
    if encoder is not None:
        encoder.compile(backend=backend)
    else:
        model.fusion.compile(backend=backend, dynamic=True)


__all__ = ["FinishedBatches", "compile_network", "loader_options", "use_channels_last"]
