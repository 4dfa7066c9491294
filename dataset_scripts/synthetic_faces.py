# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Draws the faces of the synthetic corpus: a person (`FaceStyle`), what the face does (`Expression`), one picture (`draw_face`).

Everything is drawn in face units: the face is about 2 units wide, x grows to the right of the picture and y downwards, with the origin
between the eyes and the tip of the nose. One affine map takes face units to pixels, so head position, size and tilt come for free.
"""

import functools
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import cv2
import numpy as np


FRAME_SIZE = (384, 288)
_SUPERSAMPLING = 2
_FIXED_POINT_BITS = 4
# The shading of a head is computed once per person, on this grid of face units, and laid over every frame.
_SHADE_LEFT, _SHADE_TOP, _SHADE_RIGHT, _SHADE_BOTTOM, _SHADE_STEP = -1.5, -1.8, 1.5, 2.4, 0.02

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
    "sad": Expression(1.0, -0.75, 0.5, -0.38, 0.1, -1.15, -0.12, 0.05, head_down=0.9, head_tilt=-0.7),
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
    (198, 148, 78),
    (44, 30, 24),
    (168, 78, 38),
    (24, 22, 24),
    (120, 120, 124),
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


def _curve(points: Sequence[tuple[float, float]] | np.ndarray, closed: bool = True, steps: int = 6) -> np.ndarray:
    """Return a smooth (Catmull-Rom) curve through the points."""
    knots = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def _mirrored(right: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the right-hand outline followed by its mirror image, bottom to top."""
    return [*right, *((-x, y) for x, y in reversed(right) if x != 0)]


def _oval(x: float, y: float, width: float, height: float, steps: int = 24) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=1)


def _mix(a: Colour, b: Colour, weight: float) -> Colour:
    return tuple(int(round((1 - weight) * x + weight * y)) for x, y in zip(a, b, strict=True))


def _dark(colour: Colour, factor: float) -> Colour:
    return tuple(int(min(255, factor * c)) for c in colour)


class _Canvas:
    """A picture that is drawn on in face units."""

    def __init__(self, image: np.ndarray, matrix: np.ndarray):
        self.image = image
        self.matrix = matrix
        self.scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        moved = np.asarray(points) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.round(moved * 2**_FIXED_POINT_BITS).astype(np.int32)

    def fill(self, points: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.image, [self.pixels(points)], colour, cv2.LINE_AA, _FIXED_POINT_BITS)

    def stroke(self, points: np.ndarray, width: float, colour: Colour, closed: bool = False) -> None:
        thickness = max(1, int(round(width * self.scale)))
        cv2.polylines(self.image, [self.pixels(points)], closed, colour, thickness, cv2.LINE_AA, _FIXED_POINT_BITS)

    def inside(self, outline: np.ndarray) -> "_Clip":
        """Return a context whose canvas shows only inside the outline."""
        return _Clip(self, outline)


class _Clip:
    def __init__(self, canvas: _Canvas, outline: np.ndarray):
        self.canvas, self.outline = canvas, outline

    def __enter__(self) -> _Canvas:
        corners = self.canvas.pixels(self.outline) // 2**_FIXED_POINT_BITS
        height, width = self.canvas.image.shape[:2]
        left, top = np.clip(corners.min(axis=0) - 2, 0, (width, height))
        right, bottom = np.clip(corners.max(axis=0) + 3, 0, (width, height))
        self.window = np.s_[top:bottom, left:right]
        matrix = self.canvas.matrix.copy()
        matrix[:, 2] -= left, top
        self.inner = _Canvas(self.canvas.image[self.window].copy(), matrix)
        return self.inner

    def __exit__(self, *failure: object) -> None:
        target = self.canvas.image[self.window]
        if target.size == 0:
            return
        mask = np.zeros(target.shape[:2], dtype=np.uint8)
        cv2.fillPoly(mask, [self.inner.pixels(self.outline)], 255, cv2.LINE_AA, _FIXED_POINT_BITS)
        weight = mask[..., None].astype(np.uint16)
        target[:] = (self.inner.image * weight + target * (255 - weight) + 127) // 255


