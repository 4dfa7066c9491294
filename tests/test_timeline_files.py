"""A timeline as CSV, JSON, subtitles, ELAN annotations, picture and video, and the command that writes them."""

import csv
import itertools
import json
import re
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
import pytest
from matplotlib.colors import to_hex
from media_samples import draw_face, numbered_frames, tone, write_mp4, write_sound
from tiny_models import build

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor, timeline_files, timeline_video
from modeling_tacfn.timeline import FacePoint, Timeline, Window, make_timeline
from modeling_tacfn.timeline_colours import colours_of, ink_on
from modeling_tacfn.timeline_files import clock, save_timeline, timeline_table
from modeling_tacfn.timeline_plot import draw_timeline
from modeling_tacfn.timeline_video import save_video
from tacfn import TIMELINE_EXAMPLE, TIMELINE_FILES, TIMELINE_VIDEOS, build_parser, main


LABELS = ["happy", "sad", "angry"]
RATE = 22050


@pytest.fixture
def timeline(tmp_path) -> Timeline:
    """Eight windows of 3 s: happy, sad, two without anything, sad, and three unsure ones."""
    scores = [(0.8, 0.1, 0.1), (0.7, 0.2, 0.1), (0.1, 0.85, 0.05), None, None, (0.2, 0.7, 0.1)] + 3 * [(0.4, 0.3, 0.3)]
    windows = []
    for index, values in enumerate(scores):
        states = ("no face", "no sound") if values is None else ("no face",) * (index >= 5)
        box = (10.0, 20.0, 50.0, 60.0) if index < 3 else None
        answer = None if values is None else dict(zip(LABELS, values, strict=True))
        windows.append(Window(float(index), index + 3.0, answer, states, box, (1,) * (index < 3)))
    source = tmp_path / "the talk & more.mp4"
    grown = Timeline(str(source), LABELS, 3.0, 1.0, windows=windows, seconds=11.0, progress=1.0, is_complete=True)
    grown.processing_seconds, grown.frame_size = 5.5, (120, 160)
    return grown.refined(threshold=0.5)


