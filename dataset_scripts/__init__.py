# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Corpora of audio-visual emotion, on one schema, with speaker-independent folds."""

from .base import CORPORA, EmotionCorpusBuilder, corpus_builder, corpus_features, load_corpus
from .folds import (
    check_disjoint,
    choose_validation_speakers,
    corpus_folds,
    published_split_indices,
    speaker_folds,
    split_indices,
)


__all__ = [
    "CORPORA",
    "EmotionCorpusBuilder",
    "check_disjoint",
    "choose_validation_speakers",
    "corpus_builder",
    "corpus_features",
    "corpus_folds",
    "load_corpus",
    "published_split_indices",
    "speaker_folds",
    "split_indices",
]
