"""
Training speed of the published 26.30 M network on one GPU: the settings of its authors' script, and ours added one by one.

    bash benchmarks/gpu.sh [--seconds 540]

Makes its own data (random crops and sound of RAVDESS's shapes) and needs torch, numpy and transformers; with matplotlib it also draws
where the time goes. Every setting runs in a process of its own, so that one that does not fit or takes too long costs the others nothing;
results are saved after each. Writes `gpu.json`, `gpu_kernels.png` and traces for chrome://tracing into the folder that the environment
variable `OUT` names, otherwise `gpu.json` and the picture into `benchmarks/results`. `--device cpu --tiny` goes through the same code in a minute and
measures nothing of interest.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import types
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode


ROOT = Path(__file__).resolve().parents[1]
# The files below need torch and transformers alone; the start of the package asks for the libraries of sound and pictures too.
if "modeling_tacfn" not in sys.modules:
    package = types.ModuleType("modeling_tacfn")
    package.__path__ = [str(ROOT / "modeling_tacfn")]
    sys.modules["modeling_tacfn"] = package
    from modeling_tacfn.torchaudio_cpu import make_importable

    make_importable()  # before transformers, which imports torchaudio wherever it is installed

import transformers  # noqa: E402

from modeling_tacfn.augmentation import Augmentation, Augmenter  # noqa: E402
from modeling_tacfn.configuration_tacfn import TacfnConfig  # noqa: E402
from modeling_tacfn.data import ClipCollator  # noqa: E402
from modeling_tacfn.files import atomic_path, save_json_atomic  # noqa: E402
from modeling_tacfn.modeling_tacfn import TacfnModel  # noqa: E402
from modeling_tacfn.prepared_clip import ClipReader  # noqa: E402
from modeling_tacfn.speed import FinishedBatches, compile_network, loader_options, use_channels_last  # noqa: E402


RESULTS = Path(__file__).parent / "results"
TRACE_BYTES = 5 * 2**20
LONGEST = 200  # seconds that one measurement may take
LARGEST = 12
# Dense bf16 operations per second, from the makers' data sheets.
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
}
TINY = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "audio_channels": (8, 8, 8),
    "video_stem_channels": 4,
    "video_widths": (4, 4, 8, 8),
    "video_depths": (1, 1, 1, 1),
    "video_cardinality": 2,
}
# The normalisation of `TacfnImageProcessor`, whose file needs PIL.
PIXELS = types.SimpleNamespace(
    do_flip_channel_order=False,
    do_rescale=True,
    rescale_factor=1 / 255,
    do_normalize=True,
    image_mean=[0.485, 0.456, 0.406],
    image_std=[0.229, 0.224, 0.225],
)


@dataclass(frozen=True)
class Setting:
    """One way to train; the defaults are those of the authors' script: Adam, 16 clips, fp32, cuDNN switched off."""

    name: str
    batch_size: int = 16
    cudnn: bool = False
    tf32: bool = False
    bf16: bool = False
    channels_last: bool = False
    fused: bool = False
    compile: str = ""
    checkpointing: bool = False


@dataclass(frozen=True)
class Shapes:
    """The sizes of a clip, and how long to measure."""

    frames: int = 30
    size: int = 224
    steps: int = 143
    coefficients: int = 13
    config: dict = dataclasses.field(default_factory=dict)
    warm_up: int = 3
    seconds: float = 8.0
    clips: int = 768

    @classmethod
    def tiny(cls) -> "Shapes":
        return cls(frames=4, size=32, config=TINY, warm_up=1, seconds=0.2, clips=16)


