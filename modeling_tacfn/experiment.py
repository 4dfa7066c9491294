# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
One experiment: a method on a corpus under a protocol, over folds and seeds. What `train.py` runs.

One fold of the corpus is tested, some of the other speakers choose the epoch, the rest are trained on. `--all_folds` and
several `--seeds` repeat that until every speaker was tested. Each run leaves a folder which `AutoModel` and `AutoProcessor`
load; `results.json` beside it holds every number with its uncertainty and what made it.
"""

import argparse
import copy
import dataclasses
import json
import logging
import os
import shutil
import sys
from pathlib import Path

import torch
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs
from transformers import AutoModel

from dataset_scripts.base import UNKNOWN_SPEAKER, corpus_builder
from dataset_scripts.folds import learning_check_indices, published_split_indices, split_indices

from .adaptation import speaker_prior
from .augmentation import Augmentation
from .convert import load_video_encoder
from .data import array_of, load_clips, normalize_by_speaker
from .feature_extraction_tacfn import TacfnFeatureExtractor
from .final_network import describe_final, load_expected_scores
from .fold_report import choose_folds
from .hub import push_after_training
from .image_processing_tacfn import TacfnImageProcessor
from .preparation import preparation_settings, prepare_clips
from .prepared_clip import PreparedClip
from .processing_tacfn import TacfnProcessor
from .results import (
    LEARNING_CHECK,
    PROTOCOL_NOTES,
    PUBLISHED_SPLIT,
    RANDOM_CLIPS,
    environment_record,
    format_score,
    load_results,
    make_results,
    save_json_atomic,
    task_of,
)
from .sharding import make_accelerator
from .shards import about_shards, load_shards
from .tasks import make_task, task_labels
from .train_options import changed_options, parse_arguments
from .training import (
    CHECKPOINT,
    RunState,
    TrainingSettings,
    modalities_of,
    network_config,
    train_fold,
)


logger = logging.getLogger("train")

RUN_RESULTS = "results.json"
ARGUMENTS = "training_arguments.json"
# What may differ between a run and its resumption without making it another run.
NOT_PART_OF_A_RUN = (
    "config",
    "resume",
    "output_dir",
    "data_dir",
    "cache_dir",
    "prepared",
    "num_proc",
    "num_workers",  # these change speed, rounding, and which augmentations are drawn
    "channels_last",
    "compile",
    "report_to",
    "seeds",
    "fold",
    "all_folds",
    "learning_check",  # the protocol says it
    "final",
    "push_to_hub",
    "hub_model_id",
    "hub_revision",
    "hub_private",
)


# The protocols that need to know who speaks.
SPEAKERS_APART = ("plain", "speaker-normalised")


def build_processor(arguments: argparse.Namespace, feature_columns: dict[str, list[str]]) -> TacfnProcessor:
    """The processor that is saved with the model; every number of it comes from the options."""
    sizes = arguments.model.get("feature_sizes") or {}
    return TacfnProcessor(
        TacfnFeatureExtractor(**arguments.audio_processor),
        TacfnImageProcessor(**arguments.video_processor),
        feature_columns=feature_columns,
        static_features=arguments.model.get("static_features"),
        square_root_features=arguments.square_root_features,
        do_audio=not sizes or "audio" in sizes,
        do_prosody="prosody" in sizes,
        do_video=not sizes,
        is_speaker_normalized=arguments.protocol == "speaker-normalised",
    )


def load_inputs(arguments: argparse.Namespace):
    """The corpus (its readable rows), the prepared clips with the inputs that are kept, not normalised, and the processor."""
    if arguments.prepared:
        corpus, clips, other = load_shards(arguments.prepared)
        # What was measured of the clips is no longer at hand; the names of its columns are.
        measured = {name: other.feature_columns.get(name, []) for name in arguments.corpus.get("features") or {}}
        processor = build_processor(arguments, corpus_builder(arguments.dataset).FEATURE_COLUMNS | measured)
        check_prepared(arguments, processor, other)
    else:
        corpus, files, processor = prepare_corpus(arguments)
        clips = load_clips(files)
    return corpus, choose_modalities(clips, processor, arguments), processor


def prepare_corpus(arguments: argparse.Namespace):
    """The readable rows of the corpus, the files of their prepared clips, and the processor that prepared them."""
    builder = corpus_builder(arguments.dataset)(data_dir=arguments.data_dir, **arguments.corpus)
    corpus = builder.load()
    processor = build_processor(arguments, builder.feature_columns)
    kept, files = prepare_clips(corpus, processor, arguments.cache_dir, arguments.num_proc)
    return corpus.select(kept), files, processor


def check_prepared(arguments: argparse.Namespace, processor: TacfnProcessor, other: TacfnProcessor) -> None:
    """Refuse clips of another corpus, or prepared with other numbers than the network is going to be told."""
    name = about_shards(arguments.prepared)["corpus"]
    if name != arguments.dataset:
        raise SystemExit(
            f"--prepared {arguments.prepared} holds {name}, not {arguments.dataset}; give --dataset {name}."
        )
    wanted, found = (flat_settings(preparation_settings(item)) for item in (processor, other))
    changed = [f"{key}: {found.get(key)!r}, not {wanted[key]!r}" for key in wanted if found.get(key) != wanted[key]]
    if changed:
        raise SystemExit(
            f"--prepared {arguments.prepared} was prepared with other numbers ({'; '.join(changed)}). Give the options that it "
            "was prepared with, or prepare it again."
        )


def flat_settings(settings: dict) -> dict:
    """The numbers of the parts of a processor by names such as `feature_extractor.n_fft`."""
    parts = {name: value for name, value in settings.items() if isinstance(value, dict)}
    inner = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
    return {name: value for name, value in settings.items() if name not in parts} | inner


def choose_modalities(clips: list[PreparedClip], processor: TacfnProcessor, arguments) -> list[PreparedClip]:
    """Leave out what `--modalities` does not name, from the clips, the processor and the network's configuration."""
    if not arguments.modalities:
        return clips
    known = modalities_of(clips)
    if set(arguments.modalities) - set(known):
        raise SystemExit(f"--modalities {arguments.modalities}: the corpus has only {known}.")
    wanted = {array_of(name) for name in arguments.modalities}
    sizes = arguments.model.get("feature_sizes")
    if sizes:
        kept = [name for name in sizes if name in arguments.modalities]
        arguments.model["feature_sizes"] = {name: sizes[name] for name in kept}
        processor.do_audio, processor.do_prosody = "audio" in kept, "prosody" in kept
        for field in ("feature_order", "static_features", "spectrogram_features", "reinforced", "encoded_targets"):
            if arguments.model.get(field) is not None:
                arguments.model[field] = [name for name in arguments.model[field] if name in kept]
    return [clip.only(wanted) for clip in clips]


