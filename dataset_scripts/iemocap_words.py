# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""IEMOCAP as word-level features in four yes/no tasks, as MulT and TACFN report it.

`iemocap_data.pkl`: 20 words of GloVe (300), COVAREP (74) and Facet (35); 2,717 clips to train, some 800 to choose, 938 to test. The
labels are four pairs no/yes in the order neutral, happy, sad, angry (`eval_iemocap` of the authors). A network that always
answers no is right in 59.2, 85.6, 79.4 and 75.8 % of the test clips: scores stand beside that (`sentiment_scores.yes_no_scores`).
"""

import warnings

import numpy as np

from .base import CorpusScan
from .iemocap import CITATION, HOMEPAGE, Iemocap
from .word_features import ALIGNED, HOW_TO_GET, UNALIGNED, WordFeatureConfig, WordFeatureCorpus


EMOTIONS = ["neutral", "happy", "sad", "angry"]
# Test clips of the published file that are of each emotion, in its order.
PUBLISHED_TEST_CLIPS = [383, 135, 193, 227]


class IemocapWords(WordFeatureCorpus):
    """IEMOCAP as sequences of text, sound and facial features, with four yes/no labels (`targets`).

    `IemocapWords(data_dir=..., form="aligned", padding="kept")`. The files do not say who speaks: `speaker_id` and `fold` are
    null, folds by speaker are impossible, and whether the published split (column `split`, `published_split_indices`) shares
    speakers cannot be checked. `label` is the one emotion that is answered yes, null where several or none are.
    """

    NAME = "iemocap_words"
    LABELS = EMOTIONS
    TARGETS = YES_NO_TARGETS = EMOTIONS
    LICENSE = Iemocap.LICENSE
    LICENSE_ID = Iemocap.LICENSE_ID
    WHY_NOT_SHARED = Iemocap.WHY_NOT_SHARED
    HOMEPAGE = HOMEPAGE
    CITATION = CITATION
    EXPECTED = "iemocap_data.pkl or, with form='unaligned', iemocap_data_noalign.pkl"
    HOW_TO_GET = HOW_TO_GET
    FILES = {ALIGNED: "iemocap_data.pkl", UNALIGNED: "iemocap_data_noalign.pkl"}

    def scan(self, config: WordFeatureConfig) -> CorpusScan:
        scan = super().scan(config)
        if scan.rows:
            warnings.warn(
                "iemocap_words: its files do not say who speaks, so folds by speaker are impossible; use the published split "
                "(`published_split_indices`), and say beside scores that speakers may be on two sides of it.",
                stacklevel=2,
            )
            self.check_order()
        return scan

    def check_order(self) -> None:
        """The file does not name its four tasks: the number of test clips of each does."""
        labels = self.sides["test"]["labels"]
        found = labels[..., 1].sum(axis=0).astype(int).tolist()
        if len(labels) == sum(PUBLISHED_TEST_CLIPS) and found != PUBLISHED_TEST_CLIPS:
            warnings.warn(
                f"iemocap_words: expected {PUBLISHED_TEST_CLIPS} test clips of {', '.join(EMOTIONS)}, found {found}: the "
                "emotions of this file may be in another order.",
                stacklevel=3,
            )

    def check_labels(self, labels: np.ndarray) -> None:
        if labels.shape[1:] != (len(EMOTIONS), 2):
            raise ValueError(f"{self.path}: expected labels of shape (clips, 4, 2), received {labels.shape}.")

    def pickle_row(self, side: str, index: int, arrays: dict[str, np.ndarray]) -> dict:
        pairs = arrays["labels"][index]
        if not (np.isin(pairs, (0, 1)).all() and (pairs.sum(axis=1) == 1).all()):
            raise ValueError(f"expected four pairs no/yes, received {pairs.tolist()}")
        answers = [name for name, yes in zip(EMOTIONS, pairs[:, 1], strict=True) if yes]
        return {
            "label": answers[0] if len(answers) == 1 else None,
            "label_raw": " ".join(answers),
            "targets": [float(yes) for yes in pairs[:, 1]],
            "speaker_id": None,
            "fold": None,
        }
