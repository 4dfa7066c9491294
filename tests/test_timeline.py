"""Emotions over a long recording: what each window is answered, from which frames and samples, in how much memory."""

import subprocess
import sys
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media_samples import draw_face, numbered_frames, rotate_mp4, tone, write_mp4, write_sound
from tiny_models import build, make_config

from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor, timeline_faces, timeline_windows
from modeling_tacfn.media import MediaError
from modeling_tacfn.prediction import answers_of
from modeling_tacfn.timeline import Timeline, Window, grow_timeline, make_timeline
from modeling_tacfn.timeline_media import PictureTrack, open_recording


RATE = 16000
COLUMNS = {"text": [f"t{index}" for index in range(12)], "units": [f"u{index}" for index in range(7)]}
WEBM = {"codec": "libvpx", "audio_codec": "libopus"}


def clip_processor(name="audio_video", do_face_crop=False, num_frames=6):
    return TacfnProcessor(
        TacfnFeatureExtractor(sampling_rate=RATE, feature_size=make_config(name).audio_coefficients),
        TacfnImageProcessor(num_frames=num_frames, size={"height": 48, "width": 48}, do_face_crop=do_face_crop),
    )


def feature_processor():
    return TacfnProcessor(
        TacfnFeatureExtractor(feature_size=20, num_mel_bins=40, sampling_rate=RATE),
        feature_columns=COLUMNS,
        static_features=["units"],
        do_video=False,
    )


def scale(seconds: int, rate: int = RATE) -> np.ndarray:
    """Sound that changes from second to second."""
    return np.concatenate([tone(1, rate, 250 + 130 * step, 0.03 + 0.04 * step) for step in range(seconds)])


def sensitive(name: str, processor, sound: np.ndarray):
    """A network whose input is scaled as training would, so that windows are not answered alike."""
    model = build(name)
    rows = torch.from_numpy(processor.feature_extractor(sound, RATE, return_tensors="np")["input_features"][0])
    model.fusion.standardizers["audio"].fit(rows.mean(0), rows.std(0))
    return model


def scores_of(timeline) -> np.ndarray:
    return np.array([list(window.scores.values()) for window in timeline.windows])


def answers_of_clips(model, processor, path, windows, **more) -> np.ndarray:
    """What `predict` says of each window of the file, alone."""
    answers = []
    for window in windows:
        key = {} if more else {"video": path}
        clip = processor.read(start_seconds=window.start, end_seconds=window.end, **key, **more)
        with torch.inference_mode():
            logits = model(**processor.batch([clip], device=model.device)).logits
        answers.append(answers_of(logits[0], model.config.problem_type).numpy())
    return np.array(answers)


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """Six seconds whose pictures and sound change, with B-frames and a keyframe a second."""
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    options = {"preset": "fast", "bf": "3", "g": "25", "sc_threshold": "0"}
    return write_mp4(path, numbered_frames(150), scale(6), RATE, 25, codec_options=options)


@pytest.mark.parametrize("name", ["audio_video", "cfn_sr", "avt_ca"])
def test_a_window_is_answered_as_the_clip_cut_there(name, talk):
    processor = clip_processor(name)
    model = sensitive(name, processor, scale(6))
    timeline = make_timeline(model, processor, talk, window_seconds=2, hop_seconds=0.7)
    assert [window.start for window in timeline.windows] == pytest.approx([0, 0.7, 1.4, 2.1, 2.8, 3.5, 4.2])
    assert timeline.windows[-1].end == pytest.approx(6.0)
    assert timeline.is_complete
    assert timeline.progress == 1
    assert timeline.real_time_factor > 0
    scores = scores_of(timeline)
    assert np.abs(np.diff(scores, axis=0)).max() > 1e-3, "the windows must differ for this test to mean anything"
    np.testing.assert_allclose(scores, answers_of_clips(model, processor, talk, timeline.windows), atol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("a.webm", WEBM), ("a.ts", {}), ("a.mkv", {"audio_codec": "flac"})])
