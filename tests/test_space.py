"""The demo: its bounds, what it answers, what it shows, and a running app that nothing sent to it can hurt."""

import base64
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from demo_samples import COLUMNS, RATE, face_clip, make_feature_model, make_model, write_units
from media_samples import tone, write_mp4, write_sound

from modeling_tacfn.demo import CLIPS, name_models
from modeling_tacfn.demo_html import answer_html, downloads_html, error_html, seen_html, timeline_html
from modeling_tacfn.demo_jobs import Job, run_job
from modeling_tacfn.demo_limits import DemoLimits, inspect_media, shown_without_folder
from modeling_tacfn.demo_workers import EXAMPLES
from modeling_tacfn.media import MediaError


ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def network():
    return make_model()


@pytest.fixture(scope="module")
def feature_network():
    return make_feature_model()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return {
        "whole": face_clip(folder / "whole.mp4"),
        "faceless": face_clip(folder / "faceless.mp4", with_face=False),
        "silent": face_clip(folder / "silent.mp4", with_sound=False),
        "nothing": face_clip(folder / "nothing.mp4", with_face=False, with_sound=False),
        "short": face_clip(folder / "short.mp4", seconds=0.2),
        "long": face_clip(folder / "long.mp4", seconds=7),
        "voice": write_sound(folder / "voice.wav", tone(2, RATE), RATE),
    }


def answer_of(network, limits=None, **job):
    events = dict(run_job(Job(**{"kind": "answer", "model": "a"} | job), *network, limits or DemoLimits()))
    return events


def test_each_input_alone_is_what_a_clip_with_only_it_gets(network, clips):
    answer = answer_of(network, media=str(clips["whole"]))["answer"]
    assert list(answer["alone"]) == ["sound", "face"]
    silent = answer_of(network, media=str(clips["silent"]))["answer"]
    faceless = answer_of(network, media=str(clips["faceless"]))["answer"]
    assert answer["alone"]["face"] == pytest.approx(silent["scores"], abs=2e-2)  # the mp4 files are coded anew
    assert answer["alone"]["sound"] == pytest.approx(faceless["scores"], abs=1e-4)
    assert answer["scores"] != pytest.approx(answer["alone"]["face"], abs=1e-4)
    assert answer["states"] == []
    assert [frame["box"] is not None for frame in answer["frames"]] == [True] * 6
    assert all(frame["crop"].startswith(b"\xff\xd8") and frame["weights"] for frame in answer["frames"])


@pytest.mark.parametrize(("clip", "states", "said"), [("faceless", ["no face"], "no face found: the answer is from the sound"), ("silent", ["no sound"], "no sound heard: the answer is from the face"), ("voice", ["no face"], "no face found")])  # fmt: skip
def test_what_is_missing_is_said(network, clips, clip, states, said):
    answer = answer_of(network, media=str(clips[clip]))["answer"]
    assert answer["states"] == states
    assert answer["alone"] == {}
    assert said in answer_html(answer | {"model": "a"}, 0.0)


@pytest.mark.parametrize(
    ("clip", "message"),
    [("nothing", "expected a face, audible sound"), ("short", "too short: 0.2"), (None, "got nothing")],
)
def test_what_cannot_be_answered_is_said(network, clips, clip, message):
    with pytest.raises(MediaError, match=message):
        answer_of(network, media=str(clips[clip]) if clip else None)


def test_an_upload_that_was_deleted_is_said(network, tmp_path):
    with pytest.raises(MediaError, match="deleted meanwhile. Upload it again"):
        answer_of(network, media=str(tmp_path / "gone.mp4"))


