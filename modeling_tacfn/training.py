"""One training run: speakers to train on, speakers who choose the epoch, speakers who are tested once."""

import dataclasses
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed, tqdm
from safetensors import SafetensorError
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler
from transformers import AutoConfig, AutoModel

from dataset_scripts.base import UNKNOWN_SPEAKER

from .augmentation import Augmentation, Augmenter
from .convert import load_video_encoder
from .data import ClipCollator, array_of, modality_masks, modality_of
from .plots import plot_answers, plot_learning_curve
from .sharding import CompleteBatches, WholeNetwork, choose_units
from .speed import FinishedBatches, compile_network, loader_options, use_channels_last
from .tasks import EmotionTask


CHECKPOINT = "checkpoint"
OLD_CHECKPOINT = ".checkpoint.old"
# A full disk speaks with another voice in each of the libraries that write here.
SAVING_ERRORS = (OSError, RuntimeError, SafetensorError)


def _setting(default, description: str):
    return field(default=default, metadata={"help": description})


@dataclass
class TrainingSettings:
    """How a network is trained; each field is an option of `train.py`."""

    epochs: int = _setting(70, "most passes over the training clips")
    patience: int = _setting(20, "stop after so many epochs without a better validation UAR (of equals, a lower loss)")
    batch_size: int = _setting(16, "clips per step, over all processes")
    learning_rate: float = _setting(1e-3, "highest learning rate")
    weight_decay: float = _setting(0.01, "AdamW's, on matrices only")
    warmup: float = _setting(0.1, "share of the steps over which the rate rises; it then falls as a cosine")
    label_smoothing: float = _setting(0.0, "share of each label that is spread over all classes")
    gradient_clip: float = _setting(2.0, "largest norm of a gradient")
    ema_decay: float = _setting(0.0, "decay of the moving average of the weights that is evaluated; 0 is no average")
    gradient_accumulation_steps: int = _setting(1, "batches per step of the optimiser")
    activation_checkpointing: int = _setting(0, "1 computes activations again instead of keeping them")
    num_workers: int = _setting(0, "processes that read and augment batches; 0: the training process itself")
    channels_last: int = _setting(0, "1 keeps kernels of convolutions with channels last, which a GPU likes")
    compile: str = _setting("", "backend of torch.compile for the network, as in inductor; compiles nothing if empty")
    tf32: int = _setting(0, "1 lets a GPU round factors of fp32 matrix products to 10 bits")


class EpochSampler(Sampler):
    """A new order in each epoch that is a function of seed and epoch alone, so that a resumed run repeats it."""

    def __init__(self, size: int, seed: int):
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self):
        return self.size

    def __iter__(self):
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        return iter(torch.randperm(self.size, generator=generator).tolist())


class RunState:
    """
    What a run knows beside its weights: history, best weights so far, schedule and moving average.

    Registered once with the accelerator, which saves and restores it with every checkpoint; `begin` starts a run.
    """

    def begin(self, schedule, average: AveragedModel | None) -> None:
        self.schedule, self.average = schedule, average
        self.history: list[dict] = []
        self.best_epoch = -1
        self.best_weights: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict:
        return {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict() if self.average else None,
        }

    def load_state_dict(self, state: dict) -> None:
        self.history, self.best_epoch, self.best_weights = state["history"], state["best_epoch"], state["best_weights"]
        self.schedule.load_state_dict(state["schedule"])
        if self.average:
            self.average.load_state_dict(state["average"])


def epoch_seed(seed: int, epoch: int, process: int = 0) -> int:
    return (seed * 1_000_003 + epoch) * 1_009 + process