def test_other_containers(name, options, tmp_path):
    path = write_mp4(tmp_path / name, numbered_frames(100), scale(4, 48000), 48000, 25, **options)
    processor = clip_processor()
    model = sensitive("audio_video", processor, scale(4))
    timeline = make_timeline(model, processor, path, window_seconds=1.5, hop_seconds=0.5)
    clips = answers_of_clips(model, processor, path, timeline.windows)
    # Time stamps of webm are whole milliseconds: sound that is entered elsewhere may lie some samples beside its place.
    np.testing.assert_allclose(scores_of(timeline), clips, atol=1e-5 if name != "a.webm" else 0.02)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "opus"])
def test_sound_alone(ending, tmp_path):
    path = tmp_path / f"talk.{ending}"
    if ending in ("wav", "flac"):
        write_sound(path, scale(4, 44100), 44100)
    else:
        codec = {"mp3": "libmp3lame", "opus": "libopus"}[ending]
        write_mp4(path, None, scale(4, 48000), 48000, audio_codec=codec)
    processor = clip_processor()
    model = sensitive("audio_video", processor, scale(4))
    timeline = make_timeline(model, processor, path, window_seconds=1.5, hop_seconds=0.5)
    assert {window.states for window in timeline.windows} == {("no face",)}
    clips = answers_of_clips(model, processor, None, timeline.windows, audio=path)
    atol = (
        1e-5 if ending in ("wav", "flac") else 0.02
    )  # lossy sound that is entered in the middle starts a little differently
    np.testing.assert_allclose(scores_of(timeline), clips, atol=atol)


def test_a_network_of_features_hears_the_sound_and_says_what_it_lacks(talk, tmp_path):
    processor = feature_processor()
    model = sensitive("features", processor, scale(6))
    timeline = make_timeline(model, processor, talk, window_seconds=2, hop_seconds=1)
    assert [note.split()[0] for note in timeline.notes] == ["units", "text"]
    assert timeline.faces == []
    clips = answers_of_clips(model, processor, None, timeline.windows[:-1], audio=talk)
    np.testing.assert_allclose(scores_of(timeline)[:-1], clips, atol=1e-5)

    rows = np.random.default_rng(0).random((150, 7))
    lines = ["frame, timestamp, success, " + ", ".join(COLUMNS["units"])]
    lines += [f"{i}, {i / 25:.3f}, {int(i != 30)}, " + ", ".join(map(str, row)) for i, row in enumerate(rows)]
    table = tmp_path / "talk.csv"
    table.write_text("\n".join(lines))
    timeline = make_timeline(
        model, processor, talk, window_seconds=2, hop_seconds=1, features={"units": table}, with_audio=False
    )
    assert [note.split()[0] for note in timeline.notes] == ["text"]
    rows[30] = np.nan
    with torch.inference_mode():
        for window, scores in zip(timeline.windows, scores_of(timeline), strict=True):
            units = rows[round(25 * window.start) : round(25 * window.end)]
            clip = processor.read(features={"units": units})
            logits = model(**processor.batch([clip])).logits[0]
            np.testing.assert_allclose(scores, logits.softmax(-1).numpy(), atol=1e-5)


