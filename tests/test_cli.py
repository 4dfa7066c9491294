"""`tacfn predict` and `tacfn info`: what a person and a program read, and what they read when something is wrong."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from media_samples import draw_face, numbered_frames, tone, write_mp4, write_sound
from safetensors.torch import load_file, save_file
from tiny_models import build

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor
from modeling_tacfn.cli import shared_options
from tacfn import ADAPT_EXAMPLE, COMPARE_EXAMPLE, PREDICT_EXAMPLE, build_parser, main


ROOT = Path(__file__).resolve().parents[1]
RATE = 22050
WEBM = {"codec": "libvpx", "audio_codec": "libopus", "format": "webm", "pipe": True}


def save_clip_model(folder, do_face_crop: bool):
    build("audio_video").save_pretrained(folder)
    images = TacfnImageProcessor(num_frames=4, size={"height": 48, "width": 48}, do_face_crop=do_face_crop)
    TacfnProcessor(TacfnFeatureExtractor(sampling_rate=RATE), images).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory):
    return save_clip_model(tmp_path_factory.mktemp("audio_video"), do_face_crop=False)


@pytest.fixture(scope="module")
def face_model(tmp_path_factory):
    return save_clip_model(tmp_path_factory.mktemp("faces"), do_face_crop=True)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A folder of clips as people have them."""
    folder = tmp_path_factory.mktemp("media")
    face = np.repeat(draw_face(120, 160, (80, 60), 90)[None], 20, axis=0)
    wall = np.full_like(face, 120)
    sound = tone(1.0, RATE)
    write_mp4(folder / "face.mp4", face, sound, RATE, 20)
    write_mp4(folder / "wall.mp4", wall, sound, RATE, 20)
    write_mp4(folder / "mute.mp4", face, None, RATE, 20)
    write_mp4(folder / "mute_wall.mp4", wall, None, RATE, 20)
    write_mp4(folder / "whole.mp4", face, sound, RATE, 20, container_options={"movflags": "faststart"})
    write_mp4(folder / "live.webm", face, tone(1.0, 48000), 48000, 20, **WEBM)
    write_sound(folder / "speech.wav", sound, RATE)
    for name in ("whole", "face"):  # the index stands at the front of the first and at the end of the second
        content = (folder / f"{name}.mp4").read_bytes()
        (folder / f"cut_{name}.mp4").write_bytes(content[: len(content) * 3 // 5])
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


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_table_and_picture(ending, start, clip, clip_model, tmp_path, capsys):
    picture = tmp_path / "new" / f"answer.{ending}"
    assert main(["predict", str(clip), "--model", str(clip_model), "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "clip.mp4  (sound, a face in 4 of 4 frames)" in printed
    assert all(label in printed for label in ("neutral", "surprised"))
    assert picture.read_bytes().startswith(start)


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
        assert "--speaker_clips" in capsys.readouterr().err
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


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("cut_whole.mp4", 0, "cut short"),
        ("cut_face.mp4", 1, "It is cut short, damaged, or not media at all"),
        ("wall.mp4", 0, "No face was found in this clip: its video counts as absent"),
        ("mute_wall.mp4", 1, "found frames without a usable face"),
        ("mute.mp4", 0, ""),
        ("live.webm", 0, ""),
        ("speech.wav", 0, ""),
    ],
)
def test_clips_as_people_have_them(name, status, said, media, face_model, tmp_path, capsys):
    picture = tmp_path / "answer.png"
    arguments = ["predict", str(media / name), "--model", str(face_model), "--json", "--plot", str(picture)]
    assert main(arguments) == status
    streams = capsys.readouterr()
    answer = json.loads(streams.out)
    assert answer["clip"] == str(media / name)
    assert said in streams.err
    assert all(line.startswith("tacfn: ") and name in line for line in streams.err.splitlines())
    assert picture.exists() == (status == 0)
    if status:
        assert said in answer["error"]
        return
    assert bool(streams.err) == bool(said)
    assert answer["inputs"]["sound"] == (name != "mute.mp4")
    assert bool(answer["inputs"]["frames_with_face"]) == (name not in ("wall.mp4", "speech.wav"))


def test_one_bad_clip_does_not_lose_the_others(media, face_model, capsys):
    names = ["speech.wav", "nothing.mp4", "wall.mp4", "cut_face.mp4", "mute.mp4"]
    paths = [str(media / name) for name in names]
    assert main(["predict", *paths, "--model", str(face_model), "--json"]) == 1
    streams = capsys.readouterr()
    together = json.loads(streams.out)
    assert [answer["clip"] for answer in together] == paths
    assert ["error" in answer for answer in together] == [False, True, False, True, False]
    assert f"note: {paths[2]}: No face was found" in streams.err
    for path, answer in zip(paths, together, strict=True):
        main(["predict", path, "--model", str(face_model), "--json"])
        assert json.loads(capsys.readouterr().out) == answer
    assert main(["predict", *paths, "--model", str(face_model)]) == 1
    printed = capsys.readouterr().out
    assert all((path in printed) == ("error" not in answer) for path, answer in zip(paths, together, strict=True))


@pytest.mark.parametrize("shown", [1, 3, 99])
def test_top_k(shown, clip, clip_model, capsys):
    arguments = ["predict", str(clip), "--model", str(clip_model), "--top_k", str(shown)]
    assert main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["scores"]) == min(shown, 8)
    assert next(iter(answer["scores"])) == answer["emotion"]
    assert main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + min(shown, 8)


def drop_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(**values):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return change


def truncate(folder):
    os.truncate(folder / "model.safetensors", (folder / "model.safetensors").stat().st_size // 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "expected whole weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"words" * 999), "expected whole weights"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no file named model.safetensors"),
        (drop_a_weight, "among them classifier.bias"),
        (change_config(num_hidden_layers=1), "[0-9]+ are missing or unknown"),
        (change_config(video_widths=[8, 8, 16, 32]), "expected whole weights"),
        (change_config(hidden_size="big"), "expected a config.json that this version understands"),
        (lambda folder: (folder / "config.json").write_text("{"), "not a valid JSON file"),
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: (folder / "processor_config.json").unlink(), "holds no processor_config.json"),
    ],
    ids=[
        "truncated",
        "garbage",
        "no weights",
        "a weight less",
        "too many weights",
        "other sizes",
        "unknown config",
        "broken config",
        "no config",
        "no processor",
    ],
)
def test_a_damaged_model_is_one_line_and_status_1(damage, message, clip, clip_model, tmp_path, capfd):
    folder = tmp_path / "model"
    shutil.copytree(clip_model, folder)
    damage(folder)
    assert main(["predict", str(clip), "--model", str(folder), "--json"]) == 1
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("tacfn: ")
    assert error.count("\n") == 1
    assert str(folder) in error
    assert re.search(message, error)


