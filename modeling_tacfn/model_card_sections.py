# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The sections of a model card about a network: what it takes and gives, how it is loaded, what made it. Scores are elsewhere."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig

from .model_card_facts import corpus_facts, network_facts
from .model_card_source import CardSource
from .prosody import PROSODY_NAMES
from .results import LEARNING_CHECK, PROTOCOL_NOTES, PUBLISHED_SPLIT, RANDOM_CLIPS, markdown_table


PLACEHOLDER = "someone/…"
PROTOCOLS = {
    "plain": "speaker-independent: nothing of a tested speaker is seen before",
    "speaker-normalised": "speaker-independent: of a tested speaker only unlabelled clips are known, by which every feature is "
    "centred and scaled",
    LEARNING_CHECK: "scored on the very clips that it was trained on",
    RANDOM_CLIPS: "not speaker-independent: nobody knows who speaks in which clip",
    PUBLISHED_SPLIT: "the sides that came with the corpus",
}
# Options of the training that another section tells, or that say nothing about the weights.
_TOLD_ELSEWHERE = frozenset(
    [
        "dataset",
        "corpus",
        "task",
        "protocol",
        "network",
        "model",
        "audio_processor",
        "video_processor",
        "square_root_features",
        "augmentation",
        "name",
        "published_split",
        "modalities",
    ]
)
_ABOUT_FRONT_ENDS = ("auto_map", "feature_extractor_type", "image_processor_type", "processor_class", "backend")
_MANY_SPEAKERS = 40
_PARTS = {
    "video_encoder": "video encoder",
    "audio_encoder": "sound encoder",
    "selection": "selection by self-attention",
    "fused_weight": "fused weight vector",
}


def title(source: CardSource) -> str:
    facts = network_facts(source.config)
    if source.corpus is None:
        return facts.title
    return f"{facts.title} on {corpus_facts(source.corpus).title}"


def summary(source: CardSource) -> str:
    """What it is, in a paragraph."""
    facts, config = network_facts(source.config), source.config
    asked = {
        "emotion": f"one of {len(source.task.labels)} labels",
        "yes_no": f"an answer to each of {len(source.task.labels)} yes/no questions",
        "sentiment": "a sentiment from -3 (negative) to 3 (positive)",
    }[source.task.name]
    form = "feature form: " if getattr(config, "feature_sizes", None) else ""
    taken = listed(name.replace("_", " ") for name in config.modalities)
    lines = [
        f"{facts.title} ({facts.paper}): {facts.about}. This network ({form}{taken} go in) gives {asked} for a clip."
    ]
    if len(config.modalities) == 1:
        lines[0] = lines[0].replace(" go in)", " goes in)")
    if source.results is None:
        lines.append("It was not scored: no results lie beside the weights.")
        return " ".join(lines)
    protocol = source.results["protocol"]
    runs = source.results["runs"]
    if len(runs) == 1:
        lines.append(f"One training (fold {runs[0]['fold']}, seed {runs[0]['seed']}), {PROTOCOLS[protocol]}.")
    else:
        scored = source.results["summary"]
        folds, seeds = (counted(len(scored[key]), noun) for key, noun in (("folds", "fold"), ("seeds", "seed")))
        lines.append(f"{len(runs)} trainings ({folds}, {seeds}), {PROTOCOLS[protocol]}.")
    return " ".join(lines)


def caution(source: CardSource) -> str:
    return PROTOCOL_NOTES.get(source.results["protocol"], "") if source.results else ""


