# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What the commands of `tacfn` do, once their arguments are understood."""

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.auto import tqdm

from .adaptation import save_speaker
from .convert import convert_checkpoint
from .exported_model import ExportedModel
from .memory import keep_freed_memory
from .notes import told_to
from .prediction import Prediction, load, predict, speaker_statistics
from .results import load_results, results_table
from .timeline import make_timeline
from .timeline_files import check_not_the_recording, save_timeline, timeline_table, to_dict
from .timeline_video import save_video


def predict_clips(arguments: argparse.Namespace) -> int:
    """Print the emotions of every clip that can be read; 1 if there was one that cannot."""
    if arguments.plot:
        _check_writable("--plot", arguments.plot)
    keep_freed_memory()
    with _notes():
        model, processor = load(
            arguments.model,
            arguments.device,
            arguments.trust_remote_code,
            runtime=arguments.runtime,
            revision=arguments.revision,
        )
        statistics = speaker_statistics(processor, arguments.speaker_clips, arguments.speaker)
    answers = []
    for inputs in arguments.clips:
        (path,) = inputs.values()
        if arguments.audio or arguments.no_audio:
            inputs = inputs | {"audio": arguments.audio or False}
        try:
            with _notes(path):
                prediction = predict(
                    model, processor, features=dict(arguments.features), statistics=statistics, source=path, **inputs
                )
        except (ValueError, OSError) as error:  # MediaError is a ValueError
            _say(_of_clip(path, error))
            answers.append({"clip": path, "error": str(error)})
            continue
        answers.append(prediction.to_dict(arguments.top_k))
        if not arguments.json:
            print(table(prediction, arguments.top_k), flush=True)
    if arguments.json:
        print(json.dumps(answers[0] if len(answers) == 1 else answers, indent=2), flush=True)
    has_failed = any("error" in answer for answer in answers)
    if arguments.plot and not has_failed:
        from .prediction_plot import plot_prediction  # imports matplotlib

        plot_prediction(prediction, arguments.plot)
        if not arguments.json:
            print(f"Picture: {arguments.plot}")
    return int(has_failed)


