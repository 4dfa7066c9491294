# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What is said of a long recording: windows, the stretches they stand for, and the timeline of them all."""

from dataclasses import dataclass, field, replace

import numpy as np

from .timeline_faces import FacePoint


NO_FACE, NO_SOUND, TOO_SHORT, UNSURE = "no face", "no sound", "too short", "unsure"
NOTHING = "nothing to go by"


@dataclass(frozen=True)
class Window:
    """
    The answer of one window.

    Args:
        start (`float`): in seconds from the start of the recording.
        end (`float`): likewise.
        scores (`dict[str, float]`, *optional*): of each label, in the order of the network; `None` where there is no answer.
        states (`tuple[str, ...]`): what is to be known of the answer: `"no face"`, `"no sound"` (of the inputs that the network
            takes), `"too short"` to be answered, `"unsure"`.
        box (`tuple[float, ...]`, *optional*): the face in the middle of the window: left, top, right, bottom in pixels.
        tracks (`tuple[int, ...]`): which faces the answer rests on; two numbers where the face was lost, or changed, in between.
    """

    start: float
    end: float
    scores: dict[str, float] | None = None
    states: tuple[str, ...] = ()
    box: tuple[float, ...] | None = None
    tracks: tuple[int, ...] = ()

    @property
    def emotion(self) -> str | None:
        """The label with the highest score, be it sure or not; `None` where there is no answer."""
        return max(self.scores, key=self.scores.get) if self.scores else None

    @property
    def score(self) -> float | None:
        """The highest score."""
        return max(self.scores.values()) if self.scores else None

    @property
    def said(self) -> str:
        """What stands for the window where there is room for one word: the emotion, or why there is none."""
        if self.scores is None:
            return TOO_SHORT if TOO_SHORT in self.states else NOTHING
        return UNSURE if UNSURE in self.states else self.emotion


@dataclass(frozen=True)
class Segment:
    """A stretch of the recording over which one thing is said: `windows` in a row, each standing for its middle."""

    start: float
    end: float
    said: str
    windows: tuple[Window, ...]

    @property
    def score(self) -> float | None:
        """Mean of the highest scores; `None` where there is no answer."""
        scores = [window.score for window in self.windows if window.scores]
        return sum(scores) / len(scores) if scores else None


@dataclass
class Timeline:
    """
    Emotions over a recording; grows while the recording is read.

    Args:
        source (`str`): the file.
        labels (`list[str]`): in the order of the network.
        window_seconds (`float`): length of a window; the last one may be shorter.
        hop_seconds (`float`): from the start of a window to that of the next.
        is_probability (`bool`): whether the scores are from 0 to 1.
        windows (`list[Window]`): in the order of time.
        seconds (`float`): how much of the recording has an answer, in the end all of it.
        progress (`float`): share of the recording that was read, from 0 to 1.
        is_complete (`bool`): whether the end was reached.
        notes (`list[str]`): what is to be known of all answers, such as inputs of the network that no video holds.
        faces (`list[FacePoint]`): where the followed face was, twice a second.
        frame_size (`tuple[int, int]`, *optional*): height and width of the upright pictures.
        processing_seconds (`float`): time it took, without that of whoever asks for the next windows.
        smoothing_seconds (`float`): width over which the scores were averaged, 0 for the network's own answers.
        threshold (`float`): highest scores below this count as unsure.
    """

    source: str
    labels: list[str]
    window_seconds: float
    hop_seconds: float
    is_probability: bool = True
    windows: list[Window] = field(default_factory=list)
    seconds: float = 0.0
    progress: float = 0.0
    is_complete: bool = False
    notes: list[str] = field(default_factory=list)
    faces: list[FacePoint] = field(default_factory=list)
    frame_size: tuple[int, int] | None = None
    processing_seconds: float = 0.0
    smoothing_seconds: float = 0.0
    threshold: float = 0.0

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work for a second of the recording: below 1 is faster than it plays."""
        return self.processing_seconds / self.seconds if self.seconds else None

    def refined(self, smoothing_seconds: float = 0.0, threshold: float = 0.0) -> "Timeline":
        """
        The same timeline, smoothed and with its unsure windows marked.

        Args:
            smoothing_seconds (`float`, *optional*, defaults to 0): every score becomes the mean over the windows whose middle
                lies at most half of this away; windows without an answer stay so.
            threshold (`float`, *optional*, defaults to 0): windows whose highest score is lower are unsure.

        Raises:
            ValueError: a negative number, or a threshold above 1, or one for estimates of a number, which have none.
        """
        check_refinement(smoothing_seconds, threshold, self.is_probability)
        answered = [window for window in self.windows if window.scores]
        middles = np.array([(window.start + window.end) / 2 for window in answered])
        values = np.array([list(window.scores.values()) for window in answered])
        first = np.searchsorted(middles, middles - smoothing_seconds / 2 - 1e-6)
        last = np.searchsorted(middles, middles + smoothing_seconds / 2 + 1e-6)
        smoothed = iter([values[low:high].mean(axis=0).tolist() for low, high in zip(first, last, strict=True)])
        windows = []
        for window in self.windows:
            if window.scores:
                window = replace(window, scores=dict(zip(self.labels, next(smoothed), strict=True)))
                states = tuple(state for state in window.states if state != UNSURE)
                window = replace(window, states=states + (UNSURE,) * (window.score < threshold))
            windows.append(window)
        return replace(self, windows=windows, smoothing_seconds=smoothing_seconds, threshold=threshold)

    def spans(self) -> list[tuple[float, float]]:
        """The part of the recording that each window stands for: from half-way to the one before to half-way to the next."""
        middles = [(window.start + window.end) / 2 for window in self.windows]
        cuts = [(before + after) / 2 for before, after in zip(middles, middles[1:], strict=False)]
        spans = []
        for index, window in enumerate(self.windows):
            start = max(window.start, cuts[index - 1]) if index else window.start
            end = min(window.end, cuts[index]) if index < len(cuts) else window.end
            spans.append((start, end))
        return spans

    def segments(self, said=lambda window: window.said) -> list[Segment]:
        """
        Stretches over which the same is said.

        Args:
            said (`Callable`, *optional*): what is said of a window; the emotion, or why there is none, by default.
        """
        segments: list[Segment] = []
        for window, (start, end) in zip(self.windows, self.spans(), strict=True):
            word = said(window)
            if segments and segments[-1].said == word and abs(segments[-1].end - start) < 1e-6:
                segments[-1] = replace(segments[-1], end=end, windows=(*segments[-1].windows, window))
            else:
                segments.append(Segment(start, end, word, (window,)))
        return segments

    def said_score(self, score: float) -> str:
        """A score as people read it."""
        return f"{100 * score:.0f} %" if self.is_probability else f"{score:+.2f}"


def check_refinement(smoothing_seconds: float, threshold: float, is_probability: bool) -> None:
    """Raise the ValueError of [`Timeline.refined`] before an hour of work, not after it."""
    if not smoothing_seconds >= 0 or not 0 <= threshold <= 1 or (threshold and not is_probability):
        raise ValueError(
            "expected smoothing_seconds of at least 0 and a threshold from 0 to 1, which only probabilities have, got "
            f"{smoothing_seconds} and {threshold}."
        )


__all__ = [
    "NOTHING",
    "NO_FACE",
    "NO_SOUND",
    "TOO_SHORT",
    "UNSURE",
    "Segment",
    "Timeline",
    "Window",
    "check_refinement",
]