def check_video_encoder(config, path: str) -> None:
    """Refuse weights that do not fit the network, before a fold is begun."""
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    try:
        load_video_encoder(model, path)
    except (ValueError, OSError) as error:
        raise SystemExit(f"--init_video_encoder {error}") from error


def run_settings(arguments: argparse.Namespace) -> dict:
    """The options that make a run what it is; kept beside it, and compared when it is resumed."""
    return {key: copy.deepcopy(value) for key, value in vars(arguments).items() if key not in NOT_PART_OF_A_RUN}


def check_resumable(folder: Path, settings: dict) -> None:
    """Refuse to go on with other options than the run was started with."""
    path = folder / ARGUMENTS
    if not path.exists():
        return
    before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(settings, default=os.fspath))
    if changed := changed_options(before, now):
        listed = ", ".join(changed)
        raise SystemExit(f"{folder} was started with other options ({listed}). Use those, or another --output_dir.")


def make_splits(corpus, arguments: argparse.Namespace) -> dict[tuple[int, int], dict[str, list[int]]]:
    """Rows of the train, validation and test clips of each run, by fold and seed."""
    if arguments.published_split:
        return {(0, seed): published_split_indices(corpus) for seed in arguments.seeds}
    if arguments.learning_check:
        return {(0, seed): learning_check_indices(corpus) for seed in arguments.seeds}
    if arguments.final:
        return {(0, seed): learning_check_indices(corpus) | {"test": []} for seed in arguments.seeds}
    folds = choose_folds(corpus, arguments.num_folds, arguments.folds)
    chosen = range(len(folds)) if arguments.all_folds else arguments.fold
    return {
        (fold, seed): split_indices(corpus, fold, folds, arguments.validation_speakers, seed)
        for seed in arguments.seeds
        for fold in chosen
    }


