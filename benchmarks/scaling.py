"""
Clips per second of training with 1 and with 2 processes, what their meeting costs, and what that lets expect of many GPUs.

    python benchmarks/scaling.py [--windows 5] [--steps 5]

The networks of `configs/synthetic.yaml` (pictures and sound) and `configs/ravdess_au.yaml` (features) train on drawn tensors with
the batch of their configuration, which the processes share: alone, with DDP and with FSDP (configs/accelerate/cpu_*.yaml), one thread per
process. A row is the median of `--windows` times `--steps` steps. Times on shared machines drift, and two processes need two
idle cores. Writes `benchmarks/results/scaling.json`; takes two minutes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from accelerate.utils import set_seed
from reference import reference_matmul_seconds
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from modeling_tacfn import TacfnConfig, TacfnImageProcessor, TacfnModel
from modeling_tacfn.data import ClipCollator
from modeling_tacfn.prepared_clip import PreparedClip
from modeling_tacfn.results import environment_record, save_json_atomic
from modeling_tacfn.sharding import WholeNetwork, choose_units, make_accelerator
from modeling_tacfn.training import TrainingSettings, network_config, parameter_groups, train_epoch, warmup_cosine


ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
NETWORKS = {"pictures": "synthetic", "features": "ravdess_au"}
WAYS = {"alone": None, "DDP": "cpu_ddp", "FSDP": "cpu_fsdp"}
NUM_LABELS = 8

# What is assumed, not measured: an H100 at a tenth of its peak in bf16, bytes per second in one direction of NVLink 4 and of networks.
ASSUMED_FLOPS = 100e12
ASSUMED_CLIPS_PER_GPU = 8
LINKS = {"NVLink": 450e9, "100 Gb/s": 100e9 / 8, "25 Gb/s": 25e9 / 8}
CASES = [(8, 1, "NVLink"), (16, 2, "100 Gb/s"), (64, 8, "100 Gb/s"), (16, 2, "25 Gb/s"), (64, 8, "25 Gb/s")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--process", type=Path, help=argparse.SUPPRESS)  # where one of the processes writes
    options = parser.parse_args()
    if options.process:
        measure_here(options.process, options.windows, options.steps)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for way, config in WAYS.items():
            path = Path(folder) / f"{way}.json"
            launch = ["-m", "accelerate.commands.launch", "--main_process_port", "0", "--config_file"]
            start = [*launch, str(ROOT / "configs" / "accelerate" / f"{config}.yaml")] if config else []
            numbers = ["--windows", str(options.windows), "--steps", str(options.steps)]
            command = [sys.executable, *start, __file__, "--process", str(path), *numbers]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
            subprocess.run(command, env=environment, check=True)
            rows += [{"way": way} | row for row in json.loads(path.read_text(encoding="utf-8"))]
    record = {
        "windows": options.windows,
        "steps": options.steps,
        "runs": rows,
        "published": published_network(),
        "environment": environment_record(),
    }
    save_json_atomic(RESULTS, record)
    print(f"{table(record)}\n\n{reasoned_table(record)}\n\n{sentence(record)}\n\n{RESULTS}")


def table(record: dict) -> str:
    """What was measured: the first table of docs/distributed.md."""
    lines = [
        "| network | parameters | processes | clips per second | to one process | gradients, MB | all-reduce, ms | of a step |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    alone = {row["network"]: row for row in record["runs"] if row["way"] == "alone"}
    for network, one in alone.items():
        for row in (row for row in record["runs"] if row["network"] == network):
            rate, step = row["clips_per_second"], row["batch_size"] / row["clips_per_second"]
            meeting = "– | –"
            if row["way"] == "DDP":
                share = row["all_reduce_seconds"] / step
                meeting = f"{1000 * row['all_reduce_seconds']:.1f} | {100 * share:.1f} %"
            lines.append(
                f"| {network} | {row['num_parameters']:,} | {row['processes']}, {row['way']} | {rate:.1f} | "
                f"{rate / one['clips_per_second']:.2f} | {4e-6 * row['num_parameters']:.2f} | {meeting} |"
            )
    return "\n".join(lines)


def reasoned_table(record: dict) -> str:
    """What follows for the published network from numbers that were not measured: the second table of docs/distributed.md."""
    step = step_seconds(record)
    lines = [
        "| GPUs | machines | slowest link | moved per GPU, MB | all-reduce, ms | efficiency, nothing hidden | hidden behind the backward pass |",
        "|---:|---:|---|---:|---:|---:|---:|",
    ]
    for gpus, machines, link in CASES:
        moved = 2 * (gpus - 1) / gpus * 4 * record["published"]["num_parameters"]
        seconds = moved / LINKS[link]
        # The backward pass is two thirds of a step.
        shown = max(seconds - 2 / 3 * step, 0)
        lines.append(
            f"| {gpus} | {machines} | {link} | {moved / 1e6:.0f} | {1000 * seconds:.1f} | "
            f"{100 * step / (step + seconds):.0f} % | {100 * step / (step + shown):.0f} % |"
        )
    return "\n".join(lines)


def sentence(record: dict) -> str:
    """The step that is assumed, and whether its clips could be brought, as docs/distributed.md says it."""
    published, step = record["published"], step_seconds(record)
    needed = ASSUMED_CLIPS_PER_GPU / step
    return (
        f"Forward a clip takes {published['forward_flops'] / 1e9:.0f} GFLOP, trained three times that; a step of "
        f"{ASSUMED_CLIPS_PER_GPU} clips per GPU is {1000 * step:.0f} ms at {ASSUMED_FLOPS / 1e12:.0f} TFLOP/s. "
        f"That is {needed:.0f} clips or {needed * published['clip_bytes'] / 1e9:.1f} GB of pictures per second and GPU, while one core makes batches "
        f"of {1 / published['collate_seconds_per_clip']:.0f} such clips per second (measured, without reading)."
    )


def step_seconds(record: dict) -> float:
    """Seconds of computation of one step, assumed."""
    return ASSUMED_CLIPS_PER_GPU * 3 * record["published"]["forward_flops"] / ASSUMED_FLOPS


def measure_here(path: Path, windows: int, steps: int) -> None:
    """Train both networks as one of the processes that were started; the first of them writes what was measured."""
    accelerator = make_accelerator()
    rows = []
    for network, config in NETWORKS.items():
        options = yaml.safe_load((ROOT / "configs" / f"{config}.yaml").read_text(encoding="utf-8"))
        set_seed(0)
        model = AutoModel.from_config(
            network_config(options["network"], options["model"], [str(label) for label in range(NUM_LABELS)])
        )
        num_parameters = model.num_parameters()
        batch = drawn_batch(model.config, options, options["batch_size"] // accelerator.num_processes)
        settings = TrainingSettings()
        optimizer = torch.optim.AdamW(parameter_groups(model, settings.weight_decay), lr=1e-4, fused=True)
        whole = WholeNetwork(accelerator, model)
        choose_units(accelerator, model)
        model, optimizer = accelerator.prepare(model, optimizer)
        schedule = warmup_cosine(optimizer, (windows + 1) * steps, settings.warmup)
        seconds = []
        for _ in range(windows + 1):
            accelerator.wait_for_everyone()
            started = time.perf_counter()
            loader = [dict(batch) for _ in range(steps)]
            train_epoch(accelerator, model, whole, loader, optimizer, schedule, None, settings)
            seconds.append(time.perf_counter() - started)
        rows.append(
            {
                "network": network,
                "processes": accelerator.num_processes,
                "batch_size": options["batch_size"],
                "num_parameters": num_parameters,
                # The first window warms up.
                "clips_per_second": steps * options["batch_size"] / statistics.median(seconds[1:]),
                "window_seconds": seconds[1:],
                "all_reduce_seconds": all_reduce_seconds(num_parameters) if accelerator.num_processes > 1 else None,
                "reference_matmul_seconds": reference_matmul_seconds(),
            }
        )
        accelerator.free_memory()
    if accelerator.is_main_process:
        save_json_atomic(path, rows)
    accelerator.end_training()


def drawn_batch(config, options: dict, size: int) -> dict:
    """A batch as long as a clip of 3 s, of random numbers, for the network of a configuration file."""
    batch = {"index": torch.arange(size), "labels": torch.arange(size) % NUM_LABELS}
    if not config.feature_sizes:
        video = options["video_processor"]
        shape = (size, video["num_frames"], 3, video["size"]["height"], video["size"]["width"])
        return batch | {
            "pixel_values_videos": torch.randn(shape),
            "input_features": torch.randn(size, 212, config.audio_coefficients),
        }
    steps = options["augmentation"]["audio_crop"]
    shapes = {
        name: (size, number) if name in config.static_features else (size, steps, number)
        for name, number in config.feature_sizes.items()
    }
    return batch | {"features": {name: torch.randn(shape) for name, shape in shapes.items()}}


def all_reduce_seconds(numbers: int) -> float:
    """The median of 20 sums of so many single-precision numbers over all processes, in seconds."""
    values, seconds = torch.zeros(numbers), []
    for _ in range(20):
        torch.distributed.barrier()
        started = time.perf_counter()
        torch.distributed.all_reduce(values)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def published_network() -> dict:
    """Of the published TACFN and its clips of 30 pictures: parameters, operations, bytes, and seconds for making a batch of them."""
    config = TacfnConfig()
    with torch.device("meta"):
        model = TacfnModel(config).eval()
        inputs = {
            "input_features": torch.zeros(1, 212, config.audio_coefficients),
            "pixel_values_videos": torch.zeros(1, 30, 3, 224, 224),
        }
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**inputs)
    torch.set_num_threads(1)
    crops, sound = np.zeros((30, 224, 224, 3), np.uint8), np.zeros((212, config.audio_coefficients), np.float32)
    clip = PreparedClip.of({"crops": crops, "input_features": sound})
    samples = [{"index": index, "clip": clip, "label": 0} for index in range(ASSUMED_CLIPS_PER_GPU)]
    collator, seconds = ClipCollator(NUM_LABELS, TacfnImageProcessor()), []
    for _ in range(5):
        started = time.perf_counter()
        collator(samples)
        seconds.append(time.perf_counter() - started)
    return {
        "num_parameters": model.num_parameters(),
        "forward_flops": counter.get_total_flops(),
        "clip_bytes": crops.nbytes + sound.nbytes,
        "collate_seconds_per_clip": statistics.median(seconds) / len(samples),
    }


if __name__ == "__main__":
    main()