def _check_writable(option: str, path: Path) -> None:
    """Refuse before the inference, not after it."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(
            f"{option} {path}: expected a place where a file can be written, but none can be made in {folder}; choose another."
        )


def _say(text: str) -> None:
    print(f"tacfn: {text}", file=sys.stderr)


def _of_clip(name: str, message) -> str:
    return str(message) if name in str(message) else f"{name}: {message}"


def _notes(clip: str = ""):
    """What the libraries warn of becomes a line on standard error that names the clip, if it is about one."""
    return told_to(lambda note: _say(f"note: {_of_clip(clip, note)}"))


def table(prediction: Prediction, top_k: int | None = None) -> str:
    """What a person reads: the emotions with a bar each, and what the answer rests on."""
    used = prediction.inputs()
    parts = ["sound" if used["sound"] else "no sound"]
    if used["frames"]:
        parts.append(f"a face in {used['frames_with_face']} of {used['frames']} frames")
    else:
        parts.append("no picture")
    parts += used["features"]
    lines = [f"{prediction.source}  ({', '.join(parts)})"]
    for name, score in list(prediction.scores.items())[:top_k]:
        share = (
            f"{100 * score:5.1f} %  {'█' * round(30 * score)}" if prediction.is_probability else prediction.said(name)
        )
        lines.append(f"  {name:<12} {share}")
    return "\n".join(lines)


def follow_recording(arguments: argparse.Namespace) -> int:
    """Say which emotions a long recording shows when, in every form that was asked for."""
    for option, paths in (("--output", arguments.output), ("--video", [arguments.video] if arguments.video else [])):
        for path in paths:
            _check_writable(option, path)
            check_not_the_recording(path, arguments.recording)
    keep_freed_memory()
    with _notes():
        model, processor = load(arguments.model, arguments.device, arguments.trust_remote_code)
        statistics = speaker_statistics(processor, None, arguments.speaker)
    with _notes(arguments.recording), _progress("Reading") as show:
        timeline = make_timeline(
            model,
            processor,
            arguments.recording,
            window_seconds=arguments.window_seconds,
            hop_seconds=arguments.hop_seconds,
            faces=arguments.face or "largest",
            with_audio=not arguments.no_audio,
            features=dict(arguments.features),
            statistics=statistics,
            batch_size=arguments.batch_size,
            smoothing_seconds=arguments.smoothing_seconds,
            threshold=arguments.threshold,
            on_progress=show,
        )
    for note in timeline.notes:
        _say(f"note: {note}")
    for path in arguments.output:
        save_timeline(timeline, path)
    if arguments.video:
        with _notes(arguments.recording), _progress("Writing the video") as show:
            save_video(timeline, arguments.video, show)
    print(json.dumps(to_dict(timeline), indent=2, ensure_ascii=False) if arguments.json else timeline_table(timeline))
    return 0


@contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None]]:
    """A bar with the time that is left, on a terminal; takes the share that is done."""
    layout = "{desc}: {percentage:3.0f} %|{bar}| {elapsed} gone, {remaining} left"
    with tqdm(desc=what, total=1.0, bar_format=layout, disable=None) as bar:
        yield lambda share: bar.update(max(share - bar.n, 0))


def adapt(arguments: argparse.Namespace) -> int:
    """Make a speaker's file of those clips that can be read; 1 if there was one that cannot."""
    with _notes():
        processor = load(arguments.model, trust_remote_code=arguments.trust_remote_code, revision=arguments.revision)[
            1
        ]
    if not processor.is_speaker_normalized:
        raise ValueError(
            f"{arguments.model}: expected a speaker-normalised network; this one judges every clip by itself."
        )
    clips, num_failed = [], 0
    for inputs in tqdm(arguments.clips, desc="Reading clips", unit="clip", disable=len(arguments.clips) < 5):
        (path,) = inputs.values()
        # A table of many clips names its rows by the clips' file names.
        features = {name: f"{table}#{Path(path).stem}" for name, table in arguments.features}
        try:
            with _notes(path):
                clips.append(processor.read(**inputs, features=features))
        except (ValueError, OSError) as error:
            _say(_of_clip(path, error))
            num_failed += 1
    if not clips:
        raise ValueError("expected at least one clip that can be read, got none.")
    save_speaker(processor.speaker_statistics(clips), arguments.output, len(clips))
    print(f"{arguments.output}: made of {len(clips)} clips. Use it: tacfn predict … --speaker {arguments.output}")
    return int(num_failed > 0)


@_notes()
def compare_methods(arguments: argparse.Namespace) -> int:
    """Train the grid, print its table; 1 if a method failed."""
    # Only this command trains.
    from .adaptation_curve import adaptation_table
    from .comparison import compare
    from .missing import missing_table

    results, failed = compare(
        shared_options(arguments),
        arguments.output_dir,
        arguments.methods,
        arguments.protocols,
        arguments.folds,
        arguments.seeds,
        arguments.num_jobs,
        arguments.missing,
        arguments.adaptation,
        arguments.ablations,
    )
    print(results_table(results["results"], single_modality=False))
    if arguments.missing:
        print(missing_table(results["results"]))
    if adapted := [item for item in results["results"] if "adaptation" in item]:
        print(adaptation_table(adapted))
    print(f"Results, tables and pictures: {arguments.output_dir}")
    return int(bool(failed))


