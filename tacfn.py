# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
The `tacfn` command. Exit status: 0 done, 1 a clip or the model cannot be used, 2 wrong usage.

It stands outside of the package, whose import takes torch and transformers along: help and wrong usage need neither.
"""

import argparse
import re
import sys
from pathlib import Path


PICTURES = (".png", ".pdf", ".svg")
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".opus")
VIDEOS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".flv", ".mpg", ".mpeg", ".ts", ".3gp", ".wmv", ".ogv")
# The keys of `convert.AUTHORS_NETWORKS`, which cannot be asked before torch is imported.
CONVERTIBLE = ("cfn_sr", "avt_ca")
ADAPT_EXAMPLE = """example:
  tacfn adapt --clips ann --model DIR --features units=au.csv --output ann.json
  tacfn predict new.wav --model DIR --features 'units=au.csv#new' --speaker ann.json

The file holds the mean and the spread of what the network measures, nothing of the recordings themselves. It assumes one
person, recorded as the clips to be judged will be, in mixed moods. Few clips are steadied by what is usual of speakers."""
PROTOCOLS = ("plain", "speaker-normalised")
COMPARE_EXAMPLE = """examples:
  tacfn compare --dataset synthetic --methods audio_only video_only concatenation tacfn --folds 0 --seeds 0
  tacfn compare --dataset ravdess_au --data_dir RAVDESS --protocols plain speaker-normalised --missing --adaptation
  tacfn compare --dataset ravdess_au --data_dir RAVDESS --ablations -- --validation_speakers 4
  tacfn compare --config my.yaml -- --epochs 20

Interrupted, the same command goes on where it stopped. The folder gets results.json, table.md, table.tex and comparison.png,
with --missing and --adaptation also a table and a picture of each."""
PREPARE_EXAMPLE = """examples:
  tacfn prepare --dataset ravdess --data_dir RAVDESS --num_proc 8
  tacfn prepare --dataset ravdess_au --data_dir RAVDESS --output shards
  tacfn prepare --config my.yaml -- --video_processor '{num_frames: 15}'
  tacfn prepare --dataset ravdess --data_dir RAVDESS --output shards --push_to_hub someone/ravdess-prepared
  tacfn prepare --dataset folder --data_dir clips --output shards --push_to_hub someone/clips --license cc-by-4.0

Clips that are prepared are not prepared again, whoever asks: training does the same on its own where it finds them missing.
Shards are Parquet files with the prepared clips in them, for another machine (train.py --prepared FOLDER) or for streaming.
A push holds the clips only where their licence lets others have them (RAVDESS, CREMA-D, synthetic, or your own with --license); of other
corpora it holds ids, labels, speakers, folds and durations. It is private unless --public."""
FOLDS_EXAMPLE = """examples:
  tacfn folds --dataset ravdess --data_dir RAVDESS --plot folds.png
  tacfn folds --dataset ravdess --data_dir RAVDESS --num_folds 10 --output folds.json
  tacfn folds --dataset ravdess --data_dir RAVDESS --folds my_folds.json --json

train.py --folds FILE trains on the folds of a file. A speaker or a take on both sides of a fold is an error here and there."""
CARD_EXAMPLE = """examples:
  tacfn card runs/synthetic
  tacfn card runs/ravdess --repo_id someone/tacfn-ravdess
  tacfn card docs/results/ravdess_au.json --method tacfn --protocol plain --output model_card.md

The card is README.md in the folder, with the pictures that it shows; of a results file alone it is printed. Every number in it is
one of the files; a README.md that somebody wrote himself is kept."""
# The keys of `exported_model.FILES` and `exported_model.RUNTIME_CHOICES`, which import torch.
EXPORT_FORMATS = ("onnx", "openvino")
RUNTIMES = ("auto", "torch", "onnx", "openvino")
EXPORT_EXAMPLE = """examples:
  tacfn export runs/synthetic --format onnx
  tacfn export runs/synthetic --format openvino --output exported
  tacfn predict clip.mp4 --model runs/synthetic --runtime onnx

The file is kept only if it answers as the network does, to 1e-4 on logits, also for other batches, lengths and numbers of
frames, with padding, and with inputs missing; export.json beside it says how closely."""
PUSH_EXAMPLE = """examples:
  tacfn push runs/synthetic someone/tacfn-synthetic
  tacfn push runs/ravdess_au someone/tacfn-ravdess --run fold_0_seed_0 --public
  tacfn push runs/synthetic someone/tacfn-synthetic --revision v2
  tacfn push runs/synthetic someone/tacfn-synthetic --space

