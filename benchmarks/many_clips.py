"""
Clips per second of the pipeline and its memory, by the size of the batch and the number of processes that read.

    python benchmarks/many_clips.py [--clips CLIP ...] [--count 32] [--threads 2]

Without `--clips` a drawn face of 3.3 s in 720p is written first; copies of it are answered by the small network of
`configs/synthetic.yaml` and, a quarter of them, by the published 26.30 M network, every setting in a process of its own. Beside each stands
what the stages alone would allow, one after the other: reading, making batches of that size, the network. Memory is that of all
processes together, what they share counted once. Times on shared machines drift: the work is also given in 2048 x 2048 matrix
products measured in the same run. Writes `benchmarks/results/many_clips.json`.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import torch
from material import copy_clips, make_network
from reference import environment, peak_memory, reference_matmul_seconds, run_alone

from modeling_tacfn import AudioVisualEmotionPipeline
from modeling_tacfn.memory import keep_freed_memory
from modeling_tacfn.results import save_json_atomic


RESULTS = Path(__file__).parent / "results" / "many_clips.json"
# (batch size, processes that read) of each network; the stages are timed where there are no processes.
SETTINGS = (
    ("small", [(batch, workers) for batch in (1, 4, 8) for workers in (0, 1, 2)]),
    ("published", [(1, 0), (4, 0), (4, 2)]),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=32, help="clips of the small network")
    parser.add_argument("--threads", type=int, default=2, help="of torch in the process of the network")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, clips = copy_clips(options.clips, options.count, folder)
        for network, settings in SETTINGS:
            count = options.count if network == "small" else max(options.count // 4, 4)
            for batch_size, workers in settings:
                rows.append(run_alone(measure, network, paths[:count], batch_size, workers, options.threads))
    record = {
        "clips": clips,
        "threads": options.threads,
        "runs": rows,
        "environment": environment(),
    }
    save_json_atomic(RESULTS, record)
    print(f"{table(record)}\n\n{RESULTS}")


def table(record: dict) -> str:
    """The table of docs/speed.md."""
    lines = [
        "| network | batch | processes that read | clips per second | its stages in turn | clips per reference product | peak memory, MiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    stages = {
        (row["network"], row["batch_size"]): row["stage_seconds"] for row in record["runs"] if "stage_seconds" in row
    }
    for row in record["runs"]:
        rate = row["clips"] / row["seconds"]
        in_turn = row["clips"] / sum(stages[row["network"], row["batch_size"]].values())
        lines.append(
            f"| {row['network']} | {row['batch_size']} | {row['num_workers']} | {rate:.2f} | {in_turn:.2f} | "
            f"{rate * row['reference_matmul_seconds']:.2f} | {row['peak_memory_mib']:.0f} |"
        )
    return "\n".join(lines)


def measure(network: str, paths: list[Path], batch_size: int, num_workers: int, threads: int) -> dict:
    """Answer these files, and without processes that read time the stages of the same work apart."""
    # As in a program of one's own on Linux; a process that was spawned would spawn its own, whom the pipeline cannot be sent to.
    multiprocessing.set_start_method("fork", force=True)
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    pipe = AudioVisualEmotionPipeline(*make_network(network), device="cpu")
    pipe(paths[:batch_size], batch_size=batch_size)  # warms up
    started = time.perf_counter()
    pipe(paths, batch_size=batch_size, num_workers=num_workers)
    seconds = time.perf_counter() - started
    with peak_memory() as peaks:  # in a run of its own: reading the memory of a process holds it up
        pipe(paths, batch_size=batch_size, num_workers=num_workers)
    row = {
        "network": network,
        "batch_size": batch_size,
        "num_workers": num_workers,
        "clips": len(paths),
        "seconds": seconds,
        "reference_matmul_seconds": reference_matmul_seconds(),
        "peak_memory_mib": peaks[-1],
    }
    return row if num_workers else row | {"stage_seconds": time_stages(pipe, paths, batch_size)}


@torch.inference_mode()
def time_stages(pipe: AudioVisualEmotionPipeline, paths: list[Path], batch_size: int) -> dict[str, float]:
    """Seconds of all clips in each stage, one stage after the other."""
    seconds = dict.fromkeys(("read", "batch", "network"), 0.0)
    for first in range(0, len(paths), batch_size):
        started = time.perf_counter()
        clips = [pipe.processor.read(video=path) for path in paths[first : first + batch_size]]
        read = time.perf_counter()
        batch = pipe.processor.batch(clips)
        made = time.perf_counter()
        pipe.model(**batch)
        for name, lasted in zip(seconds, (read - started, made - read, time.perf_counter() - made), strict=True):
            seconds[name] += lasted
    return seconds


if __name__ == "__main__":
    main()