@_notes()
def prepare(arguments: argparse.Namespace) -> int:
    """Decode every clip of a corpus once, for training; write it as shards if asked."""
    from dataset_scripts.base import corpus_builder

    from .experiment import prepare_corpus
    from .hub_dataset import checked_licence, push_corpus, with_licence
    from .hub_upload import check_target
    from .shards import write_shards
    from .train_options import parse_arguments

    options = parse_arguments([*shared_options(arguments), "--num_proc", str(arguments.num_proc)])
    builder = corpus_builder(options.dataset)
    licence = checked_licence(builder, arguments.license)
    if arguments.push_to_hub:
        if not arguments.output:
            raise ValueError("--push_to_hub pushes what --output FOLDER writes: give both.")
        check_target(arguments.push_to_hub)
    started = time.perf_counter()
    corpus, files, processor = prepare_corpus(options)
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in files)
    facts = {"clips": len(files), "seconds": round(seconds, 1), "bytes": size, "folder": str(files[0].parent)}
    if arguments.output:
        corpus = with_licence(corpus, builder, licence)
        facts["shards"] = len(write_shards(corpus, files, processor, arguments.output, options.dataset, licence))
    if arguments.push_to_hub:
        pushed = push_corpus(arguments.output, arguments.push_to_hub, private=not arguments.public)
        facts["pushed"] = dataclasses.asdict(pushed)
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{len(files)} clips ready, {size / 2**20:.0f} MiB in {facts['folder']}; {seconds:.0f} s.")
    if arguments.output:
        print(f"{facts['shards']} shards in {arguments.output}: train.py --prepared {arguments.output}")
    if arguments.push_to_hub:
        print(pushed)
    return 0


@_notes()
def show_folds(arguments: argparse.Namespace) -> int:
    """Print who is tested in which fold, after a check that nobody is trained on as well; save and draw it if asked."""
    from dataset_scripts.base import load_corpus

    from .fold_report import choose_folds, describe_folds, folds_table, plot_folds, save_folds

    corpus = load_corpus(arguments.dataset, data_dir=arguments.data_dir, **arguments.corpus)
    folds = choose_folds(corpus, arguments.num_folds, arguments.folds)
    described = describe_folds(corpus, folds)
    if arguments.output:
        save_folds(folds, arguments.output, arguments.dataset)
    if arguments.plot:
        plot_folds(described, arguments.plot, title=arguments.dataset)
    print(json.dumps(described, indent=2, ensure_ascii=False) if arguments.json else folds_table(described), end="\n")
    return 0


def shared_options(arguments: argparse.Namespace) -> list[str]:
    """What all methods of a comparison share, as options of train.py; a dataset brings its own file if there is one."""
    config, dataset = arguments.config, arguments.dataset
    if config is None and dataset is None:
        raise ValueError("expected --dataset NAME, or --config FILE with a dataset in it; got neither.")
    if config is None and (own := Path("configs", f"{dataset}.yaml")).is_file():
        config = own
    shared = [] if config is None else ["--config", str(config)]
    shared += [] if dataset is None else ["--dataset", dataset]
    shared += [] if arguments.data_dir is None else ["--data_dir", arguments.data_dir]
    return shared + arguments.options


def describe(arguments: argparse.Namespace) -> int:
    """Print what a trained network is: its parts, what it takes and, where it was tested, its score."""
    with _notes():
        # Asked about is the network, not what may have been exported beside it.
        runtime = "torch" if any(Path(arguments.model).glob("*.safetensors")) else "auto"
        model, processor = load(arguments.model, None, arguments.trust_remote_code, runtime, arguments.revision)
    config, pictures = model.config, processor.image_processor
    facts = {
        "network": config.model_type,
        "parameters": model.num_parameters(),
        **({"exported": model.export.file_format} if isinstance(model, ExportedModel) else {"parts": _parts(model)}),
        "labels": list(config.id2label.values()),
        "sound": _sound(processor),
        "pictures": f"{pictures.num_frames} face crops of {pictures.size['height']}x{pictures.size['width']}"
        if processor.do_video
        else "none",
        "features": dict(getattr(config, "feature_sizes", {})) or "none",
        "protocol": "speaker-normalised" if processor.is_speaker_normalized else "plain",
    }
    results = Path(arguments.model) / "results.json"
    if results.is_file():
        stored = load_results(results)
        facts["score"] = {"corpus": stored["corpus"], "protocol": stored["protocol"]} | {
            name: stored["summary"][name]["mean"] for name in ("war", "uar", "macro_f1")
        }
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {_readable(item)}" for key, item in value.items())
        print(f"{name:<11} {', '.join(value) if isinstance(value, list) else value}")
    return 0