def test_a_long_recording_gets_a_moment_and_a_timeline(network, clips):
    events = answer_of(network, media=str(clips["long"]), window_seconds=2.0)
    answer, timeline = events["answer"], events["timeline"]
    assert answer["is_part"]
    assert (answer["start_seconds"], answer["end_seconds"]) == (2.5, 4.5)
    assert timeline["is_complete"]
    assert timeline["source"] == "long.mp4", "no folder of the server"
    assert timeline["segments"][0]["start"] == 0
    assert timeline["segments"][-1]["end"] == pytest.approx(7.0)
    assert events["tables"]["csv"].count("\n") == len(timeline["windows"]) + 1
    assert events["tables"]["srt"].startswith("1\n00:00:00,000 --> ")
    at_end = answer_of(network, kind="moment", media=str(clips["long"]), window_seconds=2.0, moment=6.9)
    assert list(at_end) == ["answer"]
    assert at_end["answer"]["end_seconds"] == pytest.approx(7.0, abs=0.05)


def test_the_annotated_video_is_a_video(network, clips, tmp_path):
    events = answer_of(network, kind="video", media=str(clips["whole"]), output=str(tmp_path / "seen.mp4"))
    facts = inspect_media(events["video"], DemoLimits())
    assert facts.has_pictures
    assert facts.seconds == pytest.approx(2.0, abs=0.15)
    with pytest.raises(MediaError, match="only has sound"):
        answer_of(network, kind="video", media=str(clips["voice"]), output=str(tmp_path / "x.mp4"))


def test_features_are_files_named_after_them(feature_network, clips, tmp_path):
    units, text = write_units(tmp_path / "units.csv", ("a", "b")), str(tmp_path / "text.npy")
    np.save(text, np.ones((5, 12), np.float32))
    answer = answer_of(feature_network, media=str(clips["voice"]), features=(units, text), row="b")["answer"]
    assert list(answer["alone"]) == ["sound", "units", "text"]
    assert {unit["unit"] for unit in answer["unit_weights"]["units"]} == set(COLUMNS["units"])
    assert "u3" in seen_html(answer)
    assert answer_of(feature_network, features=(units,), row="a")["answer"]["inputs"]["features"] == ["units"]
    with pytest.raises(ValueError, match="named after what this network takes .*got smile.csv"):
        answer_of(feature_network, features=(write_units(tmp_path / "smile.csv"),))
    with pytest.raises(ValueError, match="without a #"):
        answer_of(feature_network, features=(units,), row="b#../../etc/passwd")


def test_a_pickle_by_the_name_of_an_array_is_not_executed(feature_network, tmp_path):
    path = tmp_path / "text.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        answer_of(feature_network, features=(str(path),))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"file_megabytes": 0}, "at most 0 are taken"),
        ({"media_seconds": 1.0}, "longer than"),
        ({"frame_pixels": 100 * 100}, "pictures of 320 x 240"),
    ],
)
def test_bounds_are_kept_before_anything_is_decoded(clips, limits, message):
    with pytest.raises(MediaError, match=message):
        inspect_media(clips["whole"], DemoLimits(**limits))


def test_a_webcam_recording_tells_its_length_by_its_packets(tmp_path):
    frames = np.zeros((75, 48, 64, 3), np.uint8)
    path = write_mp4(
        tmp_path / "cam.webm",
        frames,
        tone(3, 48000),
        48000,
        codec="libvpx",
        audio_codec="libopus",
        format="webm",
        pipe=True,
    )
    assert inspect_media(path, DemoLimits()).seconds == pytest.approx(3.0, abs=0.15)
    with pytest.raises(MediaError, match="longer than"):
        inspect_media(path, DemoLimits(media_seconds=2))


def test_sound_at_an_absurd_rate_is_refused(tmp_path):
    path = tmp_path / "slow.wav"
    data = b"\0\0" * 4000
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, 100, 200, 2, 16, b"data", len(data))  # fmt: skip
    path.write_bytes(header + data)
    with pytest.raises(MediaError, match="sound at 100 Hz, expected 4000 to 384000"):
        inspect_media(path, DemoLimits())


def test_messages_name_files_without_their_folder():
    assert shown_without_folder("/tmp/x/abc/a.mp4: too short", ["/tmp/x/abc/a.mp4"]) == "a.mp4: too short"


def test_models_are_listed_without_their_folder(tmp_path):
    for name in ("one/model", "two/model"):
        (tmp_path / name).mkdir(parents=True)
    names = name_models([tmp_path / "one/model", tmp_path / "two/model", "someone/on-the-hub"])
    assert list(names) == ["model", "model (2)", "someone/on-the-hub"]
    with pytest.raises(ValueError, match="at least one model"):
        name_models([])