def network_config(network: str, values: dict, labels: list[str], problem_type: str | None = None):
    """The configuration of a network; an unknown field is an error that lists the known ones."""
    if problem_type is not None:
        values = {**values, "problem_type": problem_type}
    config_class = type(AutoConfig.for_model(network))
    known = {item.name for item in dataclasses.fields(config_class)} | {"problem_type"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{config_class.__name__} has no fields {unknown}; it has {sorted(known)}.")
    return config_class(
        **values, id2label=dict(enumerate(labels)), label2id={name: index for index, name in enumerate(labels)}
    )


def train_fold(
    accelerator,
    state: RunState,
    corpus,
    clips: list[dict],
    splits: dict[str, list[int]],
    processor,
    config,
    settings: TrainingSettings,
    augmentation: Augmentation,
    folder: Path,
    fold: int,
    seed: int,
    task: EmotionTask,
    references: list,
    init_video_encoder: str | None = None,
) -> dict:
    """
    Train on one fold, choose the epoch on the validation speakers, score the test speakers once (if there are any), save everything.

    Args:
        accelerator (`Accelerator`): runs it on whatever there is.
        state ([`RunState`]): registered with the accelerator.
        corpus (`datasets.Dataset`): rows of the clips.
        clips (`list[dict]`): prepared clips, in the order of the corpus.
        splits (`dict[str, list[int]]`): indices of the train, validation and test clips.
        processor ([`TacfnProcessor`]): saved beside the model.
        config: configuration of the network.
        settings ([`TrainingSettings`]), augmentation ([`Augmentation`]): how to train.
        folder (`Path`): where the model, the pictures and the checkpoint go; a checkpoint found there is continued.
        fold (`int`), seed (`int`): name the run.
        task ([`EmotionTask`] or another of `tasks`), references (`list`): what is asked, and the true answer for every clip.
        init_video_encoder (`str`, *optional*): published weights (3-D ResNeXt, EfficientFace) that the video encoder starts from.

    Returns:
        `dict`: the record of the run, as `results.json` holds it.
    """
    set_seed(seed)
    columns = (references, corpus["speaker_id"][:], corpus["intensity"][:])
    rows = [
        {"index": index, "clip": clip, "label": label, "speaker": speaker, "intensity": intensity}
        for index, (clip, label, speaker, intensity) in enumerate(zip(clips, *columns, strict=True))
    ]
    samples = {side: [rows[index] for index in indices] for side, indices in splits.items()}
    # `--modalities` may leave a clip with nothing to learn from.
    samples["train"] = [sample for sample in samples["train"] if sample["clip"]]
    augmenter = Augmenter(augmentation, samples["train"])
    model = AutoModel.from_config(config)
    if init_video_encoder:
        loaded = load_video_encoder(model, init_video_encoder)
        accelerator.print(f"Video encoder: {loaded:,} weights from {init_video_encoder}")
    fit_standardization(model, augmenter.statistics, processor.is_speaker_normalized)
    image_processor = processor.image_processor
    collator = ClipCollator(
        config.num_labels, image_processor, augmenter, settings.label_smoothing, leaves_pixels=True
    )
    plain = ClipCollator(config.num_labels, image_processor, leaves_pixels=True)
    sampler = EpochSampler(len(samples["train"]), seed)
    batch_size = min(settings.batch_size, len(samples["train"]))
    batch_size -= batch_size % accelerator.num_processes
    collate = collator
    if accelerator.is_fsdp2:
        collate = CompleteBatches(collator, [sample["clip"] for sample in samples["train"]])
    options = loader_options(settings.num_workers, accelerator.device)
    loaders = {
        "train": DataLoader(
            samples["train"], batch_size, sampler=sampler, collate_fn=collate, drop_last=True, **options
        ),
        "validation": DataLoader(samples["validation"], settings.batch_size, collate_fn=plain, **options),
        "test": DataLoader(samples["test"], settings.batch_size, collate_fn=plain, **options),
    }
    if settings.activation_checkpointing:
        model.activation_checkpointing_enable()
    if settings.channels_last:
        use_channels_last(model)
    if settings.tf32:
        torch.set_float32_matmul_precision("high")
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings.weight_decay), lr=settings.learning_rate, fused=True
    )
    whole = WholeNetwork(accelerator, model)
    choose_units(accelerator, model)
    model, optimizer = accelerator.prepare(model, optimizer)
    if settings.compile:
        compile_network(accelerator.unwrap_model(model), settings.compile)
    loaders = {side: FinishedBatches(accelerator.prepare(loader), plain.finish) for side, loader in loaders.items()}
    steps = settings.epochs * math.ceil(len(loaders["train"]) / settings.gradient_accumulation_steps)
    schedule = warmup_cosine(optimizer, steps, settings.warmup)
    average = None
    if settings.ema_decay:
        update = moving_average(settings.ema_decay)
        average = AveragedModel(whole(model), multi_avg_fn=update, use_buffers=True)
    state.begin(schedule, average)
    if checkpoint := last_checkpoint(folder):
        accelerator.load_state(checkpoint)
    first = len(state.history)
    trained = f"Fold {fold}" if samples["test"] else "All clips"
    bar = tqdm(range(first, settings.epochs), initial=first, total=settings.epochs, desc=f"{trained}, seed {seed}")
    for epoch in bar:
        if state.history and epoch - state.best_epoch > settings.patience:
            break
        started = time.perf_counter()
        sampler.epoch = epoch
        collator.seed(epoch_seed(seed, epoch, accelerator.process_index))
        set_seed(epoch_seed(seed, epoch, accelerator.process_index) % 2**32)
        loss = train_epoch(accelerator, model, whole, loaders["train"], optimizer, schedule, average, settings)
        # Not the whole network without FSDP: DDP's call gives all processes the norms' statistics of the first.
        current = whole(model) if accelerator.is_fsdp2 else model
        judged = average.module if average else current
        entry = {"epoch": epoch, "train_loss": loss}
        if samples["validation"]:
            _, answers, truth = predict(accelerator, judged, loaders["validation"], task)
            entry |= task.validation(truth, answers, settings.label_smoothing)
        entry |= {"learning_rate": schedule.get_last_lr()[0], "seconds": time.perf_counter() - started}
        # Without validation speakers the number of epochs was chosen before, and the last one counts.
        if not samples["validation"] or all(task.judgement(entry) > task.judgement(item) for item in state.history):
            state.best_epoch = epoch
            weights = accelerator.unwrap_model(judged).state_dict()
            state.best_weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
        state.history.append(entry)
        shown = ("train_loss", "validation_uar" if "validation_uar" in entry else "validation_loss")
        bar.set_postfix({name: f"{entry[name]:.3f}" for name in shown if name in entry})
        accelerator.log({f"fold_{fold}_seed_{seed}/{key}": value for key, value in entry.items()}, step=epoch)
        save_checkpoint(accelerator, folder)

    network = whole(model)
    network.load_state_dict(state.best_weights)
    run = {
        "fold": fold,
        "seed": seed,
        "num_parameters": network.num_parameters(),
        "best_epoch": state.best_epoch,
        "history": [item | {"best": item["epoch"] == state.best_epoch} for item in state.history],
        "splits": {side: _known_speakers(rows[index] for index in indices) for side, indices in splits.items()},
        "clips": {side: len(indices) for side, indices in splits.items()},
    }
    if samples["test"]:
        test_clips = [sample["clip"] for sample in samples["test"]]
        run |= score_test_speakers(accelerator, network, loaders["test"], test_clips, corpus, task)
    if accelerator.is_main_process:
        save_run(network, processor, run, task, folder)
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return run