def inputs(source: CardSource) -> str:
    """A table of the tensors that the network takes, and how the processor makes them."""
    config, lines = source.config, [["Input", "Shape", "What it is"], ["---", "---", "---"]]
    sizes = getattr(config, "feature_sizes", None)
    if not sizes:
        lines += [
            ["`input_features`", f"`(batch, steps, {config.audio_coefficients})` float", _sound(source)],
            ["`audio_mask`", "`(batch, steps)` bool", "1 for a step of the clip, 0 for padding or no sound"],
            ["`pixel_values_videos`", _video_shape(source), _pictures(source)],
            ["`video_mask`", "`(batch, frames)` bool", "1 for a frame with a usable face"],
        ]
    for name in config.modalities if sizes else ():
        is_static = name in config.static_features
        shape = f"`(batch, {sizes[name]})`" if is_static else f"`(batch, steps, {sizes[name]})`"
        lines.append([f'`features["{name}"]`', f"{shape} float", _feature(source, name, is_static)])
        if not is_static:
            lines.append([f'`feature_masks["{name}"]`', "`(batch, steps)` bool", "1 for a step that is there"])
    absent = (
        "Any input may be absent, for the batch or for single clips, and any length is taken."
        if len(config.modalities) > 1
        else "Any length is taken."
    )
    return (
        f"{markdown_table(lines)}\n\n{absent} The processor makes them of files or arrays. A clip's answer is the same alone, in any "
        "batch and with any padding."
    )


def _sound(source: CardSource) -> str:
    if source.processor is None:
        return "coefficients of the sound; what makes them was not saved with the weights"
    sound = source.processor.feature_extractor
    kind = {"mfcc": "MFCC", "log_mel": "log-mel levels in dB"}[sound.feature_type]
    step = 1000 * sound.hop_length / sound.sampling_rate
    return f"{sound.feature_size} {kind} every {step:.1f} ms of mono sound at {sound.sampling_rate:,} Hz; other rates are resampled"


def _video_shape(source: CardSource) -> str:
    if source.processor is None:
        return "`(batch, frames, 3, height, width)` float"
    size = source.processor.image_processor.size
    frames = source.processor.image_processor.num_frames or "frames"
    return f"`(batch, {frames}, 3, {size['height']}, {size['width']})` float"


def _pictures(source: CardSource) -> str:
    if source.processor is None:
        return "normalised pictures; what makes them was not saved with the weights"
    pictures = source.processor.image_processor
    what = "crops of the face" if pictures.do_face_crop else "centre squares of the frames, taken to be faces"
    order = "blue first" if pictures.do_flip_channel_order else "red first"
    return f"{what}, taken evenly over the clip at any frame rate, {order}, normalised"


def _feature(source: CardSource, name: str, is_static: bool) -> str:
    processor, size = source.processor, source.config.feature_sizes[name]
    once = "one vector per clip" if is_static else "a vector per step"
    if name == "prosody" and size == len(PROSODY_NAMES):
        return f"{once}: pitch, loudness, rhythm and voice quality, which the processor measures in the sound"
    if name == "audio" and processor is not None and processor.do_audio:
        return _sound(source)
    columns = processor.feature_columns.get(name) if processor else None
    said = f"{once}, measured by another program" + (f": {', '.join(columns)}" if columns and size <= 60 else "")
    if processor and name in processor.square_root_features:
        said += "; the processor takes the square root"
    return said


def outputs(source: CardSource) -> str:
    labels = source.task.labels
    shape = f"`logits` has the shape `(batch, {len(labels)})`"
    if source.task.name == "sentiment":
        return f"{shape}: the sentiment itself, from -3 to 3."
    lines = [["Index", "Label"], ["---:", "---"], *([str(index), name] for index, name in enumerate(labels))]
    said = "a softmax makes probabilities of it" if source.task.name == "emotion" else "a sigmoid gives each yes"
    return f"{shape}; {said}, in this order:\n\n{markdown_table(lines)}"


