"""
Clips per second of the preparation (decoding, finding faces, cropping, MFCC, writing), by the number of processes.

    python benchmarks/prepare.py [--clips CLIP ...] [--count 160] [--num_proc 1 2]

Without `--clips` a drawn face of 3.3 s in 720p is written first. The clips are copied until there are `--count` files, which are
prepared from nothing with each number of processes; half of them first, so that it can be seen whether memory grows with
the corpus, and what of the time is the start of the processes (some seconds for importing torch, however large the corpus). Times on
shared machines drift: rates are also given per 2048 x 2048 matrix product measured in the same run. Writes
`benchmarks/results/prepare.json`.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import datasets
import torch
from material import copy_clips
from reference import environment, reference_matmul_seconds, run_alone

from modeling_tacfn import TacfnProcessor
from modeling_tacfn.preparation import prepare_clips
from modeling_tacfn.results import save_json_atomic


RESULTS = Path(__file__).parent / "results" / "prepare.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--num_proc", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, clips = copy_clips(options.clips, options.count, folder)
        for num_proc in options.num_proc:
            for count in (options.count // 2, options.count):
                rows.append(run_alone(measure, paths[:count], folder / f"{num_proc}-{count}", num_proc))
    record = {
        "clips": clips,
        "runs": rows,
        "environment": environment(),
    }
    save_json_atomic(RESULTS, record)
    print(f"{table(record)}\n\n{RESULTS}")


def table(record: dict) -> str:
    """The table of docs/corpora.md."""
    lines = [
        "| processes | clips per second | clips per reference product | start, s | peak memory of the main process, MiB |",
        "|---:|---:|---:|---:|---|",
    ]
    rows = record["runs"]
    for half, whole in zip(rows[::2], rows[1::2], strict=True):
        rate = (whole["clips"] - half["clips"]) / (whole["seconds"] - half["seconds"])
        per_product = rate * whole["reference_matmul_seconds"]
        start = max(whole["seconds"] - whole["clips"] / rate, 0)
        memory = " and ".join(f"{row['peak_memory_mib']:.0f} ({row['clips']} clips)" for row in (half, whole))
        lines.append(f"| {whole['num_proc']} | {rate:.1f} | {per_product:.2f} | {start:.0f} | {memory} |")
    return "\n".join(lines)


def measure(paths: list[Path], cache: Path, num_proc: int) -> dict[str, float]:
    """Prepare these files from nothing."""
    corpus = datasets.Dataset.from_list([{"clip_id": path.stem, "video": str(path)} for path in paths])
    started = time.perf_counter()
    prepare_clips(corpus, TacfnProcessor(), cache, num_proc)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        "num_proc": num_proc,
        "clips": len(paths),
        "seconds": seconds,
        "clips_per_second": len(paths) / seconds,
        "reference_matmul_seconds": reference_matmul_seconds(),
        "peak_memory_mib": peak,
    }


if __name__ == "__main__":
    main()