def main(argv: list[str] | None = None) -> dict:
    """Train as the options say; returns what `results.json` holds."""
    arguments = parse_arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    accelerator = make_accelerator(
        mixed_precision=arguments.mixed_precision,
        gradient_accumulation_steps=arguments.gradient_accumulation_steps,
        log_with=None if arguments.report_to == "none" else arguments.report_to,
        project_dir=arguments.output_dir,
        # `--batch_size` is that of all processes together, so that more processes train the same network.
        dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=True),
        # A batch without one modality leaves that modality's encoder unused.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if arguments.batch_size % accelerator.num_processes:
        raise SystemExit(
            f"--batch_size is that of all processes together: expected a multiple of {accelerator.num_processes}, got "
            f"{arguments.batch_size}."
        )
    state = RunState()
    accelerator.register_for_checkpointing(state)
    folder, settings = arguments.output_dir, run_settings(arguments)
    if arguments.resume:
        check_resumable(folder, settings)
    elif (folder / ARGUMENTS).exists():
        raise SystemExit(
            f"{folder} already holds a run. Add --resume to go on with it, or choose another --output_dir."
        )
    accelerator.wait_for_everyone()
    if arguments.report_to != "none":
        accelerator.init_trackers("log")

    with accelerator.main_process_first():
        corpus, raw_clips, processor = load_inputs(arguments)
    speakers = corpus["speaker_id"][:]
    if any(str(speaker).startswith(UNKNOWN_SPEAKER) for speaker in speakers) and arguments.protocol in SPEAKERS_APART:
        if arguments.protocol == "speaker-normalised":
            raise SystemExit("--protocol speaker-normalised needs a corpus that says who speaks in each clip.")
        arguments.protocol = RANDOM_CLIPS
    is_normalized = arguments.protocol == "speaker-normalised"
    clips = normalize_by_speaker(raw_clips, speakers) if is_normalized else raw_clips
    builder = corpus_builder(arguments.dataset)
    task = make_task(arguments.task, task_labels(arguments.task, corpus, builder))
    references = task.references(corpus, builder)
    config = network_config(arguments.network, arguments.model, task.labels, task.problem_type)
    augmentation = Augmentation.from_dict(arguments.augmentation)
    training = TrainingSettings(
        **{field.name: getattr(arguments, field.name) for field in dataclasses.fields(TrainingSettings)}
    )
    splits_of = make_splits(corpus, arguments)
    name = arguments.name or arguments.network
    expected = None
    if arguments.final:
        expected = load_expected_scores(arguments.final, name, arguments.protocol, settings, speakers)
    if arguments.init_video_encoder:
        check_video_encoder(config, arguments.init_video_encoder)
    # Only now: a mistake in the options must not leave a folder that looks like a run.
    if accelerator.is_main_process:
        save_json_atomic(folder / ARGUMENTS, settings)

    environment = environment_record(["train.py", *(sys.argv[1:] if argv is None else argv)])

    def results_of(some_runs: list[dict]) -> dict:
        if expected:
            return describe_final(expected, some_runs[-1], environment)
        details = {"num_parameters": some_runs[-1]["num_parameters"], "settings": settings, "environment": environment}
        return make_results(
            name, arguments.dataset, task.labels, some_runs, arguments.protocol, task=task.name, **details
        )

    runs, results = [], {}
    for (fold, seed), splits in splits_of.items():
        run_folder = folder / f"fold_{fold}_seed_{seed}" if len(splits_of) > 1 else folder
        finished = run_folder / RUN_RESULTS
        if is_normalized:
            rows = splits["train"]
            processor.speaker_prior = speaker_prior([raw_clips[row] for row in rows], [speakers[row] for row in rows])
        if finished.exists():
            stored = load_results(finished)
            runs += stored["runs"]
            results = stored if expected else results_of(runs)
        else:
            run = train_fold(
                accelerator,
                state,
                corpus,
                clips,
                splits,
                processor,
                config,
                training,
                augmentation,
                run_folder,
                fold,
                seed,
                task,
                references,
                arguments.init_video_encoder,
            )
            runs.append(run)
            results = results_of(runs)
            if accelerator.is_main_process:
                save_json_atomic(finished, results_of([run]))
        if accelerator.is_main_process:
            shutil.rmtree(run_folder / CHECKPOINT, ignore_errors=True)
        accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        save_json_atomic(folder / RUN_RESULTS, results)
        print(describe(results, folder))
    is_main_process = accelerator.is_main_process
    accelerator.end_training()
    # Last of all: nobody waits for it any more, and nothing can be lost by it.
    if arguments.push_to_hub and is_main_process:
        push_after_training(folder, arguments.hub_model_id, arguments.hub_private, arguments.hub_revision)
    return results


def describe(results: dict, folder: Path) -> str:
    """What a person wants to read at the end."""
    parts = {"all inputs": results["summary"], **results["single_modality"]}
    scored = {
        LEARNING_CHECK: "the clips it was trained on",
        RANDOM_CLIPS: "other clips, perhaps of the same people",
        PUBLISHED_SPLIT: "the clips that others test on",
    }
    scored = scored.get(results["protocol"], "speakers never seen in training")
    lines = [f"{results['name']} on {results['corpus']} ({results['protocol']}), {scored}:"]
    if final := results.get("final"):
        lines.insert(
            0,
            f"Trained on all {final['clips']['train']} clips. What to expect of it are the scores of the same options over the folds.",
        )
    titles = list(task_of(results).titles.items())[:2]
    for name, summary in parts.items():
        said = "  ".join(f"{title} {format_score(summary[key], task_of(results), key)}" for key, title in titles)
        lines.append(f"  {name:<18} {said}")
    if note := PROTOCOL_NOTES.get(results["protocol"]):
        lines.append(note)
    return "\n".join([*lines, f"Model, pictures and results.json: {folder}"])


if __name__ == "__main__":
    main()
