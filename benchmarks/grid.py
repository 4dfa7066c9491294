"""
Seconds of an epoch over 1,200 clips in the feature form, for every method of `tacfn compare`, and what the whole grid takes at that.

    python benchmarks/grid.py [--config configs/ravdess_au.yaml] [--epochs 3]

Clips are random numbers of the sizes of `ravdess_au`; augmentation, optimiser and batches are those of the configuration. As many
processes as processors train side by side, one thread each, as the command does it. The grid is 5 folds and 3 seeds of every method
for the epochs of the configuration, each on four fifths of the clips; reading, testing and pictures are not in it. Beside it stands
what the multiplications alone would take at the speed of a large matrix product. Writes `benchmarks/results/grid.json`.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from reference import environment, reference_matmul_seconds
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from modeling_tacfn.augmentation import Augmentation, Augmenter
from modeling_tacfn.comparison import default_methods, method_options
from modeling_tacfn.data import ClipCollator
from modeling_tacfn.prepared_clip import PreparedClip
from modeling_tacfn.results import save_json_atomic
from modeling_tacfn.sharding import WholeNetwork
from modeling_tacfn.train_options import parse_arguments
from modeling_tacfn.training import TrainingSettings, network_config, parameter_groups, train_epoch, warmup_cosine


ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "grid.json"
CLIPS, SPEAKERS, LABELS, FOLDS, SEEDS = 1200, 20, 8, 5, 3
STEPS = (150, 260)  # of 20 ms: the shortest and the longest clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=str(ROOT / "configs" / "ravdess_au.yaml"))
    parser.add_argument("--epochs", type=int, default=3, help="of which the median counts; one more warms up")
    options = parser.parse_args()
    shared = ["--config", options.config]
    arguments = parse_arguments(shared)
    methods = default_methods(arguments.model)
    processes = os.cpu_count() or 1
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(measure, methods, [shared] * len(methods), [options.epochs] * len(methods)))
    record = {
        "config": Path(options.config).name,
        "clips": CLIPS,
        "processes": processes,
        "epochs": arguments.epochs,
        "runs": rows,
        "grid_seconds": sum(row["seconds"] for row in rows) * trainings(arguments.epochs) / processes,
        "floor_seconds": sum(row["floor_seconds"] for row in rows) * trainings(arguments.epochs) / processes,
        "environment": environment(),
    }
    save_json_atomic(RESULTS, record)
    print(f"{table(record)}\n\n{sentence(record)}\n\n{RESULTS}")


def trainings(epochs: int) -> float:
    """Epochs over all clips that the folds and seeds of one method make."""
    return epochs * FOLDS * SEEDS * (FOLDS - 1) / FOLDS


def measure(method: str, shared: list[str], epochs: int) -> dict:
    """Train one method for some epochs in this process."""
    torch.set_num_threads(1)
    arguments = parse_arguments([*shared, *method_options(method, parse_arguments(shared).model)])
    torch.manual_seed(0)
    labels = [str(label) for label in range(LABELS)]
    config = network_config(arguments.network, arguments.model, labels)
    model = AutoModel.from_config(config)
    samples = drawn_samples(config, arguments.modalities)
    settings = TrainingSettings(
        batch_size=arguments.batch_size, gradient_clip=arguments.gradient_clip, ema_decay=0.0, epochs=epochs
    )
    augmenter = Augmenter(Augmentation.from_dict(arguments.augmentation), samples)
    collator = ClipCollator(LABELS, None, augmenter, arguments.label_smoothing)
    accelerator = Accelerator(cpu=True)
    loader = DataLoader(samples, settings.batch_size, shuffle=True, collate_fn=collator, drop_last=True)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01), lr=1e-4, fused=True)
    whole = WholeNetwork(accelerator, model)
    model, optimizer = accelerator.prepare(model, optimizer)
    schedule = warmup_cosine(optimizer, (epochs + 1) * len(loader), settings.warmup)
    seconds = []
    for _ in range(epochs + 1):
        started = time.perf_counter()
        train_epoch(accelerator, model, whole, loader, optimizer, schedule, None, settings)
        seconds.append(time.perf_counter() - started)
    reference = reference_matmul_seconds()
    batch = {name: value for name, value in next(iter(loader)).items() if name != "index"}
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    flops = counter.get_total_flops() * len(loader)
    return {
        "method": method,
        "seconds": statistics.median(seconds[1:]),
        "flops": flops,
        "floor_seconds": flops / (2 * 2048**3) * reference,
        "reference_matmul_seconds": reference,
    }


def drawn_samples(config, modalities: list[str] | None) -> list[dict]:
    """Clips of random numbers with every named feature, or those that are kept."""
    generator = np.random.default_rng(0)
    samples = []
    for index in range(CLIPS):
        steps = generator.integers(*STEPS)
        arrays = {
            "input_features" if name == "audio" else f"feature/{name}": generator.standard_normal(
                size if name in config.static_features else (steps, size), np.float32
            )
            for name, size in config.feature_sizes.items()
            if modalities is None or name in modalities
        }
        samples.append(
            {
                "index": index,
                "clip": PreparedClip.of(arrays),
                "label": index % LABELS,
                "speaker": str(index % SPEAKERS),
                "intensity": "normal",
            }
        )
    return samples


def table(record: dict) -> str:
    """The measurement as docs/speed.md shows it."""
    lines = [
        "| method | seconds per epoch | its multiplications alone | reference products |",
        "|---|---:|---:|---:|",
    ]
    for row in record["runs"]:
        ratio = row["seconds"] / row["reference_matmul_seconds"]
        lines.append(f"| {row['method']} | {row['seconds']:.2f} | {row['floor_seconds']:.2f} | {ratio:.1f} |")
    return "\n".join(lines)


def sentence(record: dict) -> str:
    """What the whole grid takes at that speed."""
    return (
        f"{len(record['runs'])} methods x {FOLDS} folds x {SEEDS} seeds x {record['epochs']} epochs with {record['processes']} processes: "
        f"{record['grid_seconds'] / 60:.0f} min at this speed, {record['floor_seconds'] / 60:.0f} min if multiplying were all."
    )


if __name__ == "__main__":
    main()