def _face_outline(style: FaceStyle, jaw_drop: float) -> np.ndarray:
    jaw, chin = style.jaw, style.chin
    right = [(0, -1.32), (0.52, -1.24), (0.88, -0.85), (0.98, -0.3), (0.96, 0.2), (0.86 * jaw, 0.68 + 0.3 * jaw_drop)]
    right += [
        (0.6 * jaw, 1.06 * chin + 0.8 * jaw_drop),
        (0.27 * jaw, 1.29 * chin + jaw_drop),
        (0, 1.33 * chin + jaw_drop),
    ]
    return _curve(_mirrored(right))


@functools.lru_cache(maxsize=64)
def _shading(style: FaceStyle) -> np.ndarray:
    """Light and shadow of the head on the face-unit grid, 128 = unchanged; Haar cascades look for exactly this relief."""
    x, y = np.meshgrid(
        np.arange(_SHADE_LEFT, _SHADE_RIGHT, _SHADE_STEP), np.arange(_SHADE_TOP, _SHADE_BOTTOM, _SHADE_STEP)
    )

    def blob(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)

    def pair(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return blob(-cx, cy, rx, ry) + blob(cx, cy, rx, ry)

    eye_x = 0.42 * style.eye_gap
    light = 0.10 * blob(0, -0.85, 0.55, 0.3) + 0.10 * blob(0, 0.05, 0.1, 0.42) + 0.12 * pair(0.52, 0.38, 0.26, 0.2)
    light += 0.06 * blob(0, 1.12, 0.2, 0.12)
    light -= 0.32 * pair(eye_x, -0.12, 0.35, 0.19) + 0.10 * pair(0.17, -0.1, 0.08, 0.16)
    light -= 0.16 * blob(0, 0.56, 0.2, 0.07) + 0.10 * blob(0, 0.97, 0.22, 0.06)
    light -= 0.13 * np.clip(np.hypot(x / 1.02, (y - 0.02) / 1.38) - 0.55, 0, None) ** 1.5 * 2.2
    light += 0.07 * style.light * np.tanh(1.5 * x)
    rosy = 0.05 * pair(0.55, 0.42, 0.25, 0.2)
    shade = 1 + np.stack([light + rosy, light - 0.5 * rosy, light - 0.4 * rosy], axis=-1)
    return cv2.GaussianBlur(np.clip(128 * shade, 0, 255), (0, 0), 2.0).astype(np.uint8)


@functools.lru_cache(maxsize=16)
def _backdrop(style: FaceStyle, width: int, height: int) -> np.ndarray:
    """A wall with a soft pool of light, and a few out-of-focus lamps of this person's room."""
    inner, outer = (np.array(colour, dtype=np.float32) for colour in style.backdrop)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    distance = np.clip(np.hypot(x - 0.5 * width / height - 0.25 * style.light, y - 0.35) / 0.95, 0, 1)[..., None]
    wall = inner + (outer - inner) * distance**1.3
    rng = np.random.default_rng(int(1e6 * abs(style.head_height)))
    lamps = np.zeros((height, width), dtype=np.float32)
    for _ in range(7):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, 0.8 * height)))
        cv2.circle(lamps, centre, int(rng.uniform(0.04, 0.13) * height), float(rng.uniform(4, 13)), -1, cv2.LINE_AA)
    wall += cv2.GaussianBlur(lamps, (0, 0), 0.006 * height)[..., None]
    return np.clip(wall, 0, 255).astype(np.uint8)


