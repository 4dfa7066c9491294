# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What was published of RAVDESS: which takes there are, which archive of its record holds them, and folds of papers.

Livingstone & Russo, PLoS ONE 2018, https://doi.org/10.1371/journal.pone.0196391; https://zenodo.org/records/1188976
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


RECORD = "1188976"
EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
ACTORS = tuple(f"{actor:02d}" for actor in range(1, 25))
# Actor 18 did not sing. Disgust and surprise are not sung.
SINGERS = tuple(actor for actor in ACTORS if actor != "18")
EMOTION_CODES = {"speech": range(1, 9), "song": range(1, 7)}
CHANNEL_CODES = {"speech": "01", "song": "02"}
MODALITIES = {"01": "audio-video", "02": "video-only", "03": "audio-only"}
MEDIA = ("audio", "video", "both")


@dataclass(frozen=True)
class FoldList:
    """Test actors of each fold as a paper or its code has them, and the actors whom it trains on in every fold."""

    source: str
    folds: tuple[tuple[str, ...], ...]
    never_tested: tuple[str, ...] = ()


def _actors(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:02d}" for number in numbers)


# "6x4", blocks of four actors in order, is not here: it is what `speaker_folds` makes. It is the protocol of MSAF's code
# (`--k_fold 6` over the sorted folders, https://github.com/anita-hu/MSAF), and the folds whose first five CFN-SR's
# checkpoints come from. EmoBox has six folds of four actors as well, but drew them (its first tests actors 11 and 21).
FOLD_LISTS = {
    # Luna-Jiménez et al., Applied Sciences 2022, 12(1):327; listed in the README of cristinalunaj/MMEmotionRecognition.
    "luna-jimenez": FoldList(
        source="https://github.com/cristinalunaj/MMEmotionRecognition",
        folds=(
            _actors(2, 5, 14, 15, 16),
            _actors(3, 6, 7, 13, 18),
            _actors(10, 11, 12, 19, 20),
            _actors(8, 17, 21, 23, 24),
            _actors(1, 4, 9, 22),
        ),
    ),
    # CFN-SR's main_msaf.py cuts the sorted folders into 5 blocks of int(24 / 5) = 4: what is left over is never tested.
    "cfn_sr": FoldList(
        source="https://github.com/skeletonNN/CFN-SR",
        folds=tuple(_actors(*range(first, first + 4)) for first in range(1, 21, 4)),
        never_tested=_actors(21, 22, 23, 24),
    ),
}


def published_takes(channel: str, actors: Iterable[str] | None = None) -> set[str]:
    """The takes that were published: the last six fields of their file names, which are the same in every modality.

    Args:
        channel (`str`): `"speech"`, 60 takes of each of 24 actors, or `"song"`, 44 takes of each of 23 actors.
        actors (`Iterable[str]`, *optional*): two digits each; everyone if not given.

    Returns:
        `set[str]`: such as `"01-05-02-01-01-07"`.
    """
    known = ACTORS if channel == "speech" else SINGERS
    return {
        f"{CHANNEL_CODES[channel]}-{emotion:02d}-{intensity}-{statement}-{repetition}-{actor}"
        for actor in (known if actors is None else sorted(set(actors) & set(known)))
        for emotion in EMOTION_CODES[channel]
        for intensity in (("01",) if emotion == 1 else ("01", "02"))  # neutral is not acted strongly
        for statement in ("01", "02")
        for repetition in ("01", "02")
    }


def published_archives(channel: str, media: str = "both") -> dict[str, tuple[str, set[str]]]:
    """The archives of the record, and what each is needed for.

    Args:
        channel (`str`): `"speech"`, `"song"` or `"both"`.
        media (`str`): `"audio"`, `"video"` or `"both"`.

    Returns:
        `dict[str, tuple[str, set[str]]]`: for each name, such as `"Video_Speech_Actor_01.zip"`, a modality that it holds, and
        its takes. An archive of videos holds each take once with sound (01) and once without (02).
    """
    archives: dict[str, tuple[str, set[str]]] = {}
    for kind in ("speech", "song") if channel == "both" else (channel,):
        if media != "video":
            archives[f"Audio_{kind.title()}_Actors_01-24.zip"] = ("03", published_takes(kind))
        if media != "audio":
            for actor in ACTORS if kind == "speech" else SINGERS:
                archives[f"Video_{kind.title()}_Actor_{actor}.zip"] = ("01", published_takes(kind, [actor]))
    return archives


def compare_with_published(takes: Iterable[str], channel: str, modality: str) -> tuple[str, bool] | None:
    """Say how many of the published takes there are.

    Args:
        takes (`Iterable[str]`): those of one channel that were found in one modality.
        channel (`str`): `"speech"` or `"song"`.
        modality (`str`): `"01"`, `"02"` or `"03"`.

    Returns:
        `tuple[str, bool]` or `None`: a sentence, and whether it tells of a mistake: every actor is there, and yet the takes
        are not the published ones. `None` if they are.
    """
    takes, published = set(takes), published_takes(channel)
    if takes == published:
        return None
    actors = sorted({take[-2:] for take in takes})
    everyone = ACTORS if channel == "speech" else SINGERS
    sentence = f"{len(takes & published):,} of the {len(published):,} published {MODALITIES[modality]} {channel} takes are there"
    if not set(actors) >= set(everyone):
        return f"{sentence}, of the actors {', '.join(actors)}", False
    for kind, names in (("missing", published - takes), ("not published", takes - published)):
        if names:
            counts = Counter(EMOTIONS[int(take[3:5]) - 1] for take in sorted(names))
            listed = ", ".join(f"{modality}-{take}" for take in sorted(names)[:10])
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            emotions = ", ".join(f"{count} {emotion}" for emotion, count in counts.items())
            sentence += f"; {kind} {len(names)} ({emotions}): {listed}{more}"
    return sentence, True