def test_csv_has_every_window(timeline, tmp_path):
    save_timeline(timeline, tmp_path / "new" / "talk.csv")
    with open(tmp_path / "new" / "talk.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert rows[0]["said"] == rows[0]["emotion"] == "happy"
    assert float(rows[0]["happy"]) == float(rows[0]["score"]) == 0.8
    assert (rows[2]["start_seconds"], rows[2]["end_seconds"]) == ("2.000", "5.000")
    assert (rows[3]["said"], rows[3]["emotion"], rows[3]["sad"]) == ("nothing to go by", "", "")
    assert rows[3]["states"] == "no face; no sound"
    assert (rows[8]["said"], rows[8]["emotion"], rows[8]["states"]) == ("unsure", "happy", "no face; unsure")
    assert [rows[0][name] for name in rows[0] if name.startswith("face")] == ["10.0", "20.0", "50.0", "60.0"]


def test_json_tells_how_it_was_made(timeline, tmp_path):
    save_timeline(timeline, tmp_path / "talk.json")
    stored = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert stored["real_time_factor"] == 0.5
    assert (stored["window_seconds"], stored["hop_seconds"], stored["threshold"]) == (3.0, 1.0, 0.5)
    assert stored["frame_size"] == {"height": 120, "width": 160}
    assert stored["windows"][0] == {
        "start": 0.0,
        "end": 3.0,
        "said": "happy",
        "emotion": "happy",
        "score": 0.8,
        "states": [],
        "scores": {"happy": 0.8, "sad": 0.1, "angry": 0.1},
        "box": [10.0, 20.0, 50.0, 60.0],
        "tracks": [1],
    }
    assert stored["windows"][3]["scores"] is None


def test_subtitles(timeline, tmp_path):
    save_timeline(timeline, tmp_path / "talk.srt")
    blocks = (tmp_path / "talk.srt").read_text(encoding="utf-8").strip().split("\n\n")
    assert [block.splitlines() for block in blocks] == [
        ["1", "00:00:00,000 --> 00:00:03,000", "happy 75 %"],
        ["2", "00:00:03,000 --> 00:00:04,000", "sad 85 %"],
        ["3", "00:00:04,000 --> 00:00:06,000", "nothing to go by (no face, no sound)"],
        ["4", "00:00:06,000 --> 00:00:07,000", "sad 70 % (no face)"],
        ["5", "00:00:07,000 --> 00:00:11,000", "unsure 40 % (no face)"],
    ]


def test_times_of_long_recordings():
    assert timeline_files._subtitle_time(3725.0004) == "01:02:05,000"
    assert timeline_files._subtitle_time(59.9996) == "00:01:00,000"
    assert [clock(59.6), clock(3725), clock(65, has_hours=True)] == ["1:00", "1:02:05", "0:01:05"]


def check_structure_of_eaf(path) -> ElementTree.Element:
    """What the schema of EAF 3.0 asks of the elements that are used here."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "VERSION", "FORMAT"} <= set(root.attrib)
    assert datetime.fromisoformat(root.get("DATE")).tzinfo is not None
    assert root.get("{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation").endswith("EAFv3.0.xsd")
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
    places = [order.index(child.tag) for child in root]
    assert places == sorted(places)
    assert [places.count(index) for index in (0, 1, 3)] == [1, 1, 1]
    header = root.find("HEADER")
    assert header.get("TIME_UNITS") == "milliseconds"
    assert [child.tag for child in header] == ["MEDIA_DESCRIPTOR", "PROPERTY"]
    assert {"MEDIA_URL", "MIME_TYPE"} <= set(header.find("MEDIA_DESCRIPTOR").attrib)
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    annotations = list(root.iter("ALIGNABLE_ANNOTATION"))
    names = [*slots, *(annotation.get("ANNOTATION_ID") for annotation in annotations)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", name) for name in names), "an xsd:ID"
    assert list(slots.values()) == sorted(slots.values())
    types = {one.get("LINGUISTIC_TYPE_ID") for one in root.iter("LINGUISTIC_TYPE")}
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        times = []
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            assert [child.tag for child in annotation] == ["ANNOTATION_VALUE"]
            times.append([slots[annotation.get(f"TIME_SLOT_REF{end}")] for end in (1, 2)])
        assert all(first < last for first, last in times)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(times)), (
            "annotations of a tier overlap"
        )
    assert int(header.find("PROPERTY").text) == len(annotations)
    return root


def test_elan_annotations(timeline, tmp_path):
    save_timeline(timeline, tmp_path / "notes" / "talk.eaf")
    root = check_structure_of_eaf(tmp_path / "notes" / "talk.eaf")
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media.get("MEDIA_URL").startswith("file:///")
    assert media.get("MEDIA_URL").endswith("/the%20talk%20%26%20more.mp4")
    assert media.get("RELATIVE_MEDIA_URL") == "../the talk & more.mp4"
    assert media.get("MIME_TYPE") == "video/mp4"
    save_timeline(timeline, tmp_path / "talk.eaf")
    assert check_structure_of_eaf(tmp_path / "talk.eaf").find("HEADER/MEDIA_DESCRIPTOR").get("RELATIVE_MEDIA_URL") == (
        "./the talk & more.mp4"
    )
    said = {tier.get("TIER_ID"): [value.text for value in tier.iter("ANNOTATION_VALUE")] for tier in root.iter("TIER")}
    assert said == {
        "emotion": ["happy", "sad", "nothing to go by", "sad", "unsure"],
        "missing": ["no face, no sound", "no face"],
    }


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_pictures(timeline, ending, start, tmp_path):
    save_timeline(timeline, tmp_path / f"talk.{ending}")
    assert (tmp_path / f"talk.{ending}").read_bytes().startswith(start)


def test_the_picture_shows_what_is_said_and_what_is_missing(timeline):
    figure = draw_timeline(timeline)
    band, scores, *strips = figure.axes
    assert [text.get_text() for text in band.texts] == ["happy", "sad", "nothing to go by", "sad", "unsure"]
    assert to_hex(band.patches[0].get_facecolor()).upper() == colours_of(LABELS)["happy"]
    assert scores.get_ylabel() == "probability, stacked"
    assert [strip.get_yticklabels()[0].get_text() for strip in strips] == ["no face", "no sound"]
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {*LABELS, "unsure", "nothing to go by"}
    yes_or_no = [Window(0.0, 3.0, {"happy": 0.9, "sad": 0.8}), Window(1.0, 4.0, {"happy": 0.1, "sad": 0.8})]
    lines = draw_timeline(Timeline("x", ["happy", "sad"], 3.0, 1.0, windows=yes_or_no)).axes[1]
    assert len(lines.lines) == 2
    estimate = [Window(0.0, 3.0, {"sentiment": -1.2}), Window(1.0, 4.0, {"sentiment": 2.0})]
    number = Timeline("x", ["sentiment"], 3.0, 1.0, is_probability=False, windows=estimate)
    assert draw_timeline(number).axes[1].get_ylabel() == "estimate"
    assert "sentiment +0.40" in timeline_table(number)
    with pytest.raises(ValueError, match="at least one window"):
        draw_timeline(Timeline("x", ["a"], 3.0, 1.0))


def test_a_label_has_its_colour_wherever_it_stands():
    ravdess = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
    colours = colours_of(ravdess)
    assert len(set(colours.values())) == 8
    assert colours_of(["angry", "sad"]) == {label: colours[label] for label in ("angry", "sad")}
    assert colours_of(["Anger", "Sadness"]) == {"Anger": colours["angry"], "Sadness": colours["sad"]}
    many = colours_of([f"label {index}" for index in range(8)] + ["happy", "joy"])
    assert many["happy"] == colours["happy"]
    assert many["joy"] != many["happy"]
    assert [ink_on("#000000"), ink_on("#F0E442")] == ["#FFFFFF", "#000000"]


def test_files_are_whole_or_not_there(timeline, tmp_path, monkeypatch):
    (tmp_path / "talk.srt").write_text("mine")
    monkeypatch.setattr(timeline_files, "_subtitle_time", lambda seconds: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_timeline(timeline, tmp_path / "talk.srt")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("talk.srt", "mine")]
    with pytest.raises(ValueError, match=r"ending in \.csv"):
        save_timeline(timeline, tmp_path / "talk.doc")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three seconds of a face and its stereo sound, with an odd number of rows and columns."""
    path = tmp_path_factory.mktemp("recording") / "talk.mkv"
    face = np.repeat(draw_face(121, 161, (80, 60), 80)[None], 60, axis=0)
    return write_mp4(path, face, tone(3.0, 48000, 500), 48000, 20, codec="ffv1", audio_codec="libopus")


def seen_timeline(path) -> Timeline:
    windows = [
        Window(float(i), i + 1.0, {"happy": 0.9 - 0.8 * (i == 1), "angry": 0.1 + 0.8 * (i == 1)}) for i in range(3)
    ]
    faces = [FacePoint(0.0, np.array([40.0, 20, 120, 100]), 1), FacePoint(3.0, np.array([40.0, 20, 120, 100]), 1)]
    return Timeline(str(path), ["happy", "angry"], 1.0, 1.0, windows=windows, seconds=3.0, faces=faces)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_the_video_shows_the_face_and_keeps_the_sound(recording, ending, tmp_path):
    progress = []
    save_video(seen_timeline(recording), tmp_path / f"seen.{ending}", progress.append)
    with av.open(str(tmp_path / f"seen.{ending}")) as container:
        frames = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with av.open(str(tmp_path / f"seen.{ending}")) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert len(frames) == 60
    np.testing.assert_allclose([seconds for seconds, _ in frames], np.arange(60) / 20, atol=2e-3)
    assert frames[0][1].shape == (120, 160, 3)
    colours = colours_of(["happy", "angry"])
    for index, label in ((10, "happy"), (30, "angry")):
        wanted = [int(colours[label][place : place + 2], 16) for place in (1, 3, 5)]
        np.testing.assert_allclose(frames[index][1][40:80, 40:42].mean(axis=(0, 1)), wanted, atol=45)
        assert frames[index][1][-3:, 60:].mean() < 60, "the strip below"
    assert sound.shape[1] == pytest.approx(3 * 48000, abs=3000)
    spectrum = np.abs(np.fft.rfft(sound[0, 20000:116000]))
    assert np.argmax(spectrum) * 48000 / 96000 == pytest.approx(500, abs=1)
    assert progress == sorted(progress)
    assert progress[-1] > 0.9


def test_sound_with_a_hole_stays_beside_its_pictures(tmp_path):
    source = write_mp4(tmp_path / "whole.mkv", numbered_frames(100), tone(4, 48000), 48000, audio_codec="flac")
    path = tmp_path / "hole.mkv"
    with av.open(str(source)) as whole, av.open(str(path), "w") as holed:
        streams = {stream.index: holed.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is None or (packet.stream.type == "audio" and 1 < packet.pts * packet.time_base < 2):
                continue
            packet.stream = streams[packet.stream.index]
            holed.mux(packet)
    save_video(seen_timeline(path), tmp_path / "seen.mp4")
    with av.open(str(tmp_path / "seen.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]
    loud = [np.abs(sound[round(48000 * start) :][:4800]).max() > 0.1 for start in (0.5, 1.4, 2.4, 3.5)]
    assert loud == [True, False, True, True]


def test_videos_that_cannot_be_made(recording, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="which it would replace"):
        save_video(seen_timeline(recording), recording)
    with pytest.raises(ValueError, match=r"ending in \.mp4"):
        save_video(seen_timeline(recording), tmp_path / "seen.gif")
    speech = write_sound(tmp_path / "speech.wav", tone(1.0))
    with pytest.raises(ValueError, match="only has sound"):
        save_video(seen_timeline(speech), tmp_path / "seen.mp4")
    monkeypatch.setattr(timeline_video, "annotate", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_video(seen_timeline(recording), tmp_path / "seen.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["speech.wav"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    build("audio_video").save_pretrained(folder)
    images = TacfnImageProcessor(num_frames=4, size={"height": 48, "width": 48})
    TacfnProcessor(TacfnFeatureExtractor(sampling_rate=RATE), images).save_pretrained(folder)
    return folder


def test_the_command_writes_what_it_is_asked_for(recording, model, tmp_path, capsys):
    outputs = [str(tmp_path / f"talk{ending}") for ending in TIMELINE_FILES]
    arguments = ["timeline", str(recording), "--model", str(model), "--window_seconds", "1.5", "--hop_seconds", "0.5"]
    video = str(tmp_path / "seen.mp4")
    assert main([*arguments, "--output", *outputs, "--video", video, "--smoothing_seconds", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert len(printed["windows"]) == 4
    assert printed["smoothing_seconds"] == 2
    assert printed["windows"][0]["box"] is not None
    assert all((tmp_path / f"talk{ending}").stat().st_size for ending in TIMELINE_FILES)
    check_structure_of_eaf(tmp_path / "talk.eaf")
    network, processor = build("audio_video"), TacfnProcessor.from_pretrained(model)
    same = make_timeline(network, processor, recording, window_seconds=1.5, hop_seconds=0.5, smoothing_seconds=2)
    assert [window.emotion for window in same.windows] == [window["emotion"] for window in printed["windows"]]
    assert main([*arguments, "--no_audio", "--threshold", "1"]) == 0
    table = capsys.readouterr().out
    assert "talk.mkv  (0:03, 4 windows, " in table
    assert "0:00 – 0:03" in table
    assert "unsure" in table


@pytest.mark.parametrize(
    "wrong",
    [
        ["--face", "biggest"],
        ["--threshold", "1.5"],
        ["--hop_seconds", "x"],
        ["--output", "a.doc"],
        ["--video", "a.gif"],
    ],
)
def test_wrong_usage(wrong, model):
    with pytest.raises(SystemExit) as stopped:
        main(["timeline", "talk.mp4", "--model", str(model), *wrong])
    assert stopped.value.code == 2


def test_the_command_refuses_before_it_works(recording, model, tmp_path, capsys):
    before = recording.read_bytes()
    for wrong, message in [
        (["--video", str(recording)], "which it would replace"),
        (["--output", "/dev/null/talk.csv"], "a place where a file can be written"),
        (["--hop_seconds", "0"], "hop_seconds"),
        (["--features", "units=x.csv"], "takes (it names none)"),
    ]:
        assert main(["timeline", str(recording), "--model", str(model), *wrong]) == 1
        assert message in capsys.readouterr().err
    assert recording.read_bytes() == before
    (tmp_path / "old.csv").write_text("old")
    missing = ["timeline", str(tmp_path / "none.mp4"), "--model", str(model), "--output", str(tmp_path / "old.csv")]
    assert main(missing) == 1
    assert (tmp_path / "old.csv").read_text() == "old"
    assert "nothing is there" in capsys.readouterr().err


def test_what_the_arguments_say_is_what_the_code_takes():
    assert timeline_files.ENDINGS == TIMELINE_FILES
    assert timeline_video.ENDINGS == TIMELINE_VIDEOS
    page = (Path(__file__).resolve().parents[1] / "docs" / "timeline.md").read_text(encoding="utf-8")
    for line in re.findall(r"^(?:  )?tacfn (.+)$", f"{TIMELINE_EXAMPLE}\n{page}", re.MULTILINE):
        assert build_parser().parse_args(line.split()).command == "timeline"