def loading(source: CardSource, repo_id: str | None) -> str:
    """Both ways to load it, with a call that fits what it takes."""
    name = repo_id or PLACEHOLDER
    if source.runs:
        return (
            f"Each run has a folder of its own ({', '.join(f'`{run}`' for run in source.runs)}). With the package installed:\n\n"
            + _code(
                "import modeling_tacfn  # registers the classes with transformers",
                "from huggingface_hub import snapshot_download",
                "from transformers import AutoModel, AutoProcessor",
                "",
                f'folder = snapshot_download("{name}") + "/{source.runs[0]}"',
                "model = AutoModel.from_pretrained(folder).eval()",
                "processor = AutoProcessor.from_pretrained(folder)",
                *_call(source),
            )
        )
    if source.folder is None:
        intro = "This card is made of results alone; no weights lie beside it. A folder that training left, or a repository "
        intro += f"`{PLACEHOLDER}` that holds one, is loaded so."
    else:
        intro = (
            f"`{PLACEHOLDER}` stands for the repository, or the folder, that holds this card." if not repo_id else ""
        )
    installed = _code(
        "import modeling_tacfn  # registers the classes with transformers",
        "from transformers import AutoModel, AutoProcessor",
        "",
        f'model = AutoModel.from_pretrained("{name}").eval()',
        *([f'processor = AutoProcessor.from_pretrained("{name}")'] if source.processor else []),
        *_call(source),
    )
    remote = _code(
        "from transformers import AutoModel, AutoProcessor",
        "",
        'revision = "…"  # the commit that you have read: its code is run',
        f'model = AutoModel.from_pretrained("{name}", trust_remote_code=True, revision=revision).eval()',
        f'processor = AutoProcessor.from_pretrained("{name}", trust_remote_code=True, revision=revision)',
        *_call(source),
    )
    parts = [intro] if intro else []
    parts += ["With the package `modeling_tacfn` installed, which runs no code of the repository:", installed]
    travels = source.has_code or (source.folder is None and source.config.model_type != "tacfn_baseline")
    if travels and source.processor:
        parts += [
            "Without it, by the code that travels with the weights. That needs torch, transformers, scipy and Pillow; to open media "
            "files also PyAV, soundfile and OpenCV:",
            remote,
        ]
    else:
        parts.append(
            "The code of this network does not travel with its weights: without the package it cannot be loaded."
        )
    return "\n\n".join(parts)


def _call(source: CardSource) -> list[str]:
    config, processor = source.config, source.processor
    if processor is None:
        return ["", "# No processor was saved with these weights: the inputs above have to be made by hand."]
    after = {
        "emotion": "scores = model(**inputs).logits.softmax(-1)",
        "yes_no": "answers = model(**inputs).logits.sigmoid()",
        "sentiment": "sentiment = model(**inputs).logits[:, 0]",
    }[source.task.name]
    sizes = getattr(config, "feature_sizes", None) or {}
    heard = (processor.do_audio and "audio" in sizes) or processor.do_prosody
    own = [name for name in sizes if name != "prosody" and not (name == "audio" and processor.do_audio)]
    given = ['audio="speech.wav"'] if heard else []
    if own:
        example = "table.csv" if any(processor.feature_columns.get(name) for name in own) else None
        values = ", ".join(f'"{name}": "{example}#clip"' if example else f'"{name}": {name}' for name in own)
        given.append(f"features={{{values}}}")
    if not sizes:
        given = ['videos="clip.mp4"']
    if processor.is_speaker_normalized:
        given.append('speaker="ann.json"')
    lines = [f"inputs = processor({', '.join(given)})"]
    if processor.is_speaker_normalized:
        lines.insert(0, "# ann.json: what `tacfn adapt` makes of unlabelled clips of the person")
    return [*lines, after]


