# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Draws one picture of one person with one expression (`draw_face`), so that a Haar cascade takes it for a face."""

import functools

import cv2
import numpy as np

from .synthetic_canvas import Canvas, darken, mirrored, mix, oval, smooth_curve
from .synthetic_faces import Expression, FaceStyle


FRAME_SIZE = (384, 288)
_SUPERSAMPLING = 2
# The shading of a head is computed once per person, on this grid of face units, and laid over every frame.
_SHADE_LEFT, _SHADE_TOP, _SHADE_RIGHT, _SHADE_BOTTOM, _SHADE_STEP = -1.5, -1.8, 1.5, 2.4, 0.02


def _face_outline(style: FaceStyle, jaw_drop: float) -> np.ndarray:
    jaw, chin = style.jaw, style.chin
    right = [(0, -1.32), (0.52, -1.24), (0.88, -0.85), (0.98, -0.3), (0.96, 0.2), (0.86 * jaw, 0.68 + 0.3 * jaw_drop)]
    right += [
        (0.6 * jaw, 1.06 * chin + 0.8 * jaw_drop),
        (0.27 * jaw, 1.26 * chin + jaw_drop),
        (0, 1.3 * chin + jaw_drop),
    ]
    return smooth_curve(mirrored(right))


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

    eye_x = 0.47 * style.eye_gap
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


def _draw_hair_behind(canvas: Canvas, style: FaceStyle) -> None:
    colour = darken(style.hair, 0.8)
    if style.hair_style == "long":
        canvas.fill(
            smooth_curve(
                mirrored([(0, -1.62), (0.75, -1.45), (1.16, -0.8), (1.2, 0.2), (1.3, 1.2), (1.15, 1.9), (0.5, 2.0)])
            ),
            colour,
        )
    elif style.hair_style == "bob":
        canvas.fill(
            smooth_curve(mirrored([(0, -1.6), (0.75, -1.43), (1.16, -0.8), (1.24, 0.1), (1.22, 0.8), (0.9, 1.0)])),
            colour,
        )
    elif style.hair_style == "bun":
        canvas.fill(oval(0.0, -1.72, 0.42, 0.36), colour)
        canvas.fill(smooth_curve(mirrored([(0, -1.52), (0.7, -1.36), (1.03, -0.8), (1.02, 0.0), (0.8, 0.3)])), colour)
    elif style.hair_style == "curly":
        reach = 0.55 if style.feminine else -0.25
        for angle in np.linspace(-np.pi / 2 - 2.05 - reach * 0.5, -np.pi / 2 + 2.05 + reach * 0.5, 15):
            canvas.fill(oval(1.02 * np.cos(angle), -0.35 + 1.12 * np.sin(angle), 0.3, 0.3), colour)