Weights, configuration, processor, code, scores and card are pushed in one commit; checkpoints, logs and everything else stay,
and paths of this machine become bare names. With --space the demo is pushed too, as a Space that answers with the network.
Repositories are private unless --public. The right to write is that of
`hf auth login` or HF_TOKEN. Pushed again, what is there already is not sent again, and no commit is made of nothing."""
PREDICT_EXAMPLE = """examples:
  tacfn predict clip.mp4 --model runs/synthetic --plot prediction.png
  tacfn predict clip.webm another.mp4 --model DIR --json
  tacfn predict speech.wav --model DIR --features 'action_units=openface_au_mean.csv#01-01-05-02-01-01-07'

a network trained on speaker-normalised features needs more clips of the same speaker, after the clips and in any mood:
  tacfn predict speech.wav --model DIR --features 'units=au.csv#7' \\
      --speaker_clips 'more1.wav,units=au.csv#1' 'more2.wav,units=au.csv#2' 'more3.wav,units=au.csv#3'"""

TIMELINE_FILES = (".csv", ".json", ".srt", ".eaf", *PICTURES)
TIMELINE_VIDEOS = (".mp4", ".mov", ".mkv")
TIMELINE_EXAMPLE = """examples:
  tacfn timeline talk.mp4 --model DIR --output talk.csv talk.eaf talk.png
  tacfn timeline talk.mp4 --model DIR --video talk_seen.mp4 --smoothing_seconds 5 --threshold 0.4
  tacfn timeline interview.mp4 --model DIR --face left --face right@125.5 --json