def _code(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def limits(source: CardSource) -> str:
    facts = corpus_facts(source.corpus)
    lines = [facts.caution]
    if source.results:
        speakers = source.results["summary"]["num_speakers"]
        known = any(run.get("splits", {}).get("test") for run in source.results["runs"])
        if known and source.results["protocol"] != LEARNING_CHECK:
            lines.append(
                f"It was tested on {counted(speakers, 'speaker')} of one corpus; scores on other corpora were not measured."
            )
        else:
            lines.append("Nothing was measured about people who are not in its training.")
    else:
        lines.append("Nothing is known here about how right it is.")
    if source.config.problem_type is None and source.processor and source.processor.is_speaker_normalized:
        lines.append("It assumes that several clips of a person in mixed moods are known before one is judged.")
    return "\n".join(f"- {line}" for line in lines)


def data(source: CardSource) -> str:
    facts = corpus_facts(source.corpus)
    lines = [f"{capitalised(facts.title)}: {facts.about} Source: {facts.source}."]
    options = source.settings.get("corpus")
    if options:
        lines.append(f"Options of the corpus: {_listing(options)}.")
    if source.settings.get("modalities"):
        lines.append(f"Only these inputs were used: {listed(source.settings['modalities'])}.")
    return " ".join(lines)


def speakers(source: CardSource) -> str:
    """Who was trained on, who chose the epoch and who was tested, by fold."""
    runs = [run for run in (source.results or {}).get("runs", ()) if run.get("splits")]
    if not runs:
        return "Which clips it was trained on is not recorded."
    header = ["Fold", "Seed", "Trained on", "Chose the epoch", "Tested"]
    lines = [header, ["---:", "---:", "---", "---", "---"]]
    for run in runs:
        sides = [_side(run, side) for side in ("train", "validation", "test")]
        lines.append([str(run["fold"]), str(run["seed"]), *sides])
    # With the same speakers for every seed, one line per fold says it all.
    by_fold = {}
    for line in lines[2:]:
        by_fold.setdefault((line[0], *line[2:]), []).append(line[1])
    rows = [[key[0], ", ".join(seeds), *key[1:]] for key, seeds in by_fold.items()]
    unknown = "" if any(run["splits"]["train"] for run in runs) else " The corpus does not say who speaks."
    protocol = source.results["protocol"]
    shared = "The same speakers are on both sides." if protocol == LEARNING_CHECK else ""
    if not shared and not unknown:
        shared = "No speaker is on two sides of a fold."
    return f"{markdown_table(lines[:2] + rows)}\n\nSpeakers by their names in the corpus, and clips. {shared}{unknown}".rstrip()


def _side(run: Mapping, side: str) -> str:
    names, clips = run["splits"].get(side, []), run.get("clips", {}).get(side)
    shown = ", ".join(names) if len(names) <= _MANY_SPEAKERS else f"{len(names)} speakers"
    if not clips and not names:
        return "nobody: the number of epochs was fixed before" if side == "validation" else "–"
    return f"{shown} ({counted(clips, 'clip')})".lstrip() if clips is not None else shown


def preprocessing(source: CardSource) -> str:
    """Every number of the front ends that are used."""
    processor = source.processor
    if processor is None:
        return "No processor was saved with these weights: how their inputs were made is not known."
    kept = "They are saved in `processor_config.json`, and used by training and prediction alike."
    parts = []
    if processor.do_audio or processor.do_prosody:
        what = "Sound" if processor.do_audio else "Sound, for its prosody"
        parts.append(f"**{what}**\n\n{_table(_front_end(processor.feature_extractor))}")
    if processor.do_video:
        parts.append(f"**Pictures**\n\n{_table(_front_end(processor.image_processor))}")
    if not parts:
        parts.append("The network takes ready-made features; no front end makes them.")
        kept = ""
    standardised = "Sound and named features are centred and scaled by the mean and deviation of the training clips, kept with the weights."
    if processor.is_speaker_normalized:
        standardised = "Sound and named features are centred and scaled by the clips of each speaker."
    if source.results is None:
        standardised = ""
    return "\n\n".join([*parts, " ".join(text for text in (kept, standardised) if text)]).rstrip()


def _front_end(part) -> dict:
    return {name: value for name, value in part.to_dict().items() if name not in _ABOUT_FRONT_ENDS}


def training(source: CardSource) -> str:
    """Options of the training, and how long it went."""
    if not source.settings:
        return "How it was trained is not recorded."
    options = {name: value for name, value in source.settings.items() if name not in _TOLD_ELSEWHERE}
    lines = [
        "AdamW; the learning rate rises over the first share `warmup` of the steps and falls as a cosine.",
        _table(options),
    ]
    augmentation = source.settings.get("augmentation")
    lines.append(f"**Augmentation**\n\n{_table(augmentation)}" if augmentation else "No augmentation.")
    runs = (source.results or {}).get("runs", ())
    if runs and all("best_epoch" in run for run in runs):
        kept = sorted({run["best_epoch"] for run in runs})
        lines.append(f"Kept epoch, counted from 0: {', '.join(map(str, kept))}.")
    seconds = [epoch["seconds"] for run in runs for epoch in run.get("history", ()) if "seconds" in epoch]
    if seconds:
        lines.append(f"The {counted(len(seconds), 'epoch')} of {counted(len(runs), 'run')} took {sum(seconds):.0f} s.")
    if "learning_curve.png" in source.pictures:
        lines.append("![Losses and scores over the epochs](learning_curve.png)")
    return "\n\n".join(lines)


def size(source: CardSource) -> str:
    """Parameters, bytes and time."""
    results = source.results or {}
    with torch.device("meta"):
        model = AutoModel.from_config(source.config)
    parameters = results.get("num_parameters") or model.num_parameters()
    lines = [f"{parameters:,} parameters."]
    if source.weight_bytes:
        lines[0] += f" `model.safetensors` has {source.weight_bytes:,} bytes."
    if parameters == model.num_parameters():
        parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.fusion.named_children()}
        parts["classifier"] = sum(p.numel() for p in model.classifier.parameters()) if model.classifier else 0
        rows = [[_PARTS.get(name, name.replace("_", " ")), f"{count:,}"] for name, count in parts.items() if count]
        lines.append(markdown_table([["Part", "Parameters"], ["---", "---:"], *rows]))
    seconds = results.get("seconds_per_clip")
    lines.append(
        f"{1000 * seconds:.1f} ms for a clip: median time in the network alone, one clip at a time, on the processor below."
        if seconds
        else "How long a clip takes was not measured with these results."
    )
    return "\n\n".join(lines)