def _draw_hair_front(canvas: Canvas, style: FaceStyle) -> None:
    colour, gloss = style.hair, mix(style.hair, (255, 240, 220), 0.18)
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
        canvas.fill(smooth_curve(fringe), colour)
        canvas.stroke(smooth_curve([(-0.12, -1.14), (-0.5, -1.16), (-0.86, -0.88)], closed=False), 0.035, gloss)
        canvas.stroke(smooth_curve([(0.05, -1.2), (0.45, -1.18), (0.86, -0.86)], closed=False), 0.035, gloss)
    elif style.hair_style == "curly":
        for angle in np.linspace(-np.pi / 2 - 1.2, -np.pi / 2 + 1.2, 10):
            canvas.fill(oval(0.92 * np.cos(angle), -0.28 + 1.08 * np.sin(angle), 0.23, 0.2), colour)
    else:
        top, temple, line = {
            "short": (-1.6, -0.2, -0.86),
            "parted": (-1.66, -0.15, -0.84),
            "crop": (-1.48, -0.25, -0.85),
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
        canvas.fill(smooth_curve([*shape, (0.92, -0.62)]), colour)
        canvas.stroke(
            smooth_curve([(-0.6, top + 0.34), (-0.1, top + 0.2), (0.4, top + 0.28)], closed=False), 0.04, gloss
        )


def _draw_body(canvas: Canvas, style: FaceStyle, jaw_drop: float) -> None:
    shoulders = [(0, 1.72), (0.45, 1.72), (0.95, 1.9), (1.6, 2.12), (1.95, 2.6), (2.1, 3.6)]
    canvas.fill(smooth_curve(mirrored(shoulders)), style.shirt)
    neck = smooth_curve(mirrored([(0, 0.9), (0.48, 0.9), (0.5, 1.5), (0.62, 1.78), (0.3, 2.08), (0, 2.16)]))
    canvas.fill(neck, darken(style.skin, 0.92))
    with canvas.inside(neck) as shadow:
        for depth, tone in ((0.26, 0.85), (0.2, 0.79), (0.14, 0.73)):
            shadow.fill(_face_outline(style, jaw_drop) + (0, depth), darken(style.skin, tone))
    canvas.stroke(
        smooth_curve([(-0.62, 1.76), (-0.32, 2.1), (0, 2.18), (0.32, 2.1), (0.62, 1.76)], closed=False),
        0.07,
        darken(style.shirt, 0.75),
    )


def _draw_ears(canvas: Canvas, style: FaceStyle) -> None:
    for side in (-1, 1):
        canvas.fill(oval(side * 1.0, 0.08, 0.15, 0.27), darken(style.skin, 0.93))
        rim = smooth_curve([(1.02, -0.08), (1.09, 0.03), (1.05, 0.2)], closed=False) * (side, 1)
        canvas.stroke(rim, 0.03, darken(style.skin, 0.75))


def _draw_eye(canvas: Canvas, style: FaceStyle, side: int, face: Expression, gaze: float) -> None:
    x, y = side * 0.47 * style.eye_gap, -0.1
    half = 0.245 * style.eye_size
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
    line = mix(darken(style.skin, 0.3), (30, 20, 18), 0.6)
    canvas.stroke(lid - (0, 0.045), 0.03, darken(style.skin, 0.66))
    if upper + lower > 0.03:
        with canvas.inside(outline) as eye:
            eye.fill(oval(x, y, 0.5, 0.5), (232, 230, 226))
            iris_x, iris_y, radius = x + gaze * 0.05, y - 0.025, 0.13 * style.eye_size
            eye.fill(oval(iris_x, iris_y, radius, radius), darken(style.eyes, 0.55))
            eye.fill(oval(iris_x, iris_y, 0.82 * radius, 0.82 * radius), style.eyes)
            eye.fill(oval(iris_x, iris_y, 0.5 * radius, 0.5 * radius), (14, 12, 14))
            eye.fill(oval(iris_x - 0.045, iris_y - 0.045, 0.03, 0.03, 12), (255, 255, 255))
            eye.stroke(lid + (0, 0.012), 0.05, (150, 142, 140))
        canvas.stroke(under, 0.018, darken(style.skin, 0.55))
    else:
        lid = under
    canvas.stroke(lid, 0.066 if style.feminine else 0.056, line)
    if style.feminine:
        tip = lid[-1] if side > 0 else lid[0]
        canvas.stroke(np.array([tip, tip + (side * 0.06, -0.05)]), 0.035, line)
    if face.squint > 0.25:
        crease = np.stack([xs[2:11], y + 0.07 + lower + 0.05 * (1 - t[2:11] ** 2)], axis=1)
        canvas.stroke(crease, 0.022, darken(style.skin, 0.74))


def _draw_brow(canvas: Canvas, style: FaceStyle, side: int, face: Expression) -> None:
    base = -0.39 - style.brow_height - 0.05 * max(face.eye_open, 0)
    inner_x = 0.21 - 0.085 * face.brow_pinch
    inner_y = base - (0.18 if face.brow_inner > 0 else 0.2) * face.brow_inner
    outer_y = base + 0.04 - 0.18 * face.brow_outer
    lift = max(min(face.brow_inner, face.brow_outer), 0)
    arch = 0.5 * (inner_y + outer_y) - 0.07 - 0.02 * lift + 0.05 * max(-face.brow_inner, 0)
    spine = smooth_curve(
        [(inner_x, inner_y), (0.33, 0.5 * inner_y + 0.5 * arch - 0.01), (0.54, arch), (0.74, outer_y)],
        closed=False,
        steps=5,
    )
    thickness = 0.072 * style.brow_weight * np.linspace(1.15, 0.25, len(spine)) ** 0.6
    edge = np.stack([np.zeros(len(spine)), thickness], axis=1)
    outline = np.concatenate([spine - edge, (spine + edge)[::-1]]) * (side, 1)
    canvas.fill(outline, darken(style.hair, 0.6) if sum(style.hair) > 150 else style.hair)


def _draw_lines(canvas: Canvas, style: FaceStyle, face: Expression) -> None:
    """Wrinkles and folds, each only when the movement that makes it is there."""
    soft, deep = darken(style.skin, 0.8), darken(style.skin, 0.66)
    raised = 0.5 * (face.brow_inner + face.brow_outer)
    if raised > 0.35:
        for y in (-0.78, -0.9):
            canvas.stroke(
                smooth_curve([(-0.42, y + 0.03), (0, y - 0.03 * face.brow_outer), (0.42, y + 0.03)], closed=False),
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
            canvas.stroke(smooth_curve(points, closed=False), 0.026, mix(style.skin, deep, min(1.0, fold)))
    if face.smile < -0.5:
        for side in (-1, 1):
            canvas.stroke(np.array([(side * 0.42, 0.86), (side * 0.47, 0.99)]), 0.026, soft)


def _draw_nose(canvas: Canvas, style: FaceStyle, face: Expression) -> None:
    lift, width = 0.05 * face.nose_wrinkle, 0.17 * style.nose * (1 + 0.18 * face.nose_wrinkle)
    line = darken(style.skin, 0.6)
    for side in (-1, 1):
        wing = [
            (side * width * 0.75, 0.26 - lift),
            (side * width * 1.1, 0.36 - lift),
            (side * width * 0.8, 0.44 - lift),
        ]
        canvas.stroke(smooth_curve(wing, closed=False), 0.028, line)
        canvas.fill(oval(side * 0.075 * style.nose, 0.435 - lift, 0.045, 0.024, 12), darken(style.skin, 0.42))
    canvas.stroke(
        smooth_curve([(-0.05, 0.465 - lift), (0, 0.48 - lift), (0.05, 0.465 - lift)], closed=False), 0.026, line
    )
    canvas.fill(oval(-0.03, 0.31 - lift, 0.05, 0.045, 14), mix(style.skin, (255, 255, 255), 0.22))


def _draw_mouth(canvas: Canvas, style: FaceStyle, face: Expression) -> None:
    size = style.mouth_size
    half = 0.4 * size * max(1 + 0.42 * face.mouth_width, 0.35)
    gape = 0.36 * max(face.mouth_open, 0)
    square = np.clip(face.mouth_square, 0, 1)
    t = np.linspace(-1, 1, 21)
    y0 = 0.79 - 0.02 * face.smile
    line = y0 - 0.2 * face.smile * (t**2 - 0.25) - 0.05 * max(face.upper_lip, 0) * (1 - t**2)
    span = (1 - np.abs(t) ** (2 + 4 * square)) ** (0.62 if square < 0.3 else 0.8)
    raised = 0.09 * max(face.upper_lip, 0) * span + 0.15 * face.sneer * np.exp(-(((t - 0.5) / 0.38) ** 2))
    top = line - 0.22 * gape * span - raised
    bottom = line + gape * span
    x = half * t
    full = 0.085 * style.lip_fullness * size
    bow = full * (np.sqrt(1 - t**2) * (1 - 0.22 * np.exp(-((t / 0.16) ** 2))))
    upper_lip = np.concatenate([np.stack([x, top - bow], 1), np.stack([x, top + 0.012], 1)[::-1]])
    pout = full * 1.25 * (1 - 0.35 * min(gape / 0.3, 1)) * (1 + 0.25 * max(-face.smile, 0) * (square < 0.3))
    lower_lip = np.concatenate(
        [np.stack([x, bottom - 0.012], 1), np.stack([x, bottom + pout * np.sqrt(1 - t**2)], 1)[::-1]]
    )
    rouge = (176, 70, 76) if style.feminine else (150, 84, 78)
    lip = mix(style.skin, rouge, 0.72 if style.feminine else 0.55)
    canvas.fill(lower_lip, lip)
    canvas.fill(upper_lip, darken(lip, 0.84))
    canvas.stroke(np.stack([x[6:15], bottom[6:15] + 0.55 * pout], 1), 0.03, mix(lip, (255, 235, 230), 0.3))
    inner = np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])
    if float((bottom - top).max()) > 0.035:
        with canvas.inside(inner) as mouth:
            mouth.fill(oval(0, y0, 1, 1), (66, 20, 24))
            mouth.fill(oval(0, float(bottom.max()) + 0.02, 0.75 * half, 0.4 * gape), (186, 84, 88))
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