def _draw_hair_behind(canvas: _Canvas, style: FaceStyle) -> None:
    colour = _dark(style.hair, 0.8)
    if style.hair_style == "long":
        canvas.fill(
            _curve(
                _mirrored([(0, -1.62), (0.75, -1.45), (1.16, -0.8), (1.2, 0.2), (1.3, 1.2), (1.15, 1.9), (0.5, 2.0)])
            ),
            colour,
        )
    elif style.hair_style == "bob":
        canvas.fill(
            _curve(_mirrored([(0, -1.6), (0.75, -1.43), (1.16, -0.8), (1.24, 0.1), (1.22, 0.8), (0.9, 1.0)])), colour
        )
    elif style.hair_style == "bun":
        canvas.fill(_oval(0.0, -1.72, 0.42, 0.36), colour)
        canvas.fill(_curve(_mirrored([(0, -1.52), (0.7, -1.36), (1.03, -0.8), (1.02, 0.0), (0.8, 0.3)])), colour)
    elif style.hair_style == "curly":
        reach = 0.55 if style.feminine else -0.25
        for angle in np.linspace(-np.pi / 2 - 2.05 - reach * 0.5, -np.pi / 2 + 2.05 + reach * 0.5, 15):
            canvas.fill(_oval(1.02 * np.cos(angle), -0.35 + 1.12 * np.sin(angle), 0.3, 0.3), colour)


def _draw_hair_front(canvas: _Canvas, style: FaceStyle) -> None:
    colour, gloss = style.hair, _mix(style.hair, (255, 240, 220), 0.18)
    if style.hair_style in ("long", "bob", "bun"):
        side = 0.25 if style.hair_style == "bun" else 0.55
        fringe = [
            (1.02, side),
            (1.08, -0.4),
            (0.98, -1.05),
            (0.6, -1.42),
            (0.0, -1.56),
            (-0.6, -1.42),
            (-0.98, -1.05),
            (-1.08, -0.4),
        ]
        fringe += [
            (-1.02, side),
            (-0.95, -0.25),
            (-0.9, -0.56),
            (-0.55, -0.82),
            (-0.1, -1.0),
            (0.38, -0.86),
            (0.88, -0.54),
            (0.95, -0.25),
        ]
        canvas.fill(_curve(fringe), colour)
        canvas.stroke(_curve([(-0.12, -1.14), (-0.5, -1.16), (-0.86, -0.88)], closed=False), 0.035, gloss)
        canvas.stroke(_curve([(0.05, -1.2), (0.45, -1.18), (0.86, -0.86)], closed=False), 0.035, gloss)
    elif style.hair_style == "curly":
        for angle in np.linspace(-np.pi / 2 - 1.2, -np.pi / 2 + 1.2, 10):
            canvas.fill(_oval(0.92 * np.cos(angle), -0.28 + 1.08 * np.sin(angle), 0.23, 0.2), colour)
    else:
        top, temple, line = {
            "short": (-1.6, -0.2, -0.86),
            "parted": (-1.66, -0.15, -0.84),
            "crop": (-1.48, -0.25, -0.9),
        }[style.hair_style]
        shape = [
            (0.98, temple),
            (1.06, -0.75),
            (0.86, -1.2),
            (0.4, top + 0.08),
            (-0.1, top),
            (-0.6, top + 0.14),
            (-0.95, -1.1),
            (-1.06, -0.7),
        ]
        shape += [(-0.98, temple), (-0.92, -0.62), (-0.72, line + 0.08)]
        shape += (
            [(-0.42, line - 0.14), (0.1, line), (0.6, line + 0.12)]
            if style.hair_style == "parted"
            else [(0, line - 0.05), (0.72, line + 0.08)]
        )
        canvas.fill(_curve([*shape, (0.92, -0.62)]), colour)
        canvas.stroke(_curve([(-0.6, top + 0.34), (-0.1, top + 0.2), (0.4, top + 0.28)], closed=False), 0.04, gloss)


def _draw_body(canvas: _Canvas, style: FaceStyle, jaw_drop: float) -> None:
    shoulders = [(0, 1.72), (0.45, 1.72), (0.95, 1.9), (1.6, 2.12), (1.95, 2.6), (2.1, 3.6)]
    canvas.fill(_curve(_mirrored(shoulders)), style.shirt)
    neck = _curve(_mirrored([(0, 0.9), (0.48, 0.9), (0.5, 1.5), (0.62, 1.78), (0.3, 2.08), (0, 2.16)]))
    canvas.fill(neck, _dark(style.skin, 0.92))
    with canvas.inside(neck) as shadow:
        for depth, tone in ((0.26, 0.85), (0.2, 0.79), (0.14, 0.73)):
            shadow.fill(_face_outline(style, jaw_drop) + (0, depth), _dark(style.skin, tone))
    canvas.stroke(
        _curve([(-0.62, 1.76), (-0.32, 2.1), (0, 2.18), (0.32, 2.1), (0.62, 1.76)], closed=False),
        0.07,
        _dark(style.shirt, 0.75),
    )