ANSWER = {
    "emotion": "happy",
    "score": 0.4,
    "scores": {"happy": 0.4, "<b>sad": 0.35, "angry": 0.25},
    "is_probability": True,
    "alone": {
        "sound": {"happy": 0.2, "<b>sad": 0.7, "angry": 0.1},
        "face": {"happy": 0.6, "<b>sad": 0.3, "angry": 0.1},
    },
    "inputs": {"sound": True, "frames": 8, "frames_with_face": 5, "features": []},
    "states": [],
    "start_seconds": None,
    "end_seconds": None,
    "is_part": False,
    "frames": [],
    "unit_weights": {},
    "work_seconds": 1.0,
    "model": "<script>",
}


def test_nothing_of_a_file_becomes_markup():
    page = answer_html(ANSWER, 0.0, ["<img src=x>"]) + error_html("<img src=x>")
    assert "<b>" not in page
    assert "<script>" not in page
    assert "<img" not in page


def test_an_answer_is_readable_without_colours():
    page = answer_html(ANSWER, 0.0)
    assert page.count('scope="row"') == 3
    assert re.findall(r'<th scope="col">(.+?)</th>', page) == ["Emotion", "All together", "Sound alone", "Face alone"]
    assert "face in 5 of 8 frames" in page
    assert ">40 %<" in page


def test_an_unsure_answer_says_so():
    assert "<strong>happy</strong>" in answer_html(ANSWER, 0.4)
    assert "<strong>unsure</strong>" in answer_html(ANSWER, 0.41)
    assert "perhaps happy, 40 %" in answer_html(ANSWER, 0.41)


def test_downloads_are_in_the_page_itself():
    page = downloads_html(ANSWER)
    whole, table = (base64.b64decode(data).decode() for data in re.findall(r"base64,([^\"]+)", page))
    assert json.loads(whole)["alone"]["sound"]["<b>sad"] == 0.7
    assert table.splitlines()[:2] == ["emotion,all,sound,face", "happy,0.400000,0.200000,0.600000"]


def test_a_timeline_that_was_stopped_is_shown_with_the_reason(network, clips):
    timeline = answer_of(network, kind="timeline", media=str(clips["long"]))["timeline"]
    page = timeline_html(timeline | {"is_complete": False, "progress": 0.5}, "Stopped after 180 s.")
    assert "Stopped after 180 s. What was done until then is shown." in page
    assert 'data-seconds="7.' in page
    growing = timeline_html(timeline | {"is_complete": False, "progress": 0.5})
    assert "50 % read" in growing
    assert 'data-seconds="14.' in growing or 'data-seconds="13.' in growing


def test_examples_show_all_emotions_and_are_small():
    from modeling_tacfn.configuration_tacfn import TacfnConfig

    files = list(EXAMPLES.iterdir())
    assert sum(file.stat().st_size for file in files) < 1.5e6
    assert set(TacfnConfig().id2label.values()) <= {*CLIPS}
    assert {f"{name}.mp4" for name in CLIPS} <= {file.name for file in files}


def front_matter() -> dict:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / "space/README.md").read_text(encoding="utf-8").split("---")[1])


def test_the_space_is_described_as_hugging_face_wants_it():
    facts = front_matter()
    assert facts["sdk"] == "gradio"
    assert (ROOT / "space" / facts["app_file"]).is_file()
    assert facts["python_version"] == "3.11"
    assert len(facts["short_description"]) <= 60
    assert f"gradio=={facts['sdk_version']}" in (ROOT / "constraints.txt").read_text()


def test_the_space_installs_what_the_package_needs():
    core = re.search(r"CORE = \[(.+?)\]", (ROOT / "setup.py").read_text(), re.DOTALL).group(1)
    lines = (ROOT / "space/requirements.txt").read_text().splitlines()
    assert [line for line in lines if line[0] not in "#-"] == re.findall(r'"(.+?)"', core)
