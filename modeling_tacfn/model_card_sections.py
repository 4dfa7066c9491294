# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The sections of a model card about what made a network: data, front ends, training, size, differences from its paper."""

import dataclasses
from collections.abc import Mapping

import torch
from transformers import AutoModel, PreTrainedConfig

from .model_card_facts import corpus_facts, network_facts
from .model_card_source import CardSource
from .model_card_text import capitalised, counted, listed, listing, plain, settings_table, shown
from .results import LEARNING_CHECK, PROTOCOL_NOTES, PUBLISHED_SPLIT, RANDOM_CLIPS, markdown_table


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
_ANSWERS = {
    "emotion": 'An answer is one of the labels above, never "none of these"; a face or a voice does not tell what a person feels.',
    "yes_no": "An answer is about what people who watched the clip called it; it does not tell what a person feels.",
    "sentiment": "A sentiment is what people who watched the clip took it to be; it does not tell what a person feels.",
}
_PARTS = {
    "inputs": "projections and CNNs of the inputs",
    "selections": "selection by self-attention",
    "weights": "fused weight vectors",
    "head": "residual head",
    "streams": "encoders",
    "mix": "fusion",
    "early": "convolutions before the intermediate fusion",
    "late": "convolutions after it",
    "intermediate": "intermediate fusion",
    "modality_classifiers": "classifiers of single inputs",
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
    goes = "goes" if len(config.modalities) == 1 else "go"
    lines = [f"{facts.title} ({facts.paper}): {facts.about}."]
    lines.append(f"This network ({form}{taken} {goes} in) gives {asked} for a clip.")
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
    if final := source.results.get("final"):
        lines.append(
            f"These weights are of one more training with the same options, on all {counted(final['clips']['train'], 'clip')} "
            f"of {counted(len(final['splits']['train']), 'speaker')}; what to expect of them are the scores of the {len(runs)}."
        )
    return " ".join(lines)


def caution(source: CardSource) -> str:
    return PROTOCOL_NOTES.get(source.results["protocol"], "") if source.results else ""


def limits(source: CardSource) -> str:
    lines, results = [corpus_facts(source.corpus).caution, _ANSWERS[source.task.name]], source.results
    if results is None:
        lines.append("Nothing is known here about how right it is.")
    elif results["protocol"] == LEARNING_CHECK:
        lines.append("Nothing was measured about people who are not in its training.")
    elif source.knows_speakers:
        speakers = counted(results["summary"]["num_speakers"], "speaker")
        tested = "This way of training" if results.get("final") else "It"
        lines.append(f"{tested} was tested on {speakers} of one corpus; scores on other corpora were not measured.")
    else:
        lines.append(
            "Whether the tested people are in its training is not known; scores on other corpora were not measured."
        )
    if source.processor and source.processor.is_speaker_normalized:
        lines.append("It assumes that several clips of a person in mixed moods are known before one is judged.")
    return "\n".join(f"- {line}" for line in lines)


def data(source: CardSource) -> str:
    facts = corpus_facts(source.corpus)
    lines = [f"{capitalised(facts.title)}: {facts.about} Source: {facts.source}."]
    options = source.settings.get("corpus")
    if options:
        lines.append(f"Options of the corpus: {listing(options)}.")
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
        sides = [_side(run, side, source.knows_speakers) for side in ("train", "validation", "test")]
        lines.append([str(run["fold"]), str(run["seed"]), *sides])
    # With the same speakers for every seed, one line per fold says it all.
    by_fold = {}
    for line in lines[2:]:
        by_fold.setdefault((line[0], *line[2:]), []).append(line[1])
    rows = [[key[0], ", ".join(seeds), *key[1:]] for key, seeds in by_fold.items()]
    if source.results["protocol"] == LEARNING_CHECK:
        note = "The same speakers are on both sides."
    elif source.knows_speakers:
        note = "No speaker is on two sides of a fold."
    else:
        note = "The corpus does not say who speaks."
    if final := source.results.get("final"):
        rows.append(["none", str(final["seed"]), _side(final, "train", source.knows_speakers), "nobody", "nobody"])
        note += " The last row is these weights."
    return f"{markdown_table(lines[:2] + rows)}\n\nSpeakers by their names in the corpus, and clips. {note}"


def _side(run: Mapping, side: str, with_names: bool) -> str:
    names, clips = run["splits"].get(side, []) if with_names else [], run.get("clips", {}).get(side)
    shown = ", ".join(names) if len(names) <= _MANY_SPEAKERS else f"{len(names)} speakers"
    if not clips and not names:
        return "nobody: the number of epochs was fixed before" if side == "validation" else "–"
    if clips is None:
        return shown
    return f"{shown} ({counted(clips, 'clip')})" if shown else counted(clips, "clip")


def preprocessing(source: CardSource) -> str:
    """Every number of the front ends that are used."""
    processor = source.processor
    if processor is None:
        return "No processor was saved with these weights: how their inputs were made is not known."
    kept = "They are saved in `processor_config.json`, and used by training and prediction alike."
    parts = []
    if processor.do_audio or processor.do_prosody:
        what = "Sound" if processor.do_audio else "Sound, for its prosody"
        about = "Hann window, Slaney mel filters; without `win_length` the window has `n_fft` samples, without `max_frequency` the "
        about += "filters reach half the rate. Lengths are in samples, frequencies in Hz."
        parts.append(f"**{what}.** {about}\n\n{settings_table(_front_end(processor.feature_extractor))}")
    if processor.do_video:
        parts.append(f"**Pictures.** Sizes are in pixels.\n\n{settings_table(_front_end(processor.image_processor))}")
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
        settings_table(options),
    ]
    augmentation = source.settings.get("augmentation")
    lines.append(f"**Augmentation**\n\n{settings_table(augmentation)}" if augmentation else "No augmentation.")
    runs = (source.results or {}).get("runs", ())
    if runs and all("best_epoch" in run for run in runs):
        kept = sorted({run["best_epoch"] for run in runs})
        lines.append(f"Kept epoch, counted from 0: {', '.join(map(str, kept))}.")
    if final := (source.results or {}).get("final"):
        runs = [final]
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
        parts = [
            *model.fusion.named_children(),
            *((name, part) for name, part in model.named_children() if name != "fusion"),
        ]
        counts = [(name, sum(p.numel() for p in part.parameters())) for name, part in parts]
        rows = [[_PARTS.get(name, name.replace("_", " ")), f"{count:,}"] for name, count in counts if count]
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
    lines = [f"- {line}" for line in (*facts.differences, *(facts.of_training if source.settings else ()))]
    start = source.settings.get("init_video_encoder")
    if start:
        lines.append(f"- The video encoder started from published weights (`{start}`).")
    elif source.settings and not getattr(config, "feature_sizes", None):
        lines.append("- Every part started from random weights; the released codes start from trained encoders.")
    if sizes := getattr(config, "feature_sizes", None):
        if set(sizes) != {"text", "audio", "vision"}:
            lines.append(
                "- The paper's feature form takes words, sound and face of IEMOCAP; the inputs here are others."
            )
        if config.spectrogram_features:
            lines.append("- A small 2-D CNN, which is ours, reads the spectrogram; the paper has a linear projection.")
    own = {field.name for field in dataclasses.fields(config)} - {
        field.name for field in dataclasses.fields(PreTrainedConfig)
    }
    default = type(config)()
    rows = []
    for name in sorted(own):
        here, usual = (plain(getattr(item, name)) for item in (config, default))
        if here != usual:
            rows.append([f"`{name}`", shown(usual), shown(here)])
    if not rows:
        return "\n".join([*lines, f"- All sizes are those of `{type(config).__name__}()`."])
    table = markdown_table([["Field", f"`{type(config).__name__}()`", "Here"], ["---", "---", "---"], *rows])
    note = "Fields in which this network differs from the defaults of its class, which are the published sizes where those are known:"
    return "\n".join(lines) + f"\n\n{note}\n\n{table}"


def licence(source: CardSource) -> str:
    return f"{corpus_facts(source.corpus).license_text} The code is Apache-2.0."


def citation(source: CardSource) -> str:
    facts = network_facts(source.config)
    paper = corpus_facts(source.corpus).source
    corpus = f"\n\nThe corpus: {paper}." if source.corpus else ""
    return f"```bibtex\n{facts.citation}\n```{corpus}"
