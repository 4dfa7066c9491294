# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A picture that is drawn on in face units, and the curves and colours to draw with.

The face is about 2 units wide; x grows to the right of the picture and y downwards, with the origin between the eyes and the tip of the nose. One
affine map takes face units to pixels, so the place, size and tilt of a head come for free.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from .synthetic_faces import Colour


_FIXED_POINT_BITS = 4


def smooth_curve(
    points: Sequence[tuple[float, float]] | np.ndarray, closed: bool = True, steps: int = 6
) -> np.ndarray:
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


def mirrored(right: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the right-hand outline followed by its mirror image, bottom to top."""
    return [*right, *((-x, y) for x, y in reversed(right) if x != 0)]


def oval(x: float, y: float, width: float, height: float, steps: int = 24) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=1)


def mix(a: Colour, b: Colour, weight: float) -> Colour:
    return tuple(int(round((1 - weight) * x + weight * y)) for x, y in zip(a, b, strict=True))


def darken(colour: Colour, factor: float) -> Colour:
    return tuple(int(min(255, factor * c)) for c in colour)


class Canvas:
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
    def __init__(self, canvas: Canvas, outline: np.ndarray):
        self.canvas, self.outline = canvas, outline

    def __enter__(self) -> Canvas:
        corners = self.canvas.pixels(self.outline) // 2**_FIXED_POINT_BITS
        height, width = self.canvas.image.shape[:2]
        left, top = np.clip(corners.min(axis=0) - 2, 0, (width, height))
        right, bottom = np.clip(corners.max(axis=0) + 3, 0, (width, height))
        self.window = np.s_[top:bottom, left:right]
        matrix = self.canvas.matrix.copy()
        matrix[:, 2] -= left, top
        self.inner = Canvas(self.canvas.image[self.window].copy(), matrix)
        return self.inner

    def __exit__(self, *failure: object) -> None:
        target = self.canvas.image[self.window]
        if target.size == 0:
            return
        mask = np.zeros(target.shape[:2], dtype=np.uint8)
        cv2.fillPoly(mask, [self.inner.pixels(self.outline)], 255, cv2.LINE_AA, _FIXED_POINT_BITS)
        weight = mask[..., None].astype(np.uint16)
        target[:] = (self.inner.image * weight + target * (255 - weight) + 127) // 255