def _draw_ears(canvas: _Canvas, style: FaceStyle) -> None:
    for side in (-1, 1):
        canvas.fill(_oval(side * 1.0, 0.08, 0.15, 0.27), _dark(style.skin, 0.93))
        rim = _curve([(1.02, -0.08), (1.09, 0.03), (1.05, 0.2)], closed=False) * (side, 1)
        canvas.stroke(rim, 0.03, _dark(style.skin, 0.75))


def _draw_eye(canvas: _Canvas, style: FaceStyle, side: int, face: Expression, gaze: float) -> None:
    x, y = side * 0.42 * style.eye_gap, -0.1
    half = 0.235 * style.eye_size
    opening = max(1 + 0.75 * face.eye_open, 0.0)
    upper, lower = (
        0.145 * style.eye_size * opening,
        0.085 * style.eye_size * max(min(opening, 1.15) - 0.65 * face.squint, 0.0),
    )
    slant = 0.03 + 0.05 * (face.brow_outer - face.brow_inner)
    t = np.linspace(-1, 1, 13)
    tilt = -slant * t * side
    xs = x + half * t
    lid = np.stack([xs, y + tilt - upper * (1 - np.abs(t) ** 2.2)], axis=1)
    under = np.stack([xs, y + tilt + lower * (1 - t**2)], axis=1)
    outline = np.concatenate([lid, under[::-1]])
    line = _mix(_dark(style.skin, 0.3), (30, 20, 18), 0.6)
    canvas.stroke(lid - (0, 0.045), 0.03, _dark(style.skin, 0.66))
    if upper + lower > 0.03:
        with canvas.inside(outline) as eye:
            eye.fill(_oval(x, y, 0.5, 0.5), (232, 230, 226))
            iris_x, iris_y, radius = x + gaze * 0.05, y - 0.025, 0.13 * style.eye_size
            eye.fill(_oval(iris_x, iris_y, radius, radius), _dark(style.eyes, 0.55))
            eye.fill(_oval(iris_x, iris_y, 0.82 * radius, 0.82 * radius), style.eyes)
            eye.fill(_oval(iris_x, iris_y, 0.5 * radius, 0.5 * radius), (14, 12, 14))
            eye.fill(_oval(iris_x - 0.045, iris_y - 0.045, 0.03, 0.03, 12), (255, 255, 255))
            eye.stroke(lid + (0, 0.012), 0.05, (150, 142, 140))
        canvas.stroke(under, 0.018, _dark(style.skin, 0.55))
    else:
        lid = under
    canvas.stroke(lid, 0.055 if style.feminine else 0.042, line)
    if style.feminine:
        tip = lid[-1] if side > 0 else lid[0]
        canvas.stroke(np.array([tip, tip + (side * 0.06, -0.05)]), 0.035, line)
    if face.squint > 0.25:
        crease = np.stack([xs[2:11], y + 0.07 + lower + 0.05 * (1 - t[2:11] ** 2)], axis=1)
        canvas.stroke(crease, 0.022, _dark(style.skin, 0.74))


def _draw_brow(canvas: _Canvas, style: FaceStyle, side: int, face: Expression) -> None:
    base = -0.43 - style.brow_height - 0.05 * max(face.eye_open, 0)
    inner_x = 0.19 - 0.085 * face.brow_pinch
    inner_y = base - (0.15 if face.brow_inner > 0 else 0.2) * face.brow_inner
    outer_y = base + 0.04 - 0.15 * face.brow_outer
    lift = max(min(face.brow_inner, face.brow_outer), 0)
    arch = 0.5 * (inner_y + outer_y) - 0.07 - 0.02 * lift + 0.05 * max(-face.brow_inner, 0)
    spine = _curve(
        [(inner_x, inner_y), (0.33, 0.5 * inner_y + 0.5 * arch - 0.01), (0.54, arch), (0.74, outer_y)],
        closed=False,
        steps=5,
    )
    thickness = 0.058 * style.brow_weight * np.linspace(1.15, 0.25, len(spine)) ** 0.6
    edge = np.stack([np.zeros(len(spine)), thickness], axis=1)
    outline = np.concatenate([spine - edge, (spine + edge)[::-1]]) * (side, 1)
    canvas.fill(outline, _dark(style.hair, 0.6) if sum(style.hair) > 150 else style.hair)