The recording is read once, in flat memory. --output: .csv and .json hold every window, .srt subtitles, .eaf annotations for
ELAN, .png, .pdf and .svg a picture."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what `command` holds after parsing names one of them."""
    parser = argparse.ArgumentParser(prog="tacfn", description="Emotions from sound and face, with TACFN.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_predict(commands)
    _add_timeline(commands)
    _add_adapt(commands)
    _add_compare(commands)
    _add_folds(commands)
    _add_prepare(commands)
    info = commands.add_parser(
        "info",
        help="what a trained network is",
        epilog="example:\n  tacfn info runs/synthetic",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    info.add_argument("model", help="folder of a trained network, or its name on the Hub")
    info.add_argument("--json", action="store_true", help="print JSON and nothing else")
    info.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    info.add_argument("--revision", help="commit or branch of a name on the Hub")
    _add_convert(commands)
    _add_card(commands)
    _add_export(commands)
    _add_push(commands)
    _add_demo(commands)
    return parser


def _add_card(commands) -> None:
    card = commands.add_parser(
        "card",
        help="the model card of a trained network, from its results",
        epilog=CARD_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    card.add_argument("folder", metavar="DIR", help="folder of a training, or a results.json")
    card.add_argument("--repo_id", metavar="NAME", help="repository that the card is for, as in someone/name")
    card.add_argument(
        "--output", type=Path, metavar="FILE.md", help="another file than README.md in DIR; it is replaced"
    )
    card.add_argument("--method", metavar="NAME", help="which method, of a results file of several")
    card.add_argument("--protocol", metavar="NAME", help="which protocol, of a results file of several")


def _add_push(commands) -> None:
    push = commands.add_parser(
        "push",
        help="a trained network becomes a repository of the Hub, with --space also its demo",
        epilog=PUSH_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    push.add_argument("folder", metavar="DIR", help="folder of a trained network")
    push.add_argument("repo_id", metavar="OWNER/NAME", help="repository, made if it is not there")
    push.add_argument("--run", help="which run, if the folder holds several: fold_0_seed_0, …")
    push.add_argument(
        "--space",
        nargs="?",
        const="",
        metavar="OWNER/NAME",
        help="also push the demo that answers with it, to this Space; to OWNER/NAME-demo if not given",
    )
    push.add_argument("--revision", help="branch to push to, made if it is not there; the main one if not given")
    push.add_argument("--public", action="store_true", help="everybody may see the repository")
    push.add_argument("--json", action="store_true", help="print JSON and nothing else")


def _add_demo(commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="a page in the browser to try networks on",
        epilog="example:\n  tacfn demo --model runs/synthetic runs/cfn_sr",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--model",
        nargs="+",
        required=True,
        help="folders of trained networks, or their names on the Hub, to choose from",
    )
    demo.add_argument("--share", action="store_true", help="also open it to the internet, by a tunnel of Gradio's")
    demo.add_argument("--host", help="address to listen on; this machine only by default")
    demo.add_argument("--port", type=positive, help="a free one from 7860 on by default")
    demo.add_argument(
        "--workers", type=positive, default=2, help="processes that answer at the same time, 2 by default"
    )
    demo.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the models")


def _add_convert(commands) -> None:
    convert = commands.add_parser(
        "convert",
        help="an author's checkpoint becomes a model folder",
        epilog="example:\n  tacfn convert --network cfn_sr msaf_ravdess.pth runs/cfn_sr",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="file of tensors that torch.save wrote; never executed"
    )
    convert.add_argument("folder", metavar="OUT_DIR", help="folder to make; refused if it holds something")
    convert.add_argument("--network", required=True, choices=CONVERTIBLE, help="whose checkpoint it is")
    convert.add_argument(
        "--labels", nargs="+", metavar="NAME", help="names of the classes, in order; RAVDESS's if not given"
    )


def _add_timeline(commands) -> None:
    timeline = commands.add_parser(
        "timeline",
        help="emotions over a long recording",
        usage="tacfn timeline RECORDING --model MODEL [options]",
        epilog=TIMELINE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    timeline.add_argument("recording", metavar="RECORDING", help="video or sound file of any length")
    timeline.add_argument("--model", required=True, help="folder of a trained network, or its name on the Hub")
    timeline.add_argument("--window_seconds", type=seconds, default=3.0, metavar="S", help="length of a window, 3")
    timeline.add_argument("--hop_seconds", type=seconds, default=1.0, metavar="S", help="from window to window, 1")
    timeline.add_argument(
        "--smoothing_seconds", type=seconds, default=0.0, metavar="S", help="average the scores over so long, 0: not"
    )
    timeline.add_argument(
        "--threshold",
        type=share,
        default=0.0,
        metavar="P",
        help="a highest score below this is called unsure, 0: none",
    )
    timeline.add_argument(
        "--face",
        type=face,
        action="append",
        metavar="WHICH[@SECONDS]",
        help="which face is followed, from a time on: largest (default), left, right, a number counted from the left, or a "
        "point x,y in pixels; may be given several times",
    )
    timeline.add_argument("--no_audio", action="store_true", help="leave the sound out")
    timeline.add_argument(
        "--features",
        type=feature,
        action="append",
        default=[],
        metavar="NAME=FILE.csv",
        help="table of a feature with a row per frame and its timestamp",
    )
    timeline.add_argument("--speaker", metavar="FILE.json", help="what `tacfn adapt` made of the speaker's clips")
    timeline.add_argument(
        "--output", type=timeline_file, nargs="+", default=[], metavar="FILE", help=f"{', '.join(TIMELINE_FILES)}"
    )
    timeline.add_argument(
        "--video",
        type=timeline_video,
        metavar="FILE",
        help=f"the recording with its answers ({', '.join(TIMELINE_VIDEOS)})",
    )
    timeline.add_argument("--json", action="store_true", help="print JSON and nothing else")
    timeline.add_argument("--batch_size", type=positive, default=4, help="windows at a time, 4; changes no answer")
    timeline.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, …")
    timeline.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")


def _add_export(commands) -> None:
    export = commands.add_parser(
        "export",
        help="a trained network as an ONNX or OpenVINO file, checked against the network",
        epilog=EXPORT_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument("model", metavar="DIR", help="folder of a trained network, or its name on the Hub")
    export.add_argument("--format", required=True, choices=EXPORT_FORMATS, help="what is written")
    export.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder to make; DIR/onnx or DIR/openvino if not given"
    )
    export.add_argument("--json", action="store_true", help="print JSON and nothing else")
    export.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")


def _add_adapt(commands) -> None:
    adapt = commands.add_parser(
        "adapt",
        help="what a speaker-normalised network should know of a person, from his unlabelled clips",
        epilog=ADAPT_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    clips = {"type": media_of, "metavar": "CLIP", "default": []}
    adapt.add_argument("clips", nargs="*", help="clips of one person in various moods, or folders of them", **clips)
    adapt.add_argument("--clips", dest="more_clips", nargs="+", help="the same, as an option", **clips)
    adapt.add_argument("--model", required=True, help="folder of a trained network, or its name on the Hub")
    adapt.add_argument(
        "--features",
        type=feature,
        action="append",
        default=[],
        metavar="NAME=FILE.csv",
        help="table of a feature, whose clip_id are the clips' file names",
    )
    adapt.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="file to make")
    adapt.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    adapt.add_argument("--revision", help="commit or branch of a name on the Hub")
    adapt.set_defaults(error=adapt.error)


def _add_compare(commands) -> None:
    compare = commands.add_parser(
        "compare",
        help="train several methods under one protocol and put them side by side",
        epilog=COMPARE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_training_options(compare)
    compare.add_argument("--methods", nargs="+", help="names of fusion methods and ablations; all methods by default")
    compare.add_argument(
        "--ablations",
        action="store_true",
        help="TACFN and, one at a time, without each of its parts and with each option",
    )
    compare.add_argument("--protocols", nargs="+", default=["plain"], choices=PROTOCOLS, help="plain by default")
    compare.add_argument("--folds", type=int, nargs="+", help="folds that are tested; all by default")
    compare.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="0 1 2 by default")
    compare.add_argument("--num_jobs", type=positive, default=2, help="trainings at the same time, 2 by default")
    compare.add_argument("--output_dir", type=Path, default=Path("runs/comparison"))
    compare.add_argument("--missing", action="store_true", help="also score with inputs missing, noisy, full of gaps")
    compare.add_argument(
        "--adaptation", action="store_true", help="also score with few clips of a speaker known (speaker-normalised)"
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    """What `cli.shared_options` makes options of train.py of."""
    parser.add_argument("--dataset", help="corpus; configs/DATASET.yaml says how it is used, if it is there")
    parser.add_argument("--config", help="another YAML file of train.py")
    parser.add_argument("--data_dir", help="folder of the corpus")
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="more options of train.py, after two dashes")


def _add_prepare(commands) -> None:
    prepare = commands.add_parser(
        "prepare",
        help="decode, find faces and make features once, so that training opens no video",
        epilog=PREPARE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_training_options(prepare)
    prepare.add_argument("--num_proc", type=positive, default=2, help="processes, 2 by default")
    prepare.add_argument("--output", metavar="FOLDER", help="write the prepared corpus as Parquet shards")
    prepare.add_argument(
        "--push_to_hub",
        metavar="OWNER/NAME",
        help="push the shards as a dataset of the Hub, or what may be told of the clips where the licence allows no more",
    )
    prepare.add_argument(
        "--public", action="store_true", help="everybody may see the dataset; by default only its owner"
    )
    prepare.add_argument("--license", metavar="ID", help="licence of your own clips, such as cc-by-4.0, to share them")
    prepare.add_argument("--json", action="store_true", help="print JSON and nothing else")


def _add_folds(commands) -> None:
    folds = commands.add_parser(
        "folds",
        help="who is tested in which fold of a corpus",
        epilog=FOLDS_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folds.add_argument("--dataset", required=True, help="name of the corpus")
    folds.add_argument("--data_dir", help="folder of the corpus")
    folds.add_argument("--corpus", type=mapping, default={}, help='options of the corpus, as in "{channel: song}"')
    folds.add_argument(
        "--num_folds", type=positive, help="contiguous blocks of speakers; the corpus's own if not given"
    )
    folds.add_argument("--folds", metavar="FILE", help="check and show the folds of a file instead")
    folds.add_argument("--output", metavar="FILE.json", help="save the folds for train.py --folds")
    folds.add_argument("--plot", type=picture, metavar="FILE", help=f"draw the folds ({', '.join(PICTURES)})")
    folds.add_argument("--json", action="store_true", help="print JSON and nothing else")


def _add_predict(commands) -> None:
    predict = commands.add_parser(
        "predict",
        help="emotions of clips",
        # Clips first: an option that takes several files would swallow clips that follow it.
        usage="tacfn predict CLIP [CLIP ...] --model MODEL [options]",
        epilog=PREDICT_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument(
        "clips", type=media, nargs="+", metavar="CLIP", help="video or sound file; give them before the options"
    )
    predict.add_argument("--model", required=True, help="folder of a trained network, or its name on the Hub")
    sound = predict.add_mutually_exclusive_group()
    sound.add_argument("--audio", help="other sound than the clip's own (one clip only)")
    sound.add_argument("--no_audio", action="store_true", help="leave the sound out")
    predict.add_argument(
        "--features",
        type=feature,
        action="append",
        default=[],
        metavar="NAME=FILE.csv[#CLIP]",
        help="table of a feature (one clip only)",
    )
    predict.add_argument(
        "--speaker_clips",
        type=speaker_clip,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE[,NAME=FILE.csv#CLIP]",
        help="more clips of the same speaker, for a network trained on speaker-normalised features; all files up to the "
        "next option are taken",
    )
    predict.add_argument("--speaker", metavar="FILE.json", help="what `tacfn adapt` made of the speaker's clips")
    predict.add_argument(
        "--plot", type=picture, metavar="FILE", help=f"draw the answer ({', '.join(PICTURES)}; one clip only)"
    )
    predict.add_argument("--json", action="store_true", help="print JSON and nothing else")
    predict.add_argument("--top_k", type=positive, metavar="K", help="how many emotions to print; all by default")
    predict.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, …")
    predict.add_argument(
        "--runtime",
        default="auto",
        choices=RUNTIMES,
        help="what runs the network; auto: OpenVINO what `tacfn export` made of its weights if both are there, else torch",
    )
    predict.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    predict.add_argument("--revision", help="commit or branch of a name on the Hub")
    predict.set_defaults(error=predict.error)


def _check_predict(arguments: argparse.Namespace) -> None:
    given = [name for name in ("plot", "audio", "features") if getattr(arguments, name)]
    if given and len(arguments.clips) > 1:
        arguments.error(f"--{given[0]} is for one clip, got {len(arguments.clips)}; run them one at a time.")


def _check_adapt(arguments: argparse.Namespace) -> None:
    arguments.clips = [clip for clips in (*arguments.clips, *arguments.more_clips) for clip in clips]
    if not arguments.clips:
        arguments.error("expected clips of the person, got none; give files, or a folder of them.")


def feature(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE.csv or NAME=FILE.csv#CLIP, got {text!r}")
    return name, path


def mapping(text: str) -> dict:
    import yaml

    value = yaml.safe_load(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'expected a mapping such as "{{channel: song}}", got {text!r}')
    return value


def speaker_clip(text: str) -> dict:
    path, *features = text.split(",")
    return {**media(path), "features": dict(feature(item) for item in features)}


def media(path: str) -> dict:
    """A sound file is sound, anything else is a video whose sound is taken from it."""
    return {"audio": path} if Path(path).suffix.lower() in SOUNDS else {"video": path}


def media_of(path: str) -> list[dict]:
    """A file, or every sound and video file that lies directly in a folder, by name."""
    if not Path(path).is_dir():
        return [media(path)]
    files = sorted(file for file in Path(path).iterdir() if file.is_file() and not file.name.startswith("."))
    clips = [media(str(file)) for file in files if file.suffix.lower() in SOUNDS + VIDEOS]
    if not clips:
        raise argparse.ArgumentTypeError(
            f"expected sound or video files in {path} ({', '.join(SOUNDS + VIDEOS)}), found none among its {len(files)} files"
        )
    return clips


def picture(text: str) -> Path:
    return _file_name(text, PICTURES)


def timeline_file(text: str) -> Path:
    return _file_name(text, TIMELINE_FILES)


def timeline_video(text: str) -> Path:
    return _file_name(text, TIMELINE_VIDEOS)


def _file_name(text: str, endings: tuple[str, ...]) -> Path:
    if Path(text).suffix.lower() not in endings:
        raise argparse.ArgumentTypeError(f"expected a file name ending in {', '.join(endings)}, got {text!r}")
    return Path(text)


def face(text: str) -> str:
    if not re.fullmatch(r"(largest|left|right|[1-9]\d*|\d+(\.\d+)?,\d+(\.\d+)?)(@\d+(\.\d+)?)?", text):
        raise argparse.ArgumentTypeError(
            f"expected largest, left, right, a number or a point x,y, with or without @SECONDS, got {text!r}"
        )
    return text


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a number of seconds of at least 0, got {text!r}")
    return value


def share(text: str) -> float:
    value = seconds(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; messages for people go to standard error in a line, never as a traceback."""
    options = build_parser().parse_args(arguments)
    if options.command == "predict":
        _check_predict(options)
    if options.command == "adapt":
        _check_adapt(options)
    from modeling_tacfn import cli

    try:
        commands = {
            "predict": cli.predict_clips,
            "timeline": cli.follow_recording,
            "adapt": cli.adapt,
            "compare": cli.compare_methods,
            "convert": cli.convert,
            "export": cli.export,
            "folds": cli.show_folds,
            "prepare": cli.prepare,
            "push": cli.push,
            "info": cli.describe,
            "card": cli.write_card,
            "demo": cli.demo,
        }
        return commands[options.command](options)
    except (ValueError, OSError, ImportError) as error:  # the last: a package of an extra
        print(f"tacfn: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
