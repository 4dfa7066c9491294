# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The options of `train.py`: read from the command line and from a YAML file, and checked before anything is trained."""

import argparse
import dataclasses
import os
from pathlib import Path

import torch
import yaml

from dataset_scripts.base import CORPORA

from .hub_upload import check_target
from .results import LEARNING_CHECK, PUBLISHED_SPLIT
from .tasks import TASKS
from .training import TrainingSettings


DESCRIPTION = """Train and evaluate a network of this package on a corpus, speaker-independently.

    accelerate launch train.py --config configs/synthetic.yaml"""
# The options that split the speakers or name another protocol, and their values where nobody asks for either.
NO_SPLIT = {
    "fold": [0],
    "all_folds": False,
    "num_folds": None,
    "folds": None,
    "validation_speakers": None,
    "protocol": "plain",
}


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="train.py", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, help="YAML file whose keys are the options below; options win over it")
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", choices=sorted(CORPORA), default="synthetic")
    data.add_argument("--data_dir", help="folder of the corpus (the synthetic one makes itself)")
    data.add_argument(
        "--prepared", metavar="FOLDER", help="train on what `tacfn prepare --output FOLDER` wrote instead"
    )
    data.add_argument("--corpus", type=mapping, default={}, help='options of the corpus, as in "{channel: song}"')
    data.add_argument("--num_folds", type=int, help="speaker-disjoint folds; the corpus's own if not given")
    data.add_argument(
        "--folds", metavar="FILE", help="test speakers of each fold, as `tacfn folds --output` saves them"
    )
    data.add_argument("--fold", type=int, nargs="+", default=[0], help="folds whose speakers are tested")
    data.add_argument("--all_folds", action=argparse.BooleanOptionalAction, default=False)
    data.add_argument(
        "--validation_speakers",
        type=int,
        help="how many training speakers choose the epoch; 0: none, the last epoch counts",
    )
    data.add_argument(
        "--learning_check",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train on all clips and score the same clips: shows that the network can learn from them, and nothing about "
        "people it has not seen",
    )
    data.add_argument(
        "--published_split",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train, choose and test on the sides that were published with the corpus, a protocol of its own: they may share speakers",
    )
    data.add_argument(
        "--final",
        type=Path,
        metavar="RESULTS",
        help="train the network to be used, on everybody: RESULTS is the results.json of the same options over all folds (of "
        "--all_folds, or of tacfn compare), which says what to expect of it",
    )
    data.add_argument(
        "--task",
        choices=sorted(TASKS),
        default="emotion",
        help="emotion: one label of several; yes_no: several yes/no questions; sentiment: a number from -3 to 3",
    )
    data.add_argument("--modalities", nargs="+", help="keep only these inputs: audio, video, or names of features")
    data.add_argument(
        "--protocol",
        choices=("plain", "speaker-normalised"),
        default="plain",
        help="speaker-normalised: features are centred and scaled by each speaker's own unlabelled clips",
    )
    data.add_argument("--cache_dir", help="where prepared clips are kept")
    data.add_argument("--num_proc", type=int, default=2, help="processes that prepare clips")

    model = parser.add_argument_group("model")
    model.add_argument("--network", default="tacfn", help="model_type of the network")
    model.add_argument(
        "--model", type=mapping, default={}, help='fields of its configuration, as in "{hidden_size: 40}"'
    )
    model.add_argument("--audio_processor", type=mapping, default={}, help="arguments of the feature extractor")
    model.add_argument("--video_processor", type=mapping, default={}, help="arguments of the image processor")
    model.add_argument(
        "--square_root_features",
        nargs="*",
        default=[],
        help="named features whose square root the network sees: it evens out the spread of skewed counts and intensities",
    )
    model.add_argument("--augmentation", type=mapping, default={}, help="see modeling_tacfn.augmentation.Augmentation")
    model.add_argument(
        "--init_video_encoder",
        metavar="FILE",
        help="published weights that the video encoder starts from: 3-D ResNeXt (Kinetics), EfficientFace (AffectNet)",
    )
    model.add_argument("--name", help="name of the method in results; the network's if not given")

    group = parser.add_argument_group("optimisation")
    for field in dataclasses.fields(TrainingSettings):
        group.add_argument(f"--{field.name}", type=field.type, default=field.default, help=field.metadata["help"])

    run = parser.add_argument_group("run")
    run.add_argument("--output_dir", type=Path, default=Path("runs/tacfn"))
    run.add_argument("--seeds", type=int, nargs="+", default=[0])
    run.add_argument("--resume", action=argparse.BooleanOptionalAction, default=False, help="go on where it stopped")
    run.add_argument("--report_to", default="tensorboard", help="tracker: tensorboard, wandb, …, or none")
    run.add_argument(
        "--mixed_precision",
        choices=("no", "fp16", "bf16"),
        default=os.environ.get("ACCELERATE_MIXED_PRECISION", "no"),
        help="by default what the file of `accelerate launch` says",
    )

    hub = parser.add_argument_group("hub")
    hub.add_argument(
        "--push_to_hub",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="after the training, push the network as `tacfn push` does; it needs a login (`hf auth login`, or HF_TOKEN)",
    )
    hub.add_argument("--hub_model_id", metavar="OWNER/NAME", help="repository, made if it is not there")
    hub.add_argument("--hub_revision", help="branch to push to; the main one if not given")
    hub.add_argument(
        "--hub_private",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a repository that is made is seen by its owner alone",
    )

    arguments = parser.parse_args(argv)
    if arguments.config:
        settings = yaml.safe_load(arguments.config.read_text(encoding="utf-8")) or {}
        check_file(parser, arguments.config, settings)
        parser.set_defaults(**settings)
        merged = parser.parse_args(argv)
        for key in ("corpus", "model", "audio_processor", "video_processor", "augmentation"):
            # On the command line a mapping changes single entries of the file's.
            given = getattr(arguments, key)
            setattr(merged, key, {**(settings.get(key) or {}), **given})
        arguments = merged
    arguments.output_dir = Path(arguments.output_dir)
    if arguments.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {arguments.epochs}")
    if arguments.num_workers < 0:
        parser.error(f"--num_workers must be 0 or more, got {arguments.num_workers}")
    if arguments.compile and arguments.compile not in (known := torch.compiler.list_backends(exclude_tags=())):
        parser.error(f"--compile must be a backend of torch.compile, one of {known}, got {arguments.compile!r}")
    if arguments.learning_check:
        given = [f"--{name}" for name, value in NO_SPLIT.items() if getattr(arguments, name) != value]
        if given:
            parser.error(
                "--learning_check trains on all clips and scores the same clips, a protocol of its own without a split of "
                f"the speakers: leave out {', '.join(given)}, or --learning_check"
            )
        arguments.protocol = LEARNING_CHECK
    if arguments.published_split:
        if arguments.learning_check or arguments.protocol != "plain":
            parser.error("--published_split is a protocol of its own: leave out --protocol and --learning_check")
        arguments.protocol = PUBLISHED_SPLIT
    if arguments.final:
        others = [name for name in ("learning_check", "published_split", "all_folds") if getattr(arguments, name)]
        if others or len(arguments.seeds) > 1:
            parser.error(
                "--final trains one network on everybody, with one seed and no test: leave out "
                f"{', '.join(f'--{name}' for name in others) or 'all --seeds but one'}"
            )
    if arguments.push_to_hub:
        check_push(parser, arguments)
    if arguments.mixed_precision == "bf16" and not torch.cuda.is_available():
        parser.error("bf16 3-D convolutions are 35 to 50 times slower than fp32 on a CPU; use --mixed_precision no")
    return arguments