def _draw_lines(canvas: _Canvas, style: FaceStyle, face: Expression) -> None:
    """Wrinkles and folds, each only when the movement that makes it is there."""
    soft, deep = _dark(style.skin, 0.8), _dark(style.skin, 0.66)
    raised = 0.5 * (face.brow_inner + face.brow_outer)
    if raised > 0.35:
        for y in (-0.78, -0.9):
            canvas.stroke(
                _curve([(-0.42, y + 0.03), (0, y - 0.03 * face.brow_outer), (0.42, y + 0.03)], closed=False),
                0.02,
                soft,
            )
    if face.brow_pinch > 0.3 and face.brow_inner < 0:
        for side in (-1, 1):
            canvas.stroke(np.array([(side * 0.06, -0.5), (side * 0.045, -0.32)]), 0.028, deep)
    if face.nose_wrinkle > 0.3:
        for side in (-1, 1):
            for y in (-0.12, -0.02, 0.08):
                canvas.stroke(np.array([(side * 0.05, y), (side * (0.17 + 0.3 * (y + 0.12)), y - 0.07)]), 0.024, deep)
    fold = max(face.smile, 0.9 * face.upper_lip, 0.5 * face.mouth_square * (face.mouth_open > 0.2))
    if fold > 0.3:
        for side in (-1, 1):
            reach = 0.5 + 0.08 * max(face.smile, 0)
            points = [
                (side * 0.24, 0.34 - 0.06 * face.nose_wrinkle),
                (side * (reach - 0.06), 0.5),
                (side * reach, 0.78),
            ]
            canvas.stroke(_curve(points, closed=False), 0.026, _mix(style.skin, deep, min(1.0, fold)))
    if face.smile < -0.5:
        for side in (-1, 1):
            canvas.stroke(np.array([(side * 0.42, 0.86), (side * 0.47, 0.99)]), 0.026, soft)


def _draw_nose(canvas: _Canvas, style: FaceStyle, face: Expression) -> None:
    lift, width = 0.05 * face.nose_wrinkle, 0.17 * style.nose * (1 + 0.18 * face.nose_wrinkle)
    line = _dark(style.skin, 0.6)
    for side in (-1, 1):
        wing = [
            (side * width * 0.75, 0.26 - lift),
            (side * width * 1.1, 0.36 - lift),
            (side * width * 0.8, 0.44 - lift),
        ]
        canvas.stroke(_curve(wing, closed=False), 0.028, line)
        canvas.fill(_oval(side * 0.075 * style.nose, 0.435 - lift, 0.045, 0.024, 12), _dark(style.skin, 0.42))
    canvas.stroke(_curve([(-0.05, 0.465 - lift), (0, 0.48 - lift), (0.05, 0.465 - lift)], closed=False), 0.026, line)
    canvas.fill(_oval(-0.03, 0.31 - lift, 0.05, 0.045, 14), _mix(style.skin, (255, 255, 255), 0.22))