@pytest.mark.parametrize("name", ["runs/nothing_here", "/nowhere/runs/nothing_here", "one/two/three"])
def test_a_model_that_is_nowhere(name, clip, capsys):
    assert main(["predict", str(clip), "--model", name]) == 1
    error = capsys.readouterr().err
    assert error.startswith("tacfn: ")
    assert error.count("\n") == 1
    assert all(word in error for word in (name, "folder", "Hub"))


@pytest.mark.parametrize("device", ["banana", "cuda:99", "meta"])
def test_a_device_that_is_not_there(device, clip, clip_model, capsys):
    assert main(["predict", str(clip), "--model", str(clip_model), "--device", device]) == 1
    error = capsys.readouterr().err
    assert f"the device '{device}' cannot be used" in error
    assert error.count("\n") == 1


def test_picture_that_cannot_be_written_is_refused_before_the_model_is_read(clip, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    picture = tmp_path / "file" / "a.png"
    assert main(["predict", str(clip), "--model", str(tmp_path / "no model"), "--plot", str(picture)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"tacfn: --plot {picture}: expected a place where a file can be written")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "command"),
        ("predict", "CLIP"),
        ("predict a.mp4", "--model"),
        ("predict a.mp4 --model m --features units", "expected NAME=FILE.csv"),
        ("predict a.mp4 b.mp4 --model m --plot p.png", "--plot is for one clip, got 2"),
        ("predict a.mp4 b.mp4 --model m --audio a.wav", "--audio is for one clip, got 2"),
        ("predict a.mp4 b.mp4 --model m --features u=u.csv", "--features is for one clip, got 2"),
        ("predict a.mp4 --model m --audio a.wav --no_audio", "not allowed with"),
        ("predict a.mp4 --model m --plot p.txt", "ending in .png, .pdf, .svg"),
        ("predict a.mp4 --model m --top_k 0", "at least 1"),
        ("predict a.mp4 --model m --top_k -1", "at least 1"),
        ("predict a.mp4 --model m --top_k x", "at least 1"),
        ("predict --model m --speaker_clips a.mp4 b.mp4", "CLIP"),
    ],
)
def test_wrong_usage_is_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: tacfn")
    assert message in error


def test_usage_puts_the_clips_first(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert capsys.readouterr().out.startswith("usage: tacfn predict CLIP [CLIP ...] --model MODEL")


def test_examples_of_the_help_are_understood():
    text = (PREDICT_EXAMPLE + COMPARE_EXAMPLE + ADAPT_EXAMPLE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("tacfn ")]
    assert len(lines) == 10
    parsed = [build_parser().parse_args(shlex.split(line)[1:]) for line in lines]
    assert parsed[1].clips == [{"video": "clip.webm"}, {"video": "another.mp4"}]
    assert parsed[3].clips == [{"audio": "speech.wav"}]
    assert parsed[3].speaker_clips[1] == {"audio": "more2.wav", "features": {"units": "au.csv#2"}}


@pytest.mark.parametrize(
    ("given", "shared"),
    [
        ("--dataset synthetic", ["--config", "configs/synthetic.yaml", "--dataset", "synthetic"]),
        ("--dataset ravdess --data_dir X -- --epochs 3", ["--dataset", "ravdess", "--data_dir", "X", "--epochs", "3"]),
        ("--config my.yaml", ["--config", "my.yaml"]),
        ("--config my.yaml --dataset ravdess", ["--config", "my.yaml", "--dataset", "ravdess"]),
    ],
)
def test_a_dataset_brings_its_own_settings(given, shared, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert shared_options(build_parser().parse_args(["compare", *given.split()])) == shared


def test_a_comparison_of_nothing_is_refused(capsys):
    assert main(["compare"]) == 1
    assert "expected --dataset NAME, or --config FILE" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["predict", "a.mp4"]])
def test_help_and_wrong_usage_import_nothing_heavy(arguments):
    script = (
        "import sys, tacfn\n"
        "try: tacfn.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'modeling_tacfn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "usage: tacfn" in done.stdout + done.stderr


def test_info(clip_model, feature_model, capsys):
    assert main(["info", str(clip_model)]) == 0
    assert "48x48" in capsys.readouterr().out
    assert main(["info", str(feature_model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["features"] == {"audio": 20, "text": 12, "units": 7}
    assert sum(facts["parts"].values()) == facts["parameters"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"do_audio": False, "do_prosody": True}, "prosody"), ({"do_audio": False}, "none")],
)
def test_info_says_what_is_heard(options, expected, tmp_path, capsys):
    build("features").save_pretrained(tmp_path)
    TacfnProcessor(do_video=False, **options).save_pretrained(tmp_path)
    assert main(["info", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sound"] == expected