def write_card(arguments: argparse.Namespace) -> int:
    """Write the model card of a folder, or print that of a results file."""
    from .model_card import model_card, save_model_card, write_model_card

    chosen = {"method": arguments.method, "protocol": arguments.protocol}
    with _notes():
        if arguments.output:
            print(write_model_card(arguments.folder, arguments.output, arguments.repo_id, **chosen))
        elif Path(arguments.folder).is_file():
            print(model_card(arguments.folder, arguments.repo_id, **chosen), end="")
        else:
            print(save_model_card(arguments.folder, arguments.repo_id))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write a network as a file for another runtime, and print what the comparison with the network found."""
    # Only this command needs the exporter.
    from .export import export_network

    with _notes():
        report = export_network(
            arguments.model, arguments.format, arguments.output, trust_remote_code=arguments.trust_remote_code
        )
    if arguments.json:
        print(json.dumps(report, indent=2))
        return 0
    folder = arguments.output or Path(arguments.model, arguments.format)
    print(
        f"{folder}: {arguments.format}, {sum(report['bytes'].values()) / 2**20:.1f} MiB; logits differ by at most "
        f"{report['largest_difference']:.1e} from the network's in {len(report['differences'])} cases of other shapes.\n"
        f"Use it: tacfn predict CLIP --model {folder}"
    )
    return 0


def convert(arguments: argparse.Namespace) -> int:
    """Make a model folder of an author's checkpoint."""
    labels = {"labels": arguments.labels} if arguments.labels else {}
    with _notes():
        model = convert_checkpoint(arguments.checkpoint, arguments.folder, arguments.network, **labels)
    print(f"{arguments.folder}: {arguments.network} with {model.num_parameters():,} parameters, as AutoModel loads it")
    return 0


def _parts(model) -> dict[str, int]:
    """Parameters of each part of a network that has some."""
    parts = {**dict(model.fusion.named_children()), "classifier": getattr(model, "classifier", None)}
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items() if part is not None}
    return {name: size for name, size in sizes.items() if size}


def push(arguments: argparse.Namespace) -> int:
    """Make a repository of the Hub of a trained network and a Space of its demo, or bring them up to date."""
    from .hub import push_model
    from .hub_space import push_space, space_files

    private, revision = not arguments.public, arguments.revision
    if arguments.space is not None:
        if revision:
            raise ValueError(
                "a Space answers with the main branch of a network: leave out --revision, or push the Space later."
            )
        space_files([])  # what is missing is said before anything is pushed
    pushed = push_model(arguments.folder, arguments.repo_id, private=private, revision=revision, run=arguments.run)
    record = dataclasses.asdict(pushed)
    if not arguments.json:
        print(pushed)
    if arguments.space is not None:
        space = push_space(arguments.space or f"{pushed.repo_id}-demo", [pushed.repo_id], private=private)
        record["space"] = dataclasses.asdict(space)
        if not arguments.json:
            print(space)
        if pushed.is_private:
            _say(
                f"{pushed.repo_id} is private: its Space needs a token that may read it, as the secret HF_TOKEN of its settings."
            )
    if arguments.json:
        print(json.dumps(record, indent=2))
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo until it is stopped."""
    # Gradio is wanted by this command alone.
    from .demo import launch_demo
    from .demo_limits import DemoLimits

    launch_demo(
        arguments.model,
        DemoLimits(num_workers=arguments.workers),
        trust_remote_code=arguments.trust_remote_code,
        share=arguments.share,
        host=arguments.host,
        port=arguments.port,
    )
    return 0


def _sound(processor) -> str:
    sound = processor.feature_extractor
    step = 1000 * sound.hop_length / sound.sampling_rate
    parts = [f"{sound.feature_type}, {sound.feature_size} numbers every {step:.1f} ms at {sound.sampling_rate} Hz"]
    parts = parts * processor.do_audio + ["prosody"] * processor.do_prosody
    return " and ".join(parts) or "none"


def _readable(value) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
