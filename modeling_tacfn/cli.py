# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The `tacfn` command. Exit status: 0 done, 1 the clip or the model cannot be used, 2 wrong usage."""

import argparse
import json
import sys
import warnings
from pathlib import Path


PREDICT_EXAMPLE = """examples:
  tacfn predict clip.mp4 --model runs/synthetic --plot prediction.png
  tacfn predict speech.wav --model DIR --features 'action_units=openface_au_mean.csv#01-01-05-02-01-01-07'
  tacfn predict clip.webm --model DIR --json"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tacfn", description="Emotions from sound and face, with TACFN.")
    commands = parser.add_subparsers(dest="command", required=True)
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    predict = commands.add_parser("predict", help="emotions of clips", epilog=PREDICT_EXAMPLE, **style)
    predict.add_argument("clips", nargs="+", help="video or sound files")
    predict.add_argument("--model", required=True, help="folder of a trained network, or its name on the Hub")
    predict.add_argument("--audio", help="other sound for the clip than its own")
    predict.add_argument("--no_audio", action="store_true", help="leave the sound out")
    predict.add_argument(
        "--features",
        type=feature,
        action="append",
        default=[],
        metavar="NAME=FILE.csv[#CLIP]",
        help="table of a feature",
    )
    predict.add_argument(
        "--speaker_clips",
        type=speaker_clip,
        nargs="+",
        metavar="FILE[,NAME=FILE.csv#CLIP]",
        help="more clips of the same speaker, for a network trained on speaker-normalised features",
    )
    predict.add_argument("--plot", help="draw the answer into this file (one clip only)")
    predict.add_argument("--json", action="store_true", help="print JSON and nothing else")
    predict.add_argument("--top_k", type=int, help="how many emotions to print")
    predict.add_argument("--device", default="cpu")
    predict.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    predict.set_defaults(run=run_predict)

    info = commands.add_parser(
        "info", help="what a trained network is", epilog="example:\n  tacfn info runs/synthetic", **style
    )
    info.add_argument("model", help="folder of a trained network, or its name on the Hub")
    info.add_argument("--json", action="store_true", help="print JSON and nothing else")
    info.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    info.set_defaults(run=run_info)
    return parser


def feature(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"expected NAME=FILE.csv or NAME=FILE.csv#CLIP, got {text!r}")
    return name, path


def speaker_clip(text: str) -> dict:
    path, *features = text.split(",")
    return {**_media(path), "features": dict(feature(item) for item in features)}


def _media(path: str) -> dict:
    """A sound file is sound, anything else is a video whose sound is taken from it."""
    is_sound = Path(path).suffix.lower() in (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".opus")
    return {"audio": path} if is_sound else {"video": path}


def run_predict(arguments: argparse.Namespace) -> None:
    from .prediction import load, predict
    from .prediction_plot import plot_prediction

    if arguments.plot and len(arguments.clips) > 1:
        raise ValueError(f"--plot draws one clip, got {len(arguments.clips)}; run them one at a time.")
    model, processor = load(arguments.model, arguments.device, arguments.trust_remote_code)
    predictions = []
    for path in arguments.clips:
        inputs = _media(path)
        if arguments.audio or arguments.no_audio:
            inputs["audio"] = arguments.audio or False
        prediction = predict(
            model,
            processor,
            features=dict(arguments.features),
            speaker_clips=arguments.speaker_clips,
            source=Path(path).name,
            **inputs,
        )
        predictions.append(prediction)
        if not arguments.json:
            print(table(prediction, arguments.top_k))
        if arguments.plot:
            plot_prediction(prediction, arguments.plot)
    if arguments.json:
        answers = [prediction.to_dict() for prediction in predictions]
        print(json.dumps(answers[0] if len(answers) == 1 else answers, indent=2))
    elif arguments.plot:
        print(f"Picture: {arguments.plot}")


def table(prediction, top_k: int | None = None) -> str:
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
        lines.append(f"  {name:<12} {100 * score:5.1f} %  {'█' * round(30 * score)}")
    return "\n".join(lines)


def run_info(arguments: argparse.Namespace) -> None:
    from .prediction import load

    model, processor = load(arguments.model, trust_remote_code=arguments.trust_remote_code)
    config, sound, pictures = model.config, processor.feature_extractor, processor.image_processor
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.fusion.named_children()}
    parts["classifier"] = sum(p.numel() for p in model.classifier.parameters())
    facts = {
        "network": config.model_type,
        "parameters": model.num_parameters(),
        "parts": {name: size for name, size in parts.items() if size},
        "labels": list(config.id2label.values()),
        "sound": f"{sound.feature_type}, {sound.feature_size} numbers every {1000 * sound.hop_length / sound.sampling_rate:.1f} ms "
        f"at {sound.sampling_rate} Hz",
        "pictures": f"{pictures.num_frames} face crops of {pictures.size['height']}x{pictures.size['width']}"
        if processor.do_video
        else "none",
        "features": dict(config.feature_sizes),
        "protocol": "speaker-normalised" if processor.is_speaker_normalized else "plain",
    }
    results = Path(arguments.model) / "results.json"
    if results.is_file():
        from .results import load_results

        stored = load_results(results)
        facts["score"] = {"corpus": stored["corpus"], "protocol": stored["protocol"]} | {
            name: stored["summary"][name]["mean"] for name in ("war", "uar", "macro_f1")
        }
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{key} {item:,}" if isinstance(item, int) else f"{key} {item}" for key, item in value.items()
            )
        print(f"{name:<11} {', '.join(value) if isinstance(value, list) else value}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; messages for people go to standard error in a line, never as a traceback."""
    options = build_parser().parse_args(arguments)
    warnings.showwarning = lambda message, *details, **more: print(f"tacfn: note: {message}", file=sys.stderr)
    try:
        options.run(options)
    except (ValueError, OSError) as error:  # MediaError is a ValueError
        print(f"tacfn: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