def test_tables_that_cannot_be_cut_by_time(talk, tmp_path):
    processor, model = feature_processor(), build("features")
    table = tmp_path / "means.csv"
    table.write_text("clip_id," + ",".join(COLUMNS["units"]) + "\na" + ",1" * 7 + "\nb" + ",2" * 7 + "\n")
    for features, message in [
        ({"units": table}, "timestamp or frameTime"),
        ({"unit": table}, r"takes \(text, units\)"),
        ({"units": tmp_path / "none.csv"}, "found no file"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_timeline(model, processor, talk, features=features)
    with pytest.raises(ValueError, match="its sound is left out"):
        make_timeline(model, processor, talk, with_audio=False)


def test_batches_and_other_windows_change_nothing(talk):
    processor = clip_processor()
    model = sensitive("audio_video", processor, scale(6))
    options = {"window_seconds": 2, "hop_seconds": 0.5}
    alone = scores_of(make_timeline(model, processor, talk, batch_size=1, **options))
    for batch_size in (3, 64):
        together = scores_of(make_timeline(model, processor, talk, batch_size=batch_size, **options))
        np.testing.assert_allclose(together, alone, atol=1e-5)
    fewer = scores_of(make_timeline(model, processor, talk, window_seconds=2, hop_seconds=1))
    np.testing.assert_allclose(fewer, alone[::2], atol=1e-5)


def test_a_still_face_is_cropped_as_in_a_clip(tmp_path):
    face = np.repeat(draw_face(160, 200, (90, 80), 90)[None], 75, axis=0)
    path = write_mp4(tmp_path / "face.mkv", face, scale(3), RATE, 25, codec="ffv1")
    processor = clip_processor(do_face_crop=True)
    model = sensitive("audio_video", processor, scale(3))
    timeline = make_timeline(model, processor, path, window_seconds=1, hop_seconds=0.5)
    clips = answers_of_clips(model, processor, path, timeline.windows)
    np.testing.assert_allclose(scores_of(timeline), clips, atol=1e-5)
    np.testing.assert_allclose(timeline.windows[0].box, processor.read(video=path).boxes[0], atol=1e-6)
    assert {window.tracks for window in timeline.windows} == {(1,)}


def test_what_is_missing_is_said(tmp_path):
    face = np.repeat(draw_face(120, 160, (80, 60), 80)[None], 50, axis=0)
    wall, black = np.full_like(face, 120), np.zeros_like(face)
    sound = np.concatenate([tone(2), tone(2), np.zeros(4 * RATE, np.float32), tone(0.2)])
    frames = np.concatenate([face, wall, black, face, face[:5]])
    # Lossy sound would ring on into the silence.
    path = write_mp4(tmp_path / "gaps.mkv", frames, sound, RATE, 25, audio_codec="flac")
    timeline = make_timeline(
        build("audio_video"), clip_processor(do_face_crop=True), path, window_seconds=2, hop_seconds=2
    )
    assert [window.states for window in timeline.windows] == [
        (),
        ("no face",),
        ("no face", "no sound"),
        ("no sound",),
        ("too short",),
    ]
    assert [window.scores is None for window in timeline.windows] == [False, False, True, False, True]
    assert [window.said for window in timeline.windows][2::2] == ["nothing to go by", "too short"]
    assert timeline.windows[1].box is None
    assert timeline.seconds == pytest.approx(8.2)


def test_a_recording_shorter_than_a_window(tmp_path):
    path = write_mp4(tmp_path / "short.mp4", numbered_frames(20), tone(0.8), RATE, 25)
    (window,) = make_timeline(build("audio_video"), clip_processor(), path).windows
    assert (window.start, window.end) == (0, pytest.approx(0.8))
    assert window.scores is not None
    path = write_mp4(tmp_path / "shorter.mp4", numbered_frames(5), tone(0.2), RATE, 25)
    (window,) = make_timeline(build("audio_video"), clip_processor(), path).windows
    assert window.states == ("too short",)
    (window,) = make_timeline(build("audio_video"), clip_processor(), path, window_seconds=0.2).windows
    assert window.scores is not None


@pytest.mark.parametrize("hop", [1.0, 5.0])
def test_the_last_window_ends_with_the_recording(hop, tmp_path):
    path = write_mp4(tmp_path / "a.mp4", numbered_frames(250), None, fps=25)
    timeline = make_timeline(build("audio_video"), clip_processor(), path, window_seconds=2.5, hop_seconds=hop)
    ends = [window.end for window in timeline.windows]
    assert ends == pytest.approx([2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10] if hop == 1 else [2.5, 7.5])
    assert all("no sound" in window.states for window in timeline.windows)


def test_pictures_that_end_before_the_sound(tmp_path):
    path = write_mp4(tmp_path / "a.mp4", numbered_frames(50), scale(6), RATE, 25)
    timeline = make_timeline(build("audio_video"), clip_processor(), path, window_seconds=2, hop_seconds=1)
    assert timeline.seconds == pytest.approx(6, abs=0.1)
    assert ["no face" in window.states for window in timeline.windows[:5]] == [False, False, True, True, True]
    still = write_mp4(tmp_path / "still.mp4", numbered_frames(1) + 90, scale(4), RATE, 25)
    timeline = make_timeline(build("audio_video"), clip_processor(), still, window_seconds=2, hop_seconds=1)
    assert timeline.seconds == pytest.approx(4, abs=0.1)
    assert {window.states for window in timeline.windows} == {()}


def test_variable_frame_rate_and_a_frame_that_stays(tmp_path):
    seconds = [*(i / 20 for i in range(40)), 2.0, 7.5, 7.6, 7.7]
    path = write_mp4(tmp_path / "v.mp4", numbered_frames(44), scale(8), RATE, seconds=seconds)
    processor = clip_processor()
    model = sensitive("audio_video", processor, scale(8))
    timeline = make_timeline(model, processor, path, window_seconds=2, hop_seconds=1.5)
    assert {window.states for window in timeline.windows} == {()}
    # The window from 3.0 to 5.0 shows no new frame: what is on the screen then.
    clips = answers_of_clips(model, processor, path, timeline.windows)
    np.testing.assert_allclose(scores_of(timeline), clips, atol=1e-5)


def test_a_browser_recording_tells_its_progress_by_bytes(tmp_path):
    path = write_mp4(
        tmp_path / "b.webm", numbered_frames(200), scale(8, 48000), 48000, 25, pipe=True, format="webm", **WEBM
    )
    with open_recording(path) as recording:
        assert recording.announced_seconds is None
    progress = [
        timeline.progress
        for timeline in grow_timeline(build("audio_video"), clip_processor(), path, window_seconds=1, batch_size=1)
    ]
    assert progress == sorted(progress)
    assert 0 < progress[0] < 0.7
    assert progress[-1] == 1


def test_rotation_of_phones_is_applied(tmp_path):
    face = np.repeat(draw_face(200, 160, (80, 100), 110)[None], 25, axis=0)
    path = write_mp4(tmp_path / "phone.mp4", np.rot90(face, 1, axes=(1, 2)), None, fps=25)
    processor = clip_processor(do_face_crop=True)
    lying = make_timeline(build("audio_video"), processor, path)
    upright = make_timeline(build("audio_video"), processor, rotate_mp4(path, 90))
    assert lying.windows[0].states[0] == "no face"
    assert upright.frame_size == (200, 160)
    assert upright.windows[0].states == ("no sound",)


def test_a_recording_that_starts_late(talk, tmp_path):
    path = tmp_path / "late.mkv"
    with av.open(str(talk)) as source, av.open(str(path), "w") as late:
        streams = {stream.index: late.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            shift = round(5 / packet.time_base)
            packet.stream, packet.pts, packet.dts = (
                streams[packet.stream.index],
                packet.pts + shift,
                packet.dts + shift,
            )
            late.mux(packet)
    processor = clip_processor()
    model = sensitive("audio_video", processor, scale(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that it is cut short, for one
        timeline = make_timeline(model, processor, path, window_seconds=2, hop_seconds=1)
    assert timeline.seconds == pytest.approx(6, abs=0.05)
    expected = scores_of(make_timeline(model, processor, talk, window_seconds=2, hop_seconds=1))
    np.testing.assert_allclose(scores_of(timeline)[:4], expected[:4], atol=0.02)  # whole milliseconds again


def test_a_recording_that_was_cut_short_is_used_as_far_as_it_goes(tmp_path):
    options = {"container_options": {"movflags": "faststart"}}
    whole = write_mp4(tmp_path / "whole.mp4", numbered_frames(200), scale(8), RATE, 25, **options)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 5])
    with pytest.warns(UserWarning, match="cut short, only"):
        timeline = make_timeline(build("audio_video"), clip_processor(), cut, window_seconds=1)
    assert 2 < timeline.seconds < 7
    assert timeline.windows[0].scores is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "zero bytes"), (b"words, no pictures\n" * 50, "cannot be opened"), (None, "nothing is there")],
    ids=["empty", "text", "missing"],
)
def test_what_is_no_recording(content, message, tmp_path):
    path = tmp_path / "talk.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=message):
        make_timeline(build("audio_video"), clip_processor(), path)