def changed_options(before: dict, now: dict) -> list[str]:
    """The options of two runs that differ, as a person reads them; one that was none yet had the value nobody has to give."""
    before = vars(parse_arguments([])) | before
    return [f"{key}: {before.get(key)!r} → {now[key]!r}" for key in now if before.get(key) != now[key]]


def check_push(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse before the training what would be known to fail after it."""
    if not arguments.hub_model_id:
        parser.error("--push_to_hub needs --hub_model_id OWNER/NAME")
    if arguments.all_folds or len(arguments.fold) * len(arguments.seeds) > 1:
        parser.error(
            "--push_to_hub pushes one network, and several are going to be trained: leave it out, and afterwards choose one: "
            f"tacfn push {arguments.output_dir} {arguments.hub_model_id} --run fold_…_seed_…"
        )
    try:
        check_target(arguments.hub_model_id, arguments.hub_revision)
    except OSError as error:
        parser.error(f"--push_to_hub: {error}")


def check_file(parser: argparse.ArgumentParser, path: Path, settings: dict) -> None:
    """Refuse in a file what would be refused on the command line: argparse checks no defaults."""
    actions = {action.dest: action for action in parser._actions}
    unknown = sorted(set(settings) - set(actions))
    if unknown:
        parser.error(f"{path}: unknown options {unknown}; see --help for the known ones")
    for key, value in settings.items():
        action = actions[key]
        if action.choices and value not in action.choices:
            parser.error(f"{path}: {key} must be one of {list(action.choices)}, got {value!r}")
        if action.type is mapping and value is not None and not isinstance(value, dict):
            parser.error(f"{path}: {key} must be a mapping, got {value!r}")
        if action.nargs in ("+", "*") and value is not None and not isinstance(value, list):
            settings[key] = [value]


def mapping(text: str) -> dict:
    value = yaml.safe_load(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'expected a mapping such as "{{hidden_size: 40}}", got {text!r}')
    return value
