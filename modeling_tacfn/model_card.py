# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The model card that writes itself: what a trained folder, or a results file, says about a network.

No number stands in a card that is not in the files it is written from, or counted from what they hold; what they do not hold is
said to be unknown. `model_card_template.md` has the order of the sections and the words that are the same in every card.
"""

import dataclasses
import logging
import os
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from . import model_card_scores as scores
from . import model_card_sections as sections
from . import model_card_usage as usage
from .files import atomic_path
from .model_card_facts import corpus_facts
from .model_card_pictures import draw_pictures
from .model_card_source import CardSource, pictures_in, read_source


logger = logging.getLogger(__name__)

CARD_NAME = "README.md"
MARKER = "<!-- Written by `tacfn card`, which replaces this file as long as this line is in it. -->"
TEMPLATE = Path(__file__).with_name("model_card_template.md")


def model_card(
    folder: str | os.PathLike,
    repo_id: str | None = None,
    *,
    method: str | None = None,
    protocol: str | None = None,
) -> ModelCard:
    """
    Write the card of a network, without saving it.

    Args:
        folder (`str` or `os.PathLike`): what training left: the folder of a network, the folder of all runs of a method, or a
            `results.json` alone.
        repo_id (`str`, *optional*): repository on the Hub that the card is for; a placeholder stands there if not given.
        method (`str`, *optional*), protocol (`str`, *optional*): of a results file that holds several, which is meant.

    Returns:
        `ModelCard`: metadata in `data`, text in `text`, all of it as a string.

    Raises:
        ValueError: there is nothing to write of, it is damaged, or it is not clear which of several results is meant.
        OSError: a file cannot be read.

    Example:

    ```python
    >>> from modeling_tacfn.model_card import model_card

    >>> card = model_card("docs/results/synthetic.json")
    >>> card.data.license
    'apache-2.0'

    ```
    """
    return _card(_source(folder, method, protocol), repo_id)


def save_model_card(folder: str | os.PathLike, repo_id: str | None = None) -> Path:
    """
    Write `README.md` into the folder of a network, with the pictures that training has not drawn already.

    A `README.md` that somebody wrote himself, which is one without the line that this function puts into its cards, is left
    as it is, with a warning.

    Args:
        folder (`str` or `os.PathLike`): as [`model_card`] takes it, but no file.
        repo_id (`str`, *optional*): repository that the folder will be pushed to.

    Returns:
        `Path`: the card.

    Raises:
        ValueError, OSError: as [`model_card`], or nothing can be written there.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(
            f"{folder}: expected the folder of a trained network, got a file. Name a file to write to: --output."
        )
    path = folder / CARD_NAME
    source = _source(folder)
    if path.is_file() and MARKER not in path.read_text(encoding="utf-8", errors="replace"):
        logger.warning(f"{path} was not written by `tacfn card` and is kept; remove it to have one written.")
        return path
    return _save(source, path, repo_id)


def write_model_card(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    repo_id: str | None = None,
    method: str | None = None,
    protocol: str | None = None,
) -> Path:
    """
    Write a card to any file, replacing it; only pictures that lie in the same folder as the card are shown.

    Args:
        folder, repo_id, method, protocol: as [`model_card`] takes them.
        output (`str` or `os.PathLike`): the Markdown file.

    Returns:
        `Path`: the card.
    """
    source, output = _source(folder, method, protocol), Path(output)
    is_beside = source.folder is not None and output.absolute().parent == source.folder.absolute()
    return _save(source, output, repo_id, with_pictures=is_beside)


def _source(path: str | os.PathLike, method: str | None = None, protocol: str | None = None) -> CardSource:
    try:
        return read_source(Path(path), method, protocol)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(_damaged(path, error)) from error


def _damaged(path: str | os.PathLike, error: Exception) -> str:
    return f"{path}: expected what train.py writes, got something that lacks a part of it ({type(error).__name__}: {error})."


def _save(source: CardSource, path: Path, repo_id: str | None, with_pictures: bool = True) -> Path:
    if with_pictures:
        draw_pictures(source, path.parent)
    pictures = pictures_in(path.parent) if with_pictures else []
    card = _card(dataclasses.replace(source, pictures=pictures), repo_id)
    with atomic_path(path) as temporary:
        temporary.write_text(str(card), encoding="utf-8")
    return path


def _card(source: CardSource, repo_id: str | None) -> ModelCard:
    try:
        card = ModelCard.from_template(
            card_metadata(source, repo_id),
            template_path=TEMPLATE,
            marker=MARKER,
            title=sections.title(source),
            summary=" ".join(part for part in (sections.summary(source), scores.headline(source)) if part),
            caution=sections.caution(source),
            inputs=usage.inputs(source),
            outputs=usage.outputs(source),
            loading=usage.loading(source, repo_id),
            limits=sections.limits(source),
            spread=scores.spread(source),
            data=sections.data(source),
            speakers=sections.speakers(source),
            preprocessing=sections.preprocessing(source),
            training=sections.training(source),
            results=scores.results_section(source),
            per_class=scores.per_class(source),
            confusion=scores.confusion(source),
            missing=scores.missing(source),
            between_speakers=scores.between_speakers(source),
            calibration=scores.calibration(source),
            comparison=scores.comparison(source),
            size=sections.size(source),
            environment=sections.environment(source),
            differences=sections.differences(source),
            licence=sections.licence(source),
            citation=sections.citation(source),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(_damaged(source.folder or "the results file", error)) from error
    card.text = card.text.rstrip() + "\n"
    return card


def card_metadata(source: CardSource, repo_id: str | None = None) -> ModelCardData:
    """
    The block at the top of a card, by which the Hub sorts and finds it.

    Args:
        source ([`CardSource`]): what the card is written from.
        repo_id (`str`, *optional*): names the model in its `model-index`.
    """
    facts, processor = corpus_facts(source.corpus), source.processor
    hears = processor is not None and not processor.do_video and (processor.do_audio or processor.do_prosody)
    sizes = getattr(source.config, "feature_sizes", None) or {}
    takes_sound = hears and ("audio" in sizes or processor.do_prosody)
    pipeline_tag = "audio-classification" if takes_sound else "video-classification"
    results = scores.eval_results(source, pipeline_tag)
    default_name = f"{source.config.model_type}-{source.corpus}" if source.corpus else source.config.model_type
    tags = ["emotion-recognition", "audio-visual", "multimodal", source.config.model_type]
    return ModelCardData(
        language=facts.language,
        license=facts.license,
        license_name=facts.license_name,
        license_link=facts.license_link,
        library_name="transformers",
        pipeline_tag=pipeline_tag,
        tags=tags + ["custom_code"] * source.has_code,
        datasets=[facts.dataset] if facts.dataset else None,
        metrics=list(dict.fromkeys(scores.METRICS[name] for name in source.task.scores)) if source.results else None,
        model_name=(repo_id.split("/")[-1] if repo_id else default_name) if results else None,
        eval_results=results,
    )


__all__ = ["card_metadata", "model_card", "save_model_card", "write_model_card"]