@pytest.mark.parametrize(
    "wrong",
    [{"hop_seconds": 0}, {"window_seconds": -1}, {"batch_size": 0}, {"threshold": 2}, {"smoothing_seconds": -1}],
)
def test_options_out_of_range(wrong, talk):
    with pytest.raises(ValueError, match="expected"):
        make_timeline(build("audio_video"), clip_processor(), talk, **wrong)


def test_random_damage_ends_in_an_answer_or_a_media_error(tmp_path, talk):
    rng, model, processor = np.random.default_rng(0), build("audio_video"), clip_processor()
    options = {"pipe": True, "format": "webm", **WEBM}
    live = write_mp4(tmp_path / "live.webm", numbered_frames(50), scale(2, 48000), 48000, 25, **options)
    answered = 0
    for source in (talk, live) * 5:
        content = bytearray(source.read_bytes())
        for place in rng.integers(0, len(content), 20):
            content[place] = rng.integers(256)
        path = tmp_path / f"damaged{source.suffix}"
        path.write_bytes(content[: rng.integers(len(content) // 2, len(content))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                answered += make_timeline(model, processor, path).is_complete
            except MediaError:
                continue
    assert answered > 2


def test_a_speaker_normalised_network_judges_against_the_speaker(talk):
    plain, normalised = feature_processor(), feature_processor()
    normalised.is_speaker_normalized = True
    model = sensitive("features", plain, scale(6))
    with pytest.raises(ValueError, match="clips of the same speaker"):
        make_timeline(model, normalised, talk)
    statistics = normalised.speaker_statistics([normalised.read(audio=talk)])
    timeline = make_timeline(model, normalised, talk, statistics=statistics, hop_seconds=3)
    assert len(timeline.windows) == 2, "what lossy sound is padded with gets no window"
    clip = normalised.read(audio=talk, end_seconds=3)
    with torch.inference_mode():
        logits = model(**normalised.batch([clip], speaker=statistics)).logits[0]
    np.testing.assert_allclose(scores_of(timeline)[0], logits.softmax(-1).numpy(), atol=1e-5)


def test_it_grows_while_it_is_read(talk, monkeypatch):
    read = []
    frames = PictureTrack.frames
    monkeypatch.setattr(PictureTrack, "frames", lambda track: (read.append(one) or one for one in frames(track)))
    growing = grow_timeline(
        build("audio_video"), clip_processor(), talk, window_seconds=1, hop_seconds=0.5, batch_size=2
    )
    first = next(growing)
    assert len(first.windows) == 2
    assert 25 < len(read) < 60
    assert not first.is_complete
    (*_, last) = growing
    assert last is first
    assert len(last.windows) == 11
    assert len(read) == 150, "each frame is decoded once"


def test_each_face_is_looked_for_once_and_each_crop_cut_once(tmp_path, monkeypatch):
    face = np.repeat(draw_face(120, 160, (80, 60), 80)[None], 100, axis=0)
    path = write_mp4(tmp_path / "face.mp4", face, None, fps=25)
    searched, cut = [], []
    detect, crops = timeline_faces.detect_faces, TacfnImageProcessor.crops
    monkeypatch.setattr(timeline_faces, "detect_faces", lambda *args: searched.append(1) or detect(*args))
    monkeypatch.setattr(TacfnImageProcessor, "crops", lambda *args: cut.append(1) or crops(*args))
    make_timeline(build("audio_video"), clip_processor(do_face_crop=True), path, window_seconds=1, hop_seconds=0.25)
    assert len(searched) == 8
    assert len(cut) == 100


def test_nothing_that_is_past_is_kept(tmp_path, monkeypatch):
    peaks = []

    class Watched(timeline_windows.WindowReader):
        def _cut(self, *arguments):
            peaks.append((len(self._ready), len(self.crops._waiting), len(self.sound._blocks)))
            return super()._cut(*arguments)

    monkeypatch.setattr("modeling_tacfn.timeline.WindowReader", Watched)
    most = []
    for seconds in (8, 24):
        face = np.repeat(draw_face(60, 80, (40, 30), 40)[None], 10 * seconds, axis=0)
        path = write_mp4(tmp_path / f"{seconds}.mp4", face, tone(seconds), RATE, 10)
        peaks.clear()
        make_timeline(build("audio_video"), clip_processor(do_face_crop=True), path, window_seconds=2)
        most.append(np.max(peaks, axis=0))
    np.testing.assert_array_equal(most[0], most[1])
    assert most[0][0] <= 10 * 3.5
    assert most[0][1] <= 10


def test_smoothing_and_threshold():
    scores = [{"a": 0.9, "b": 0.1}, {"a": 0.2, "b": 0.8}, None, {"a": 0.4, "b": 0.6}]
    windows = [Window(float(i), i + 2.0, one, () if one else ("no face",)) for i, one in enumerate(scores)]
    timeline = Timeline("x", ["a", "b"], 2.0, 1.0, windows=windows)
    smooth = timeline.refined(2.0, 0.6)
    assert [window.scores and round(window.scores["a"], 6) for window in smooth.windows] == [0.55, 0.55, None, 0.4]
    assert [window.said for window in smooth.windows] == ["unsure", "unsure", "nothing to go by", "b"]
    assert smooth.windows[0].emotion == "a"
    assert [window.said for window in timeline.windows] == ["a", "b", "nothing to go by", "b"], "unchanged"
    assert timeline.refined().windows == windows
    assert [(s.start, s.end, s.said) for s in smooth.segments()] == [
        (0.0, 2.5, "unsure"),
        (2.5, 3.5, "nothing to go by"),
        (3.5, 5.0, "b"),
    ]
    assert smooth.segments()[0].score == pytest.approx(0.55)


def test_windows_that_leave_gaps_stand_for_themselves_only():
    windows = [Window(5.0 * i, 5.0 * i + 2, {"a": 1.0}) for i in range(2)]
    timeline = Timeline("x", ["a"], 2.0, 5.0, windows=windows)
    assert [(s.start, s.end) for s in timeline.segments()] == [(0.0, 2.0), (5.0, 7.0)]


MEASURE = """
import sys
sys.path[:0] = ["tests"]
from test_timeline import build, clip_processor, make_timeline
timeline = make_timeline(build("audio_video"), clip_processor(do_face_crop=True), sys.argv[1], window_seconds=3)
assert timeline.is_complete and timeline.windows[-1].scores
# Unlike getrusage's, this peak does not count the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(timeline.windows), int(peak.split()[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_stays_flat(tmp_path):
    used = {}
    for minutes in (1, 4):
        count = 60 * 15 * minutes
        positions = 40 + 10 * np.sin(np.arange(90) / 14)
        faces = np.stack([draw_face(60, 80, (x, 30), 40) for x in positions])
        path = write_mp4(
            tmp_path / f"{minutes}.mp4", faces[np.arange(count) % 90], np.tile(scale(6), 10 * minutes), RATE, 15
        )
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)], cwd=root, capture_output=True, text=True, check=True
        )
        windows, used[minutes] = map(float, done.stdout.split())
        assert windows == 60 * minutes - 2
    assert used[4] - used[1] < 15, used  # MiB; the frames alone of the other three minutes are 37 MiB, the sound 11