def _draw_mouth(canvas: _Canvas, style: FaceStyle, face: Expression) -> None:
    size = style.mouth_size
    half = 0.34 * size * max(1 + 0.42 * face.mouth_width, 0.35)
    gape = 0.3 * max(face.mouth_open, 0)
    square = np.clip(face.mouth_square, 0, 1)
    t = np.linspace(-1, 1, 21)
    y0 = 0.77 - 0.02 * face.smile
    line = y0 - 0.15 * face.smile * (t**2 - 0.25) - 0.05 * max(face.upper_lip, 0) * (1 - t**2)
    span = (1 - np.abs(t) ** (2 + 4 * square)) ** (0.62 if square < 0.3 else 0.8)
    raised = 0.09 * max(face.upper_lip, 0) * span + 0.15 * face.sneer * np.exp(-(((t - 0.5) / 0.38) ** 2))
    top = line - 0.22 * gape * span - raised
    bottom = line + gape * span
    x = half * t
    full = 0.075 * style.lip_fullness * size
    bow = full * (np.sqrt(1 - t**2) * (1 - 0.22 * np.exp(-((t / 0.16) ** 2))))
    upper_lip = np.concatenate([np.stack([x, top - bow], 1), np.stack([x, top + 0.012], 1)[::-1]])
    pout = full * 1.25 * (1 - 0.35 * min(gape / 0.3, 1)) * (1 + 0.25 * max(-face.smile, 0) * (square < 0.3))
    lower_lip = np.concatenate(
        [np.stack([x, bottom - 0.012], 1), np.stack([x, bottom + pout * np.sqrt(1 - t**2)], 1)[::-1]]
    )
    rouge = (176, 70, 76) if style.feminine else (150, 84, 78)
    lip = _mix(style.skin, rouge, 0.72 if style.feminine else 0.55)
    canvas.fill(lower_lip, lip)
    canvas.fill(upper_lip, _dark(lip, 0.84))
    canvas.stroke(np.stack([x[6:15], bottom[6:15] + 0.55 * pout], 1), 0.03, _mix(lip, (255, 235, 230), 0.3))
    inner = np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])
    if float((bottom - top).max()) > 0.035:
        with canvas.inside(inner) as mouth:
            mouth.fill(_oval(0, y0, 1, 1), (66, 20, 24))
            mouth.fill(_oval(0, float(bottom.max()) + 0.02, 0.75 * half, 0.4 * gape), (186, 84, 88))
            teeth = 0.085 * np.clip(0.45 + 0.75 * square + 0.5 * max(face.smile, 0) + 0.5 * face.upper_lip, 0, 1.6)
            mouth.fill(
                np.concatenate([np.stack([x, top - 0.05], 1), np.stack([x, top + teeth], 1)[::-1]]), (246, 243, 236)
            )
            if square > 0.5:
                low = 0.075 * square
                mouth.fill(
                    np.concatenate([np.stack([x, bottom - low], 1), np.stack([x, bottom + 0.05], 1)[::-1]]),
                    (240, 236, 228),
                )
                for gap in np.linspace(-0.6, 0.6, 5) * half:
                    mouth.stroke(np.array([(gap, y0 - 0.3), (gap, y0 + 0.4)]), 0.012, (206, 196, 188))
    edge = (74, 28, 28)
    canvas.stroke(np.stack([x, top], 1), 0.03, edge)
    if float((bottom - top).max()) > 0.035:
        canvas.stroke(np.stack([x, bottom], 1), 0.02, edge)


def _draw_beard(canvas: _Canvas, style: FaceStyle, jaw_drop: float) -> None:
    jaw, chin = style.jaw, style.chin
    outer = [
        (0.93, 0.25),
        (0.88 * jaw, 0.7 + 0.3 * jaw_drop),
        (0.63 * jaw, 1.08 * chin + 0.8 * jaw_drop),
        (0.28 * jaw, 1.32 * chin + jaw_drop),
    ]
    outer += [(0, 1.36 * chin + jaw_drop)]
    inner = [(0, 1.14 + jaw_drop), (0.3, 1.08 + 0.8 * jaw_drop), (0.58, 0.86 + 0.4 * jaw_drop), (0.74, 0.52)]
    shape = np.concatenate([_curve(outer, closed=False), _curve(inner, closed=False)])
    for side in (-1, 1):
        canvas.fill(shape * (side, 1), _mix(style.skin, style.hair, 0.62))