def _known_speakers(rows) -> list[str]:
    return sorted({row["speaker"] for row in rows if row["speaker"] is not None})


def fit_standardization(model, statistics: dict, is_speaker_normalized: bool) -> None:
    """Give the network's inputs the training statistics; normalised features are left as they are."""
    if is_speaker_normalized:
        return
    for name, standardize in model.fusion.standardizers.items():
        if array_of(name) in statistics:
            standardize.fit(*statistics[array_of(name)])


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay on matrices and kernels, none on norms and biases."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def warmup_cosine(optimizer, steps: int, warmup: float) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rate that rises over the first share of the steps and falls to zero as a cosine."""
    rising = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def moving_average(decay: float):
    """How averaged weights follow the trained ones; whole numbers, such as indices in a buffer, are taken over as they are."""
    follow = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], num_averaged) -> None:
        if averaged[0].is_floating_point():
            follow(averaged, current, num_averaged)
        else:
            torch._foreach_copy_(averaged, current)

    return update


def train_epoch(accelerator, model, whole, loader, optimizer, schedule, average, settings: TrainingSettings) -> float:
    """One pass over the training clips; returns the mean loss over all processes."""
    model.train()
    losses = []
    for batch in loader:
        batch.pop("index")
        with accelerator.accumulate(model):
            with accelerator.autocast():
                loss = model(**batch).loss
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()
            optimizer.zero_grad()
            if accelerator.sync_gradients:
                schedule.step()
                if average is not None:
                    average.update_parameters(whole(model))
        losses.append(loss.detach())
    loss = accelerator.reduce(torch.stack(losses).mean(), reduction="mean").item()
    if not math.isfinite(loss):
        raise FloatingPointError(f"The training loss became {loss}. Lower --learning_rate, or --gradient_clip.")
    return loss


