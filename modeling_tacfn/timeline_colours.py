# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""One colour for each emotion, the same in every picture, video and page, told apart by readers of every colour vision."""

from collections.abc import Sequence


# Okabe & Ito 2008, with two greys; names of the corpora of this package.
_COLOURS = {
    "neutral": "#999999",
    "calm": "#56B4E9",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "angry": "#D55E00",
    "fearful": "#CC79A7",
    "disgust": "#009E73",
    "surprised": "#F0E442",
}
_ALIASES = {
    "happiness": "happy",
    "joy": "happy",
    "excited": "surprised",
    "sadness": "sad",
    "anger": "angry",
    "frustrated": "fearful",
    "fear": "fearful",
    "disgusted": "disgust",
    "surprise": "surprised",
}
_OTHERS = ("#000000", "#882255", "#44AA99", "#DDCC77", "#AA4499", "#117733", "#332288", "#88CCEE")  # Tol 2012, muted
# For what is no emotion: unsure, or nothing to go by.
EMPTY = "#E4E4E4"


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """
    A colour for each label, as `#RRGGBB`.

    Args:
        labels (`Sequence[str]`): of a network. Known emotions have their own colour whatever stands beside them; where two
            labels are one emotion's, the second gets a spare one.
    """
    chosen: dict[str, str] = {}
    spare = iter(_OTHERS * (1 + len(labels) // len(_OTHERS)))
    for label in labels:
        name = label.lower()
        colour = _COLOURS.get(_ALIASES.get(name, name))
        chosen[label] = next(spare) if colour is None or colour in chosen.values() else colour
    return chosen


def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on a colour."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#FFFFFF"


__all__ = ["EMPTY", "colours_of", "ink_on"]
