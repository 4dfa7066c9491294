# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The people of the synthetic corpus: what a face does (`Expression`) and whose face it is (`FaceStyle`)."""

from dataclasses import astuple, dataclass, fields

import numpy as np


Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Expression:
    """What a face does, as departures from rest; 0 is rest and 1 a full movement.

    Args:
        brow_inner (`float`): inner ends of the brows, up is positive.
        brow_outer (`float`): outer ends of the brows, up is positive.
        brow_pinch (`float`): brows drawn together.
        eye_open (`float`): upper lids, wide is positive and -1 is shut.
        squint (`float`): lower lids raised.
        smile (`float`): corners of the mouth, up is positive.
        mouth_width (`float`): mouth stretched (positive) or rounded (negative).
        mouth_open (`float`): jaw dropped.
        mouth_square (`float`): opening with square corners, teeth bared, instead of an oval.
        upper_lip (`float`): upper lip raised.
        sneer (`float`): upper lip raised on one side only.
        nose_wrinkle (`float`): wrinkles across the nose.
        head_down (`float`): head lowered.
        head_tilt (`float`): head leaning to its side.
    """

    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_pinch: float = 0.0
    eye_open: float = 0.0
    squint: float = 0.0
    smile: float = 0.0
    mouth_width: float = 0.0
    mouth_open: float = 0.0
    mouth_square: float = 0.0
    upper_lip: float = 0.0
    sneer: float = 0.0
    nose_wrinkle: float = 0.0
    head_down: float = 0.0
    head_tilt: float = 0.0

    def scaled(self, strength: float) -> "Expression":
        """Return the same movement, `strength` times as large."""
        return Expression(*(strength * value for value in astuple(self)))

    def blended(self, other: "Expression", weight: float) -> "Expression":
        """Return the expression that is `weight` of the way from this one to `other`."""
        return Expression(*((1 - weight) * a + weight * b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def jittered(self, rng: np.random.Generator, amount: float) -> "Expression":
        """Return the expression with every movement scaled by its own random factor of standard deviation `amount`."""
        factors = 1 + amount * np.clip(rng.standard_normal(len(fields(self))), -2, 2)
        return Expression(*(float(f) * value for f, value in zip(factors, astuple(self), strict=True)))


EXPRESSIONS: dict[str, Expression] = {
    "neutral": Expression(),
    "calm": Expression(0.35, 0.0, -0.2, -0.7, 0.0, 0.6, 0.1, head_tilt=0.4),
    "happy": Expression(0.2, 0.3, 0.0, -0.1, 0.75, 1.15, 0.45, 0.55, 0.3),
    "sad": Expression(1.0, -0.8, 0.5, -0.5, 0.1, -1.25, -0.12, 0.05, head_down=0.9, head_tilt=-0.7),
    "angry": Expression(-1.15, 0.35, 1.0, 0.05, 0.45, -0.45, 0.0, 0.42, 1.0, 0.1, 0.0, 0.15, 0.4),
    "fearful": Expression(0.95, -0.15, 0.7, 0.55, 0.0, -0.75, 0.5, 0.4, 0.75, 0.0, head_tilt=0.4),
    "disgust": Expression(-0.6, -0.35, 0.5, -0.5, 0.9, -0.6, -0.1, 0.14, 0.2, 1.1, 1.0, 1.2, -0.4, -0.5),
    "surprised": Expression(0.95, 0.85, -0.3, 0.6, 0.0, 0.0, -1.0, 1.15, head_down=-0.3),
}


@dataclass(frozen=True)
class FaceStyle:
    """One person's looks: colours as RGB in 0-255, lengths as factors of the average face, positions in frame heights."""

    skin: Colour
    hair: Colour
    eyes: Colour
    shirt: Colour
    backdrop: tuple[Colour, Colour]
    hair_style: str
    beard: bool
    glasses: str
    feminine: bool
    jaw: float
    chin: float
    eye_size: float
    eye_gap: float
    brow_weight: float
    brow_height: float
    nose: float
    mouth_size: float
    lip_fullness: float
    head_height: float
    head_x: float
    head_y: float
    light: float


_SKINS = [
    (250, 217, 190),
    (226, 178, 141),
    (146, 98, 68),
    (241, 200, 165),
    (188, 135, 98),
    (252, 224, 203),
    (168, 117, 83),
    (214, 164, 125),
]
_HAIRS = [
    (66, 42, 28),
    (28, 24, 26),
    (34, 26, 24),
    (164, 112, 54),
    (44, 30, 24),
    (168, 78, 38),
    (24, 22, 24),
    (104, 104, 110),
]
_EYES = [
    (88, 58, 36),
    (70, 104, 66),
    (58, 40, 28),
    (64, 108, 160),
    (84, 60, 34),
    (72, 128, 150),
    (54, 38, 28),
    (98, 112, 120),
]
_SHIRTS = [
    (52, 92, 138),
    (168, 62, 66),
    (226, 176, 66),
    (60, 122, 104),
    (118, 84, 146),
    (70, 76, 92),
    (214, 120, 84),
    (150, 172, 180),
]
_BACKDROPS = [
    ((222, 232, 238), (150, 176, 196)), ((244, 226, 206), (206, 166, 136)), ((206, 226, 214), (128, 166, 150)),
    ((232, 222, 240), (166, 148, 190)), ((246, 238, 210), (208, 190, 130)), ((214, 216, 222), (132, 140, 154)),
    ((246, 220, 218), (206, 150, 152)), ((208, 232, 240), (118, 168, 186)),
]  # fmt: skip
_MASCULINE_HAIR = ["short", "parted", "crop", "curly"]
_FEMININE_HAIR = ["long", "bob", "bun", "curly"]
_GLASSES = ["", "round", "", "", "square", "", "", "round"]


def make_face_style(speaker: int, seed: int = 0) -> FaceStyle:
    """Make the looks of speaker number `speaker` (from 1); even numbers are women, as in RAVDESS.

    Args:
        speaker (`int`): number of the speaker, from 1.
        seed (`int`, *optional*, defaults to 0): seed of the corpus; another seed gives other people.

    Returns:
        `FaceStyle`: the same for the same arguments.
    """
    rng = np.random.default_rng([seed, 101, speaker])
    # Walking through shuffled palettes keeps neighbours apart, where independent draws would make twins.
    shuffles = np.random.default_rng([seed, 102])
    orders = [shuffles.permutation(len(palette)) for palette in (_SKINS, _EYES, _SHIRTS, _BACKDROPS, _GLASSES)]
    skin, eyes, shirt, backdrop, glasses = (int(order[(speaker - 1) % len(order)]) for order in orders)
    feminine = speaker % 2 == 0
    hair_styles = _FEMININE_HAIR if feminine else _MASCULINE_HAIR

    def near(centre: float, spread: float) -> float:
        return float(rng.uniform(centre - spread, centre + spread))

    return FaceStyle(
        skin=_SKINS[skin],
        hair=_HAIRS[skin],
        eyes=_EYES[eyes],
        shirt=_SHIRTS[shirt],
        backdrop=_BACKDROPS[backdrop],
        hair_style=hair_styles[((speaker - 1) // 2 + seed) % len(hair_styles)],
        beard=not feminine and (speaker // 2 + seed) % 3 == 1,
        glasses=_GLASSES[glasses],
        feminine=feminine,
        jaw=near(0.96 if feminine else 1.04, 0.05),
        chin=near(0.98 if feminine else 1.02, 0.05),
        eye_size=near(1.08 if feminine else 0.98, 0.07),
        eye_gap=near(1.0, 0.05),
        brow_weight=near(0.8 if feminine else 1.15, 0.15),
        brow_height=near(0.0, 0.03),
        nose=near(0.95 if feminine else 1.06, 0.08),
        mouth_size=near(1.0, 0.1),
        lip_fullness=near(1.2 if feminine else 0.92, 0.15),
        head_height=near(0.62, 0.05),
        head_x=near(0.0, 0.12),
        head_y=near(0.0, 0.03),
        light=near(0.0, 1.0),
    )