def _draw_glasses(canvas: _Canvas, style: FaceStyle) -> None:
    frame, x = (74, 58, 54), 0.42 * style.eye_gap
    corner = 2.0 if style.glasses == "round" else 3.5
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = (
        np.sign([np.cos(angle), np.sin(angle)]).T
        * np.abs([np.cos(angle), np.sin(angle)]).T ** (2 / corner)
        * (0.33, 0.27)
    )
    for side in (-1, 1):
        canvas.stroke(ring + (side * x, -0.06), 0.024, frame, closed=True)
        canvas.stroke(np.array([(side * (x + 0.34), -0.1), (side * 1.0, -0.14)]), 0.03, frame)
    canvas.stroke(_curve([(-x + 0.34, -0.08), (0, -0.13), (x - 0.34, -0.08)], closed=False), 0.03, frame)


def draw_face(
    style: FaceStyle,
    expression: Expression,
    *,
    blink: float = 0.0,
    sway: tuple[float, float, float] = (0.0, 0.0, 0.0),
    gaze: float = 0.0,
    size: tuple[int, int] = FRAME_SIZE,
) -> np.ndarray:
    """Draw one person with one expression.

    Args:
        style (`FaceStyle`): the person.
        expression (`Expression`): what the face does, the opening of the mouth by speech included.
        blink (`float`, *optional*, defaults to 0.0): 0 leaves the eyes as they are, 1 shuts them.
        sway (`tuple[float, float, float]`, *optional*, defaults to no sway): head moved right and down, in face units, and turned, in degrees.
        gaze (`float`, *optional*, defaults to 0.0): eyes turned right, in [-1, 1].
        size (`tuple[int, int]`, *optional*, defaults to 384 by 288): width and height of the picture in pixels.

    Returns:
        `np.ndarray`: picture of shape `(height, width, 3)`, uint8 RGB.
    """
    width, height = (_SUPERSAMPLING * side for side in size)
    image = _backdrop(style, width, height).copy()
    scale = style.head_height * height / 2.7
    centre = np.array([0.5 * width + style.head_x * height, (0.47 + style.head_y) * height])
    body = _Canvas(image, np.column_stack([scale * np.eye(2), centre + scale * np.array([0.3 * sway[0], 0.0])]))
    angle = np.deg2rad(sway[2] + 4.0 * expression.head_tilt)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # The head turns about the neck, not about its own centre.
    neck = np.array([0.0, 1.3])
    offset = centre + scale * (neck + (sway[0], sway[1] + 0.07 * expression.head_down)) - turn @ neck
    head = _Canvas(image, np.column_stack([turn, offset]))
    # Features slide over the skull when the head turns or bows: a little depth for little work.
    shifted = head.matrix.copy()
    shifted[:, 2] += turn @ np.array([0.35 * sway[0], 0.5 * sway[1] + 0.06 * expression.head_down])
    front = _Canvas(image, shifted)

    jaw_drop = 0.1 * max(expression.mouth_open, 0.0)
    _draw_hair_behind(head, style)
    _draw_body(body, style, jaw_drop)
    if style.hair_style not in ("long", "bob"):
        _draw_ears(head, style)
    outline = _face_outline(style, jaw_drop)
    head.fill(outline, style.skin)
    if style.beard:
        _draw_beard(head, style, jaw_drop)
    grid = front.matrix @ np.array([[_SHADE_STEP, 0, _SHADE_LEFT], [0, _SHADE_STEP, _SHADE_TOP], [0, 0, 1]])
    with head.inside(outline) as skin:
        left, top = skin.matrix[:, 2] - head.matrix[:, 2]
        grid[:, 2] += left, top
        window = (skin.image.shape[1], skin.image.shape[0])
        shade = cv2.warpAffine(_shading(style), grid, window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        skin.image = cv2.multiply(skin.image, shade, scale=1 / 128)
    _draw_lines(front, style, expression)
    _draw_nose(front, style, expression)
    _draw_mouth(front, style, expression)
    lids = (1 - blink) * (1 + 0.75 * expression.eye_open) - 1
    seen = Expression(**{**expression.__dict__, "eye_open": lids / 0.75})
    for side in (-1, 1):
        _draw_eye(front, style, side, seen, gaze)
        _draw_brow(front, style, side, expression)
    _draw_hair_front(head, style)
    if style.glasses:
        _draw_glasses(front, style)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
