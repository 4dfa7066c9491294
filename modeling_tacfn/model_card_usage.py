# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The sections of a model card about use: what the network takes and gives, and how it is loaded."""

from .model_card_source import CardSource
from .prosody import PROSODY_NAMES
from .results import markdown_table


PLACEHOLDER = "someone/…"


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
        shape = f"(batch, {sizes[name]})" if is_static else f"(batch, steps, {sizes[name]})"
        names = [f'`features["{name}"]`', f'`feature_masks["{name}"]`']
        if name == "audio":
            names = [
                f"{key} or {other}" for key, other in zip(("`input_features`", "`audio_mask`"), names, strict=True)
            ]
        lines.append([names[0], f"`{shape}` float", _feature(source, name, is_static)])
        mask = (
            [f"`{shape}` bool", "1 for a number that is there"]
            if is_static
            else ["`(batch, steps)` bool", "1 for a step that is there"]
        )
        lines.append([names[1], *mask])
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
            "files also PyAV, soundfile and OpenCV. torchaudio is not needed; if the import of transformers fails in it (its CUDA build "
            "beside a torch for CPUs), uninstall it:",
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
    given, comments = ([], []) if sizes else (['videos="clip.mp4"'], [])
    if sizes and ("audio" in sizes and processor.do_audio or processor.do_prosody):
        given.append('audio="speech.wav"')
    values = []
    for name in config.modalities if sizes else ():
        if name == "prosody" or (name == "audio" and processor.do_audio):
            continue
        if processor.feature_columns.get(name):
            values.append(f'"{name}": "table.csv#clip"')
        else:
            shape = f"({sizes[name]},)" if name in config.static_features else f"(steps, {sizes[name]})"
            comments.append(f"# {name}: an array of shape {shape}")
            values.append(f'"{name}": {name}')
    if values:
        given.append(f"features={{{', '.join(values)}}}")
    if processor.is_speaker_normalized:
        comments.append("# ann.json: what `tacfn adapt` makes of unlabelled clips of the person")
        given.append('speaker="ann.json"')
    return [*comments, f"inputs = processor({', '.join(given)})", after]


def _code(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])