@torch.no_grad()
def predict(
    accelerator, model, loader, task: EmotionTask, only: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    The answer about every clip of a loader, whatever the number of processes.

    Returns the row numbers `(num_clips,)`, answers `(num_clips, num_labels)` and references, `(num_clips,)` or of the shape
    of the answers; `only` names the one modality that the network is given.
    """
    model.eval()
    parts = []
    for batch in loader:
        targets, index = batch.pop("labels"), batch.pop("index")
        inputs = batch if only is None else keep_modality(batch, only)
        answers = torch.full((len(targets), len(task.labels)), task.unknown, device=targets.device)
        if inputs:
            # Of a clip with nothing to judge it by nothing is known, whatever its batch holds.
            known = something_given(inputs)
            with accelerator.autocast():
                logits = model(**inputs).logits
            answers[known] = task.answers(logits.float())[known]
        parts.append([part.cpu() for part in accelerator.gather_for_metrics((index, answers, targets))])
    index, answers, references = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    return index, answers, references


def keep_modality(batch: dict, name: str) -> dict:
    """The batch with one modality only: `audio`, `video` or the name of a feature. Empty if no clip of it has that."""
    keys = {"audio": ("input_features", "audio_mask"), "video": ("pixel_values_videos", "video_mask")}.get(name)
    if keys is not None:
        return {key: batch[key] for key in keys if key in batch}
    return {key: {name: batch[key][name]} for key in ("features", "feature_masks") if name in batch.get(key, {})}


def something_given(batch: dict) -> torch.Tensor:
    """Whether a clip of the batch has any input at all, `(batch_size,)`."""
    return torch.stack([mask.any(1) for mask in modality_masks(batch)]).any(0)


def modalities_of(clips: list[dict]) -> list[str]:
    """Names of the inputs that some of these prepared clips have."""
    names = {modality_of(array) for clip in clips for array in clip}
    return sorted(names, key=lambda name: (name not in ("audio", "video"), name))


def score_test_speakers(accelerator, network, loader, clips: list[dict], corpus, task: EmotionTask) -> dict:
    """The test speakers' clips, scored once with everything given and once per single modality."""
    record = {"predictions": prediction_rows(*predict(accelerator, network, loader, task), corpus, task)}
    names = modalities_of(clips)
    if len(names) > 1:
        record["single_modality"] = {
            f"{name} only": prediction_rows(*predict(accelerator, network, loader, task, name), corpus, task)
            for name in names
        }
    return record


def prediction_rows(index, answers, references, corpus, task: EmotionTask) -> list[dict]:
    """What `results.json` keeps of each test clip."""
    clip_ids, speakers = corpus["clip_id"][:], corpus["speaker_id"][:]
    return [
        {"clip_id": clip_ids[row], "speaker": speakers[row]} | task.row(reference, answer)
        for row, answer, reference in zip(index, answers, references, strict=True)
    ]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; after a kill between two renames it still has its old name."""
    return next((path for path in (folder / CHECKPOINT, folder / OLD_CHECKPOINT) if path.exists()), None)


def save_checkpoint(accelerator, folder: Path) -> None:
    """Save under another name, then put it in the place of the last one: a kill leaves one whole checkpoint."""
    temporary, target, old = folder / f".{CHECKPOINT}.part", folder / CHECKPOINT, folder / OLD_CHECKPOINT
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(temporary)
    except SAVING_ERRORS as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(
            f"The checkpoint could not be saved in {folder} ({error}). Make room there, then run the same command with "
            "--resume: it goes on with the epoch before."
        ) from error
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def scored_clips(run: dict) -> str:
    """Title of the pictures of a run's scores."""
    if set(run["splits"]["train"]) & set(run["splits"]["test"]):
        return "Learning check: clips it was trained on"
    if any(str(speaker).startswith(UNKNOWN_SPEAKER) for speaker in run["splits"]["test"]):
        return "Random clips, perhaps of people in training"
    return "Speakers never seen in training"


def save_run(network, processor, run: dict, task: EmotionTask, folder: Path) -> None:
    """Model, processor and pictures; nothing of it takes its place before all of it is written."""
    temporary = folder / ".model.part"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        network.save_pretrained(temporary)
        processor.save_pretrained(temporary)
        plot_learning_curve(run["history"], temporary / "learning_curve.png")
        if predictions := run.get("predictions"):
            references, answers = (
                np.array([row[key] for row in predictions]) for key in (task.reference_key, task.answer_key)
            )
            plot_answers(task, references, answers, temporary, title=scored_clips(run))
        for path in sorted(temporary.iterdir()):
            path.replace(folder / path.name)
    except SAVING_ERRORS as error:
        raise OSError(
            f"The trained model could not be saved in {folder} ({error}). Make room there, then run the same command with "
            "--resume: the last epoch's checkpoint is kept."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
