"""`tacfn predict` and `tacfn info`: what a person and a program read, and what they read when something is wrong."""

import json

import numpy as np
import pytest
from media_samples import numbered_frames, tone, write_mp4, write_sound
from tiny_models import build

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor
from modeling_tacfn.cli import main


RATE = 22050


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio_video")
    build("audio_video").save_pretrained(folder)
    images = TacfnImageProcessor(num_frames=4, size={"height": 48, "width": 48}, do_face_crop=False)
    TacfnProcessor(TacfnFeatureExtractor(sampling_rate=RATE), images).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "speaker-normalised"])
def feature_model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    build("features").save_pretrained(folder)
    processor = TacfnProcessor(
        TacfnFeatureExtractor(feature_type="log_mel", feature_size=20, num_mel_bins=20, sampling_rate=RATE),
        feature_columns={"units": [f"AU{index}" for index in range(7)]},
        static_features=["units"],
        do_video=False,
        is_speaker_normalized=request.param,
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    write_mp4(path, numbered_frames(20, 64, 64), tone(1.0, RATE), RATE, 20)
    return path


@pytest.fixture
def speech_and_units(tmp_path):
    write_sound(tmp_path / "speech.wav", tone(1.0, RATE), RATE)
    rows = np.random.default_rng(0).random((3, 7))
    lines = ["clip_id," + ",".join(f"AU{index}" for index in range(7))]
    lines += [f"clip{row}," + ",".join(map(str, values)) for row, values in enumerate(rows)]
    (tmp_path / "units.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "speech.wav", f"units={tmp_path / 'units.csv'}"


def test_table_and_picture(clip, clip_model, tmp_path, capsys):
    picture = tmp_path / "answer.png"
    assert main(["predict", str(clip), "--model", str(clip_model), "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "clip.mp4  (sound, a face in 4 of 4 frames)" in printed
    assert all(label in printed for label in ("neutral", "surprised"))
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_json_is_all_of_standard_output(clip, clip_model, capsys):
    assert main(["predict", str(clip), str(clip), "--model", str(clip_model), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert sum(answers[0]["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert answers[0]["inputs"] == {"sound": True, "frames": 4, "frames_with_face": 4, "features": []}


def test_sound_alone_and_picture_alone(clip, clip_model, tmp_path, capsys):
    write_sound(tmp_path / "speech.wav", tone(1.0, RATE), RATE)
    assert main(["predict", str(tmp_path / "speech.wav"), "--model", str(clip_model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["frames"] == 0
    assert main(["predict", str(clip), "--no_audio", "--model", str(clip_model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["sound"] is False


def test_sound_and_units(speech_and_units, feature_model, tmp_path, capsys):
    speech, units = speech_and_units
    arguments = ["predict", str(speech), "--model", str(feature_model), "--features", f"{units}#clip1"]
    picture = tmp_path / "answer.png"
    if "speaker" in feature_model.name or TacfnProcessor.from_pretrained(feature_model).is_speaker_normalized:
        assert main(arguments) == 1
        assert "speaker_statistics" in capsys.readouterr().err
        arguments += ["--speaker_clips", *(f"{speech},{units}#clip{row}" for row in range(3))]
    assert main([*arguments, "--plot", str(picture)]) == 0
    assert "sound, no picture, units" in capsys.readouterr().out
    assert picture.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "zero bytes"), (b"these are words, not pictures\n" * 50, "not media"), (None, "nothing is there")],
    ids=["empty", "text", "missing"],
)
def test_unusable_file_is_one_message_and_status_1(content, message, clip_model, tmp_path, capsys):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    assert main(["predict", str(path), "--model", str(clip_model)]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("tacfn: ")
    assert "Traceback" not in streams.err
    assert message in streams.err


def test_unknown_model_folder(clip, tmp_path, capsys):
    assert main(["predict", str(clip), "--model", str(tmp_path)]) == 1
    assert "holds no config.json" in capsys.readouterr().err


def test_picture_that_cannot_be_written(clip, clip_model, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["predict", str(clip), "--model", str(clip_model), "--plot", str(tmp_path / "file" / "a.png")]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["predict"], ["predict", "a.mp4", "--model", "m", "--features", "units"]])
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_info(clip_model, feature_model, capsys):
    assert main(["info", str(clip_model)]) == 0
    assert "48x48" in capsys.readouterr().out
    assert main(["info", str(feature_model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["features"] == {"audio": 20, "text": 12, "units": 7}
    assert sum(facts["parts"].values()) == facts["parameters"]