def settings_of(tiny: bool) -> list[Setting]:
    """What is measured, the most important first: if time runs out, the last ones are missing."""
    small, large, huge = (2, 4, 8) if tiny else (16, 48, 160)
    authors = Setting("authors", batch_size=small)
    cudnn = replace(authors, name="+ cuDNN", cudnn=True)
    tf32 = replace(cudnn, name="+ TF32", tf32=True)
    bf16 = replace(tf32, name="+ bf16", bf16=True)
    last = replace(bf16, name="+ channels last", channels_last=True)
    fused = replace(last, name="+ fused AdamW", fused=True)
    batch = replace(fused, name=f"+ batch of {large}", batch_size=large)
    compiled = replace(batch, name="+ compiled", compile="aot_eager" if tiny else "inductor")
    saving = replace(batch, name=f"batch of {large}, activation checkpointing", checkpointing=True)
    return [
        authors,
        cudnn,
        tf32,
        bf16,
        last,
        fused,
        batch,
        compiled,
        saving,
        replace(saving, name=f"batch of {huge}, activation checkpointing", batch_size=huge),
        replace(batch, name=f"batch of {huge}", batch_size=huge),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a small network and small clips, to try the program")
    parser.add_argument("--seconds", type=float, default=540, help="when to have finished")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here; --device cpu --tiny tries the program without one")
    if options.one:
        save_json_atomic(options.record, run_here(json.loads(options.one), options))
        return
    deadline = time.monotonic() + options.seconds
    folder = Path(os.environ.get("OUT") or RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_of(options.tiny)
    flop = flop_per_clip(options.tiny)
    record = {"environment": environment(options.device), "tiny": options.tiny, "flop_per_clip": flop, "settings": []}
    peak = record["environment"]["peak_flop_per_second"]
    for setting in settings:
        row = dataclasses.asdict(setting) | run(dataclasses.asdict(setting), options, deadline)
        if row["status"] == "measured":
            row["ratio_to_authors"] = ratio(row, record["settings"][0] if record["settings"] else row)
            row["share_of_peak"] = row["clips_per_second"] * flop / peak if peak else None
        record["settings"].append(row)
        print(line(row), flush=True)
        save_json_atomic(folder / "gpu.json", record)
    # The best setting that needs no compiler is what the data has to keep up with.
    record["data"] = run({"data": dataclasses.asdict(settings[6])}, options, deadline)
    save_json_atomic(folder / "gpu.json", record)
    print(f"\n{table(record)}\n\n{data_table(record['data'])}\n\n{folder / 'gpu.json'}")
    draw(record, folder / "gpu_kernels.png")


def ratio(row: dict, authors: dict) -> float | None:
    return row["clips_per_second"] / authors["clips_per_second"] if authors["status"] == "measured" else None


def run(task: dict, options, deadline: float) -> dict:
    """One measurement in a process of its own; for a tiny network, in this one."""
    left = deadline - time.monotonic()
    if left < 5:
        return {"status": "no time left"}
    if options.tiny:
        return run_here(task, options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        command = [sys.executable, __file__, "--device", options.device, "--one", json.dumps(task), "--record", path]
        # A file, since processes that outlive a stopped one would hold a pipe open.
        with open(Path(folder) / "messages", "w+", encoding="utf-8", errors="replace") as messages:
            try:
                done = subprocess.run(command, timeout=min(left, LONGEST), stdout=messages, stderr=messages)
            except subprocess.TimeoutExpired:
                return {"status": "took too long", "message": f"stopped after {min(left, LONGEST):.0f} s"}
            if not path.exists():
                messages.seek(0)
                return {"status": "failed", "message": f"exit status {done.returncode}: {messages.read()[-600:]}"}
        return json.loads(path.read_text(encoding="utf-8"))


def run_here(task: dict, options) -> dict:
    """One measurement; what goes wrong becomes its `status` and `message`."""
    shapes, device = Shapes.tiny() if options.tiny else Shapes(), torch.device(options.device)
    try:
        if "data" in task:
            return {"status": "measured"} | measure_data(Setting(**task["data"]), shapes, device)
        return {"status": "measured"} | measure(Setting(**task), shapes, device)
    except torch.OutOfMemoryError as error:
        return {"status": "out of memory", "message": str(error).split(". ")[0]}
    except Exception as error:
        return {"status": "failed", "message": f"{type(error).__name__}: {error}"[:600]}


class Trainer:
    """A network that is trained on batches as a setting says."""

    def __init__(self, setting: Setting, shapes: Shapes, device: torch.device):
        torch.manual_seed(0)
        torch.backends.cudnn.enabled = setting.cudnn
        torch.backends.cudnn.allow_tf32 = setting.tf32
        torch.set_float32_matmul_precision("high" if setting.tf32 else "highest")
        self.device = device
        # bf16 convolutions of a CPU are slower than fp32, and nobody trains with them.
        is_half = setting.bf16 and device.type == "cuda"
        self.context = torch.autocast("cuda", torch.bfloat16) if is_half else nullcontext()
        self.model = TacfnModel(TacfnConfig(**shapes.config)).to(device).train()
        if setting.checkpointing:
            self.model.activation_checkpointing_enable()
        if setting.channels_last:
            use_channels_last(self.model)
        if setting.compile:
            compile_network(self.model, setting.compile)
        if setting.fused:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        else:
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def step(self, batch: dict) -> torch.Tensor:
        with self.context:
            loss = self.model(**batch).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure(setting: Setting, shapes: Shapes, device: torch.device) -> dict:
    """Speed, memory and busy share of training on one batch that is on the device already."""
    trainer = Trainer(setting, shapes, device)
    collator = ClipCollator(trainer.model.config.num_labels, PIXELS)
    batch = {
        key: values.to(device) for key, values in collator(samples(made_clips(setting.batch_size, shapes))).items()
    }
    batch.pop("index")
    started = time.perf_counter()
    losses = [trainer.step(batch).item() for _ in range(shapes.warm_up)]
    trainer.wait()
    first = time.perf_counter() - started
    started = time.perf_counter()
    trainer.step(batch)
    trainer.wait()
    steps = max(3, min(100, int(shapes.seconds / (time.perf_counter() - started))))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(steps):
        trainer.step(batch)
    trainer.wait()
    seconds = (time.perf_counter() - started) / steps
    losses.append(trainer.step(batch).item())
    if not np.isfinite(losses).all():
        raise FloatingPointError(f"the loss became {losses}")
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    try:
        profile_of = profiled(trainer, batch, setting.name)
    except (RuntimeError, AttributeError, OSError) as error:
        # Speed and memory are known already.
        profile_of = {"kernels": [], "busy_seconds_per_step": None, "profiler_failed": str(error)[:300]}
    busy = profile_of["busy_seconds_per_step"]
    return {
        "seconds_per_step": seconds,
        "clips_per_second": setting.batch_size / seconds,
        "steps": steps,
        "seconds_of_first_steps": first,
        "peak_memory_gib": memory,
        "busy_share": None if busy is None else min(1.0, busy / seconds),
        "losses": losses,
    } | profile_of


def profiled(trainer: Trainer, batch: dict, name: str) -> dict:
    """The largest kernels (on a CPU: operators) of two steps with their share, and the seconds per step that a GPU works."""
    on_gpu, steps = trainer.device.type == "cuda", 2
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu) as measured:
        for _ in range(steps):
            trainer.step(batch)
        trainer.wait()
    seconds: dict[str, float] = {}
    for event in measured.key_averages():
        # What is only a name for a span of other kernels would count them twice.
        if on_gpu and (
            event.device_type == torch.autograd.DeviceType.CPU or getattr(event, "is_user_annotation", False)
        ):
            continue
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[event.key] = seconds.get(event.key, 0) + spent / 1e6
    total = sum(seconds.values())
    if os.environ.get("OUT"):
        save_trace(measured, Path(os.environ["OUT"]), name)
    largest = sorted(seconds, key=seconds.get, reverse=True)[:LARGEST]
    return {
        "kernels": [{"name": key, "share": seconds[key] / total} for key in largest],
        "busy_seconds_per_step": total / steps if on_gpu else None,
    }


def save_trace(measured, folder: Path, name: str) -> None:
    path = folder / f"trace_{''.join(letter if letter.isalnum() else '_' for letter in name)}.json.gz"
    measured.export_chrome_trace(str(path))
    if path.stat().st_size > TRACE_BYTES:
        path.unlink()


def made_clips(number: int, shapes: Shapes) -> list[dict]:
    """Prepared clips of random numbers."""
    draw = np.random.default_rng(0)
    return [
        {
            "input_features": draw.normal(size=(shapes.steps, shapes.coefficients)).astype(np.float32),
            "crops": draw.integers(0, 256, (shapes.frames, shapes.size, shapes.size, 3), dtype=np.uint8),
        }
        for _ in range(number)
    ]


def samples(clips: list) -> list[dict]:
    return [
        {"clip": clip, "label": index % 8, "index": index, "speaker": "a", "intensity": "normal"}
        for index, clip in enumerate(clips)
    ]


def measure_data(setting: Setting, shapes: Shapes, device: torch.device) -> dict:
    """Clips per second from files to augmented pixels on the device, by number of workers; and with training on top of it."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, clip in enumerate(made_clips(8, shapes)):
            paths.append(Path(folder) / f"{index}.npz")
            np.savez(paths[-1], **clip)
        reader = ClipReader(room=0)  # as of a corpus larger than what is remembered
        rows = samples([reader.clip(paths[index % len(paths)]) for index in range(shapes.clips)])
        augmentation = Augmentation(flip=0.5, zoom=0.1, rotation=10.0, brightness=0.2, audio_crop=128)
        collator = ClipCollator(8, PIXELS, Augmenter(augmentation, rows[: len(paths)]), leaves_pixels=True)
        delivered, trained, failed = {}, {}, {}
        trainer = Trainer(setting, shapes, device)
        for workers in [count for count in (0, 2, 4, 8) if count <= (os.cpu_count() or 1)]:
            loader = DataLoader(
                rows, setting.batch_size, collate_fn=collator, drop_last=True, **loader_options(workers, device)
            )
            batches = FinishedBatches(OnDevice(loader, device), collator.finish)
            try:
                consume(batches)  # starts the workers
                for step, rates in ((None, delivered), (trainer.step, trained)):
                    started = time.perf_counter()
                    consume(batches, step)
                    trainer.wait()
                    rates[str(workers)] = len(batches) * setting.batch_size / (time.perf_counter() - started)
            except RuntimeError as error:
                failed[str(workers)] = str(error)[:300]  # such as too little shared memory for so many
    return {
        "setting": setting.name,
        "clips_per_second_delivered": delivered,
        "clips_per_second_trained": trained,
        "failed": failed,
    }


def consume(batches, step=None) -> None:
    for batch in batches:
        batch.pop("index")
        if step is not None:
            step(batch)


class OnDevice:
    """The batches of a loader on a device, as accelerate puts them there."""

    def __init__(self, loader: DataLoader, device: torch.device):
        self.loader, self.device = loader, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self):
        return (moved(batch, self.device) for batch in self.loader)


def moved(values, device: torch.device):
    if isinstance(values, dict):
        return {key: moved(value, device) for key, value in values.items()}
    return values.to(device, non_blocking=True)


def flop_per_clip(tiny: bool) -> float:
    """Operations of one training step per clip: a forward pass as torch counts it, and twice that for the backward pass."""
    shapes = Shapes.tiny() if tiny else Shapes()
    with torch.device("meta"):
        model = TacfnModel(TacfnConfig(**shapes.config)).eval()
        pixels = torch.empty(1, shapes.frames, 3, shapes.size, shapes.size)
        sound = torch.empty(1, shapes.steps, shapes.coefficients)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(input_features=sound, pixel_values_videos=pixels)
    return 3.0 * counter.get_total_flops()


def environment(device: str) -> dict:
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    known = [peak for part, peak in PEAKS.items() if part in name]
    return {
        "device": name,
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if device == "cuda" else None,
        "peak_flop_per_second": known[0] if known else None,
        "processors": os.cpu_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "transformers": transformers.__version__,
    }


def shown(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def line(row: dict) -> str:
    if row["status"] != "measured":
        return f"| {row['name']} | {row['batch_size']} | {row['status']} | | | | |"
    busy, peak = (None if row[key] is None else 100 * row[key] for key in ("busy_share", "share_of_peak"))
    return (
        f"| {row['name']} | {row['batch_size']} | {shown(row['clips_per_second'])} | {shown(row['ratio_to_authors'])} | "
        f"{shown(busy, 0)} | {shown(peak)} | {shown(row['peak_memory_gib'])} |"
    )


def table(record: dict) -> str:
    """The table of docs/gpu.md."""
    head = "| setting | clips per step | clips per second | authors = 1 | GPU busy, % | of its bf16 peak, % | peak memory, GiB |"
    return "\n".join([head, "|---|---:|---:|---:|---:|---:|---:|", *map(line, record["settings"])])


def data_table(data: dict) -> str:
    """Clips per second that arrive on the device, and that are trained on, by workers."""
    if data["status"] != "measured":
        return f"Data: {data['status']} {data.get('message', '')}"
    delivered, trained = data["clips_per_second_delivered"], data["clips_per_second_trained"]
    rows = [f"| {workers} | {rate:.1f} | {shown(trained.get(workers))} |" for workers, rate in delivered.items()]
    return "\n".join(["| workers | clips per second delivered | and trained on |", "|---:|---:|---:|", *rows])


def draw(record: dict, path: Path) -> None:
    """Shares of the largest kernels, the authors' settings beside the fastest of ours."""
    measured = [row for row in record["settings"] if row["status"] == "measured"]
    if not measured:
        return
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No picture: matplotlib is not installed. The numbers are in gpu.json.")
        return
    chosen = [measured[0], max(measured[1:] or measured, key=lambda row: row["clips_per_second"])]
    figure = Figure(figsize=(10, 8), layout="constrained")
    for axes, row in zip(figure.subplots(2, 1), chosen, strict=True):
        kernels = row["kernels"][::-1]
        axes.barh([kernel["name"][:70] for kernel in kernels], [100 * kernel["share"] for kernel in kernels])
        axes.set_title(f"{row['name']}: {row['clips_per_second']:.1f} clips per second")
        axes.set_xlabel("% of the time in kernels" if record["environment"]["device"] != "CPU" else "% of the time")
        axes.tick_params(axis="y", labelsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


if __name__ == "__main__":
    main()
