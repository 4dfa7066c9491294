"""What the measurements are made with: drawn clips, copies of clips, and the two networks that most of them compare."""

import shutil
from pathlib import Path

import numpy as np
import yaml

from modeling_tacfn import TacfnConfig, TacfnFeatureExtractor, TacfnImageProcessor, TacfnModel, TacfnProcessor


DRAWN = "drawn 1280x720, 3.3 s"
SMALL = Path(__file__).parents[1] / "configs" / "synthetic.yaml"


def make_network(name: str) -> tuple[TacfnModel, TacfnProcessor]:
    """The `published` 26.30 M network, or the `small` one of `configs/synthetic.yaml`, with random weights."""
    settings = yaml.safe_load(SMALL.read_text(encoding="utf-8")) if name == "small" else {}
    processor = TacfnProcessor(
        TacfnFeatureExtractor(**settings.get("audio_processor", {})),
        TacfnImageProcessor(**settings.get("video_processor", {})),
    )
    return TacfnModel(TacfnConfig(**settings.get("model", {}))).eval(), processor


def copy_clips(given: list[Path] | None, count: int, folder: Path) -> tuple[list[Path], str]:
    """So many copies of the given clips, or of a drawn one, in `folder`; and how a record names what they are copies of."""
    clips = given or [draw_clip(folder / "drawn.mp4")]
    paths = [folder / f"{index}{clips[index % len(clips)].suffix}" for index in range(count)]
    for index, path in enumerate(paths):
        shutil.copy(clips[index % len(clips)], path)
    return paths, f"{len(clips)} of {clips[0].parent.name}" if given else DRAWN


def draw_clip(path: Path) -> Path:
    """A drawn, moving face with a voice-like sound: 1280x720, 25 fps, 3.3 s."""
    from dataset_scripts.synthetic import write_clip
    from dataset_scripts.synthetic_drawing import draw_face
    from dataset_scripts.synthetic_faces import EXPRESSIONS, make_face_style

    style, rate = make_face_style(1, 0), 44100
    frames = (
        draw_face(style, EXPRESSIONS["happy"].scaled(0.9), sway=(np.sin(index / 9), 0.0, 0.0), size=(1280, 720))
        for index in range(83)
    )
    time_axis = np.arange(int(3.32 * rate)) / rate
    write_clip(path, frames, (0.3 * np.sin(2 * np.pi * 180 * time_axis)).astype(np.float32))
    return path
