"""What the tests of the demo share: tiny networks on disk, clips with a drawn face, and a running app."""

import numpy as np
from media_samples import draw_face, tone, write_mp4
from tiny_models import build, make_config

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor


RATE = 16000
COLUMNS = {"text": [f"t{index}" for index in range(12)], "units": [f"u{index}" for index in range(7)]}


def make_model(name: str = "audio_video"):
    """A tiny network of random weights for clips, with its processor."""
    images = TacfnImageProcessor(num_frames=6, size={"height": 48, "width": 48})
    sound = TacfnFeatureExtractor(sampling_rate=RATE, feature_size=make_config(name).audio_coefficients)
    return build(name), TacfnProcessor(sound, images)


def make_feature_model():
    """The same for sound and two features."""
    sound = TacfnFeatureExtractor(feature_size=20, num_mel_bins=40, sampling_rate=RATE)
    processor = TacfnProcessor(sound, feature_columns=COLUMNS, static_features=["units"], do_video=False)
    return build("features"), processor


def save(parts, folder) -> str:
    for part in parts:
        part.save_pretrained(folder)
    return str(folder)


def face_clip(path, seconds: float = 2.0, with_face: bool = True, with_sound: bool = True, **options):
    """A video of a drawn face and a tone."""
    face = draw_face(240, 320, (160, 120), 150) if with_face else np.full((240, 320, 3), 120, np.uint8)
    frames = np.broadcast_to(face, (round(25 * seconds), *face.shape)).copy()
    rate = options.pop("rate", RATE)
    return write_mp4(path, frames, tone(seconds, rate) if with_sound else None, rate, 25, **options)


def write_units(path, rows=("a",)) -> str:
    """A table of the feature `units`, a row for each clip."""
    lines = [",".join(["clip_id", *COLUMNS["units"]])] + [f"{row}," + ",".join(["0.5"] * 7) for row in rows]
    path.write_text("\n".join(lines))
    return str(path)


def running_app(folder, **limits):
    """The demo with three tiny networks, on a free port."""
    from modeling_tacfn.demo import launch_demo
    from modeling_tacfn.demo_limits import DemoLimits

    models = [
        save(make_model(), folder / "tacfn"),
        save(make_model("cfn_sr"), folder / "cfn_sr"),
        save(make_feature_model(), folder / "features"),
    ]
    return launch_demo(models, DemoLimits(num_workers=1, **limits), is_blocking=False)


def stop(app) -> None:
    app.workers.close()
    app.close()