def _draw_beard(canvas: Canvas, style: FaceStyle, jaw_drop: float) -> None:
    jaw, chin = style.jaw, style.chin
    outer = [
        (0.93, 0.25),
        (0.88 * jaw, 0.7 + 0.3 * jaw_drop),
        (0.63 * jaw, 1.08 * chin + 0.8 * jaw_drop),
        (0.28 * jaw, 1.32 * chin + jaw_drop),
    ]
    outer += [(0, 1.36 * chin + jaw_drop)]
    inner = [(0, 1.14 + jaw_drop), (0.3, 1.08 + 0.8 * jaw_drop), (0.58, 0.86 + 0.4 * jaw_drop), (0.74, 0.52)]
    shape = np.concatenate([smooth_curve(outer, closed=False), smooth_curve(inner, closed=False)])
    for side in (-1, 1):
        canvas.fill(shape * (side, 1), mix(style.skin, style.hair, 0.62))


def _draw_glasses(canvas: Canvas, style: FaceStyle) -> None:
    frame, x = (74, 58, 54), 0.47 * style.eye_gap
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
    canvas.stroke(smooth_curve([(-x + 0.34, -0.08), (0, -0.13), (x - 0.34, -0.08)], closed=False), 0.03, frame)


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
    body = Canvas(image, np.column_stack([scale * np.eye(2), centre + scale * np.array([0.3 * sway[0], 0.0])]))
    angle = np.deg2rad(sway[2] + 4.0 * expression.head_tilt)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # The head turns about the neck, not about its own centre.
    neck = np.array([0.0, 1.3])
    offset = centre + scale * (neck + (sway[0], sway[1] + 0.07 * expression.head_down)) - turn @ neck
    head = Canvas(image, np.column_stack([turn, offset]))
    # Features slide over the skull when the head turns or bows: a little depth for little work.
    shifted = head.matrix.copy()
    shifted[:, 2] += turn @ np.array([0.35 * sway[0], 0.5 * sway[1] + 0.06 * expression.head_down])
    front = Canvas(image, shifted)

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
