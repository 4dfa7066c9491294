"""The law from the file on: a clip is answered alike alone, in a batch and in any order, whatever its format."""

import numpy as np
import pytest
import torch
from media_samples import numbered_frames, tone, write_mp4, write_sound
from tiny_models import CONFIGS, build, make_config, takes_features

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor


COLUMNS = {"text": [f"t{index}" for index in range(12)], "units": [f"u{index}" for index in range(7)]}


def check_law(model, answer, items):
    sound = answer(items)
    if "input_features" in sound:
        # As training does: raw MFCC reach hundreds, and so would the rounding errors.
        real = sound["input_features"][sound["audio_mask"]]
        model.fusion.standardizers["audio"].fit(real.mean(0), real.std(0))

    def logits(chosen):
        with torch.no_grad():
            return model(**answer(chosen)).logits

    alone = torch.cat([logits([item]) for item in items])
    assert alone.std(0).max() > 1e-3, "the clips must differ for this test to mean anything"
    order = np.random.default_rng(0).permutation(len(items))
    shuffled = torch.empty_like(alone)
    shuffled[torch.from_numpy(order)] = logits([items[index] for index in order])
    for other in (logits(items), shuffled):
        torch.testing.assert_close(other, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in CONFIGS if not takes_features(name)])
def test_audio_video_files(name, tmp_path):
    paths = [
        write_mp4(tmp_path / "short.mp4", numbered_frames(5), tone(0.2, 16000), 16000, fps=25),
        write_mp4(tmp_path / "long.mp4", numbered_frames(30, 80, 60), tone(1.0, 44100, 700), 44100, fps=30),
        write_mp4(tmp_path / "fast.mp4", 255 - numbered_frames(40), tone(0.8, 48000, 1500, 0.05), 48000, fps=50),
        write_mp4(tmp_path / "mute.mp4", numbered_frames(12) // 2 + 20, None, fps=12),
        write_mp4(tmp_path / "one.mp4", numbered_frames(1) + 40, tone(0.3, 22050, 250), 22050, fps=10),
    ]
    processor = TacfnProcessor(
        TacfnFeatureExtractor(sampling_rate=16000, feature_size=make_config(name).audio_coefficients),
        TacfnImageProcessor(num_frames=6, size={"height": 48, "width": 48}, do_face_crop=False),
    )
    check_law(build(name), lambda chosen: processor(videos=chosen), paths)


@pytest.mark.parametrize("name", [name for name in CONFIGS if takes_features(name)])
def test_feature_files(name, tmp_path):
    generator = np.random.default_rng(0)
    clips = []
    for index, (seconds, rate, steps) in enumerate([(0.5, 16000, 4), (1.3, 44100, 1), (0.2, 8000, 11)]):
        path = tmp_path / f"{index}"
        tables = {}
        for feature, columns in COLUMNS.items():
            rows = generator.normal(size=(steps, len(columns)))
            tables[feature] = path.with_suffix(f".{feature}.csv")
            np.savetxt(tables[feature], rows, delimiter=",", header=",".join(columns), comments="")
        sound = tone(seconds, rate, 300 + 400 * index)
        audio = (
            write_mp4(path.with_suffix(".mp4"), numbered_frames(round(25 * seconds)), sound, rate)
            if rate == 44100
            else write_sound(path.with_suffix(".wav"), sound, rate)
        )
        clips.append({"audio": audio, **tables})
    processor = TacfnProcessor(
        TacfnFeatureExtractor(feature_size=20, num_mel_bins=40, sampling_rate=16000),
        feature_columns=COLUMNS,
        static_features=["units"],
        do_video=False,
    )

    def answer(chosen):
        audio = [item["audio"] for item in chosen]
        return processor(audio=audio, features={key: [item[key] for item in chosen] for key in COLUMNS})

    check_law(build(name), answer, clips)