def environment(source: CardSource) -> str:
    made = (source.results or {}).get("environment")
    if not made:
        return "What it was trained with is not recorded."
    system = str(made.get("platform") or "not recorded").split("-")[0]
    rows = {
        "command": f"`{made.get('command') or 'not recorded'}`",
        "modeling_tacfn": made.get("modeling_tacfn"),
        "Python": made.get("python"),
        **(made.get("packages") or {}),
        "system": system,
        "processor": made.get("processor"),
        "threads": made.get("num_threads"),
        "accelerators": ", ".join(made.get("accelerators") or ()) or "none",
    }
    lines = [[name, str(value) if value not in (None, "") else "not recorded"] for name, value in rows.items()]
    return markdown_table([["What", "Which"], ["---", "---"], *lines])


def differences(source: CardSource) -> str:
    """What is not as in the paper: of every such network, and of this one by its configuration."""
    facts, config = network_facts(source.config), source.config
    lines = [f"- {line}" for line in facts.differences]
    start = source.settings.get("init_video_encoder")
    if start:
        lines.append(f"- The video encoder started from published weights (`{start}`).")
    elif source.settings and not getattr(config, "feature_sizes", None):
        lines.append("- Every part started from random weights; the papers start from trained encoders.")
    own = {field.name for field in dataclasses.fields(config)} - {
        field.name for field in dataclasses.fields(PreTrainedConfig)
    }
    default = type(config)()
    rows = []
    for name in sorted(own):
        here, usual = (_plain(getattr(item, name)) for item in (config, default))
        if here != usual:
            rows.append([f"`{name}`", _shown(usual), _shown(here)])
    if not rows:
        return "\n".join([*lines, f"- All sizes are those of `{type(config).__name__}()`."])
    table = markdown_table([["Field", f"`{type(config).__name__}()`", "Here"], ["---", "---", "---"], *rows])
    return "\n".join(lines) + f"\n\n{table}"


def licence(source: CardSource) -> str:
    return f"{corpus_facts(source.corpus).license_text} The code is Apache-2.0."


def citation(source: CardSource) -> str:
    facts = network_facts(source.config)
    paper = corpus_facts(source.corpus).source
    corpus = f"\n\nThe corpus: {paper}." if source.corpus else ""
    return f"```bibtex\n{facts.citation}\n```{corpus}"


def listed(names: Iterable[str]) -> str:
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listing(values: Mapping) -> str:
    return ", ".join(f"`{name}` {_shown(value)}" for name, value in values.items())


def _table(values: Mapping) -> str:
    rows = [[f"`{name}`", _shown(value)] for name, value in values.items()]
    return markdown_table([["Setting", "Value"], ["---", "---"], *rows])


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _shown(value: Any) -> str:
    """A value as its file holds it; for none a word."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
