"""The synthetic corpus: its files, its promise that only both modalities tell the emotion, and its refusals."""

import itertools
import json
import shutil
import subprocess
import sys
from collections import Counter

import av
import cv2
import datasets
import numpy as np
import pytest

from dataset_scripts import corpus_folds, load_corpus
from dataset_scripts.ravdess import parse_ravdess_name
from dataset_scripts.synthetic import is_complete, main, make_synthetic_corpus, write_clip
from dataset_scripts.synthetic_drawing import FRAME_SIZE, draw_face
from dataset_scripts.synthetic_faces import EXPRESSIONS, make_face_style
from dataset_scripts.synthetic_takes import (
    AMBIGUOUS_FACES,
    AMBIGUOUS_VOICES,
    FACE_DOUBLES,
    LABELS,
    VOICE_DOUBLES,
    Take,
    double_of,
    modality_ceiling,
    plan_takes,
    take_expression,
    take_prosody,
)
from dataset_scripts.synthetic_voices import PROSODIES, SAMPLING_RATE, make_voice_style, synthesise_voice


NUM_SPEAKERS, NUM_CLIPS = 2, 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_synthetic_corpus(tmp_path_factory.mktemp("corpus") / "synthetic", NUM_SPEAKERS, NUM_CLIPS, num_proc=2)


@pytest.fixture(scope="module")
def cascade():
    return cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")


def decode(path):
    with av.open(str(path)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        return frames, sound, container.streams.audio[0].rate, container.streams.video[0].average_rate


def clips_of(folder):
    return sorted(folder.glob("**/*.mp4"))


def test_names_follow_ravdess(corpus):
    clips = clips_of(corpus)
    assert len(clips) == NUM_SPEAKERS * NUM_CLIPS
    for path in clips:
        name = parse_ravdess_name(path.stem)
        assert path.parent.name == f"Actor_{name.actor}"
    assert Counter(parse_ravdess_name(path.stem).label for path in clips) == dict.fromkeys(LABELS, NUM_SPEAKERS)


@pytest.mark.slow
def test_clips_decode_with_picture_and_sound(corpus):
    for path in clips_of(corpus)[::5]:
        frames, sound, sampling_rate, frame_rate = decode(path)
        assert frames.shape[1:] == (FRAME_SIZE[1], FRAME_SIZE[0], 3)
        assert (sampling_rate, frame_rate) == (SAMPLING_RATE, 25)
        assert 1.0 < len(frames) / 25 < 3.0
        assert len(sound) / sampling_rate == pytest.approx(len(frames) / 25, abs=0.05)
        assert 1e-3 < np.abs(sound).max() <= 1
        assert np.abs(np.diff(frames.astype(int), axis=0)).mean() > 0.1  # the picture moves


def test_same_seed_same_bytes_in_one_process_or_two(corpus, tmp_path):
    again = make_synthetic_corpus(tmp_path / "again", 1, 3, num_proc=1)
    for path in clips_of(again):
        assert path.read_bytes() == (corpus / path.relative_to(again)).read_bytes()


def test_another_seed_gives_other_people():
    assert make_face_style(1, 0) == make_face_style(1, 0)
    assert make_face_style(1, 0) != make_face_style(1, 1)
    assert make_voice_style(1, 0) != make_voice_style(1, 1)
    assert len({make_face_style(speaker).skin for speaker in range(1, 9)}) == 8
    assert len({make_face_style(speaker).backdrop for speaker in range(1, 9)}) == 8


@pytest.mark.slow
def test_goes_on_where_it_stopped(corpus, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(corpus, folder)
    kept, cut, emptied, foreign, gone = clips_of(folder)[:5]
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    emptied.write_bytes(b"")
    foreign.write_text("not a clip")
    gone.unlink()
    untouched = kept.stat().st_mtime_ns
    assert [is_complete(path) for path in (kept, cut, emptied, foreign, gone)] == [True, False, False, False, False]
    make_synthetic_corpus(folder, NUM_SPEAKERS, NUM_CLIPS, num_proc=1)
    assert kept.stat().st_mtime_ns == untouched
    for path in (cut, emptied, foreign, gone):
        assert path.read_bytes() == (corpus / path.relative_to(folder)).read_bytes()


def test_a_failed_clip_leaves_nothing(tmp_path):
    def frames():
        yield np.zeros((FRAME_SIZE[1], FRAME_SIZE[0], 3), dtype=np.uint8)
        raise RuntimeError("the power went off")

    with pytest.raises(RuntimeError, match="power"):
        write_clip(tmp_path / "clip.mp4", frames(), np.zeros(44100, dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_one_stream_is_not_complete(tmp_path):
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")))
        container.mux(stream.encode())
    assert not is_complete(path)


@pytest.mark.slow
def test_haar_cascade_finds_the_faces(cascade):
    found = []
    for speaker in range(1, 9):
        for expression in EXPRESSIONS.values():
            grey = cv2.cvtColor(draw_face(make_face_style(speaker), expression), cv2.COLOR_RGB2GRAY)
            found.append(len(cascade.detectMultiScale(grey, 1.1, 5, minSize=(60, 60))) > 0)
    assert np.mean(found) >= 0.95


@pytest.mark.slow
def test_haar_cascade_finds_a_face_in_every_clip(corpus, cascade):
    for path in clips_of(corpus):
        frames = decode(path)[0]
        chosen = frames[np.linspace(0, len(frames) - 1, 5).astype(int)]
        greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in chosen]
        assert any(len(cascade.detectMultiScale(grey, 1.1, 5, minSize=(60, 60))) for grey in greys), path.name


def test_every_pair_of_emotions_differs_in_a_modality():
    for first, second in itertools.combinations(LABELS, 2):
        assert double_of(first, "face") != second or double_of(first, "voice") != second
    for emotion in LABELS:
        # An ambiguous face and an ambiguous voice have only one emotion in common.
        faces, voices = {emotion, double_of(emotion, "face")}, {emotion, double_of(emotion, "voice")}
        assert (faces & voices) - {None} == {emotion}


@pytest.mark.parametrize(("modality", "ceiling"), [("face", 0.71875), ("voice", 0.65)])
def test_one_modality_is_not_enough(modality, ceiling):
    assert modality_ceiling(modality) == pytest.approx(ceiling)


@pytest.mark.parametrize(("pairs", "take_of"), [(FACE_DOUBLES, take_expression), (VOICE_DOUBLES, take_prosody)])
def test_ambiguous_clips_do_not_tell_the_two_emotions_apart(pairs, take_of):
    for first, second in pairs:
        shown = [
            take_of(Take(1, emotion, 1, 1, 1, True, True), np.random.default_rng(0)) for emotion in (first, second)
        ]
        assert shown[0] == shown[1]
        plain = [
            take_of(Take(1, emotion, 1, 1, 1, False, False), np.random.default_rng(0)) for emotion in (first, second)
        ]
        assert plain[0] != plain[1]
    # Neutral has no strong form, so a strong face or voice of its double must not give it away.
    double = dict(pairs)["neutral"]
    weak, strong = (take_of(Take(1, double, i, 1, 1, True, True), np.random.default_rng(0)) for i in (1, 2))
    assert weak == strong


def test_ambiguity_is_as_frequent_as_declared_and_independent():
    takes = plan_takes(99, 32)
    faces = [take.ambiguous_face for take in takes if double_of(take.emotion, "face")]
    voices = [take.ambiguous_voice for take in takes]
    assert np.mean(faces) == pytest.approx(AMBIGUOUS_FACES, abs=0.03)
    assert np.mean(voices) == pytest.approx(AMBIGUOUS_VOICES, abs=0.03)
    assert not any(take.ambiguous_face for take in takes if take.emotion in ("happy", "sad"))
    doubled = [take for take in takes if double_of(take.emotion, "face")]
    correlation = np.corrcoef(faces, [take.ambiguous_voice for take in doubled])[0, 1]
    assert abs(correlation) < 0.06


def test_plan_is_balanced_and_grows_without_changing():
    takes = plan_takes(3, 30)
    assert set(Counter(take.emotion for take in takes).values()) == {9, 12}
    assert set(plan_takes(2, 8)) <= set(takes)
    full = plan_takes(1, 60)
    assert len({take.clip_id for take in full}) == 60
    assert Counter(take.emotion for take in full) == {"neutral": 4, **dict.fromkeys(LABELS[1:], 8)}
    assert not any(take.emotion == "neutral" and take.intensity == 2 for take in full)


def test_mouth_and_eyes_move_the_picture():
    style = make_face_style(2)
    rest = draw_face(style, EXPRESSIONS["neutral"]).astype(int)
    assert rest.shape == (FRAME_SIZE[1], FRAME_SIZE[0], 3)
    assert np.abs(draw_face(style, EXPRESSIONS["neutral"], blink=1.0) - rest).max() > 60
    for emotion in LABELS[1:]:
        assert np.abs(draw_face(style, EXPRESSIONS[emotion]) - rest).mean() > 0.5, emotion
    assert draw_face(style, EXPRESSIONS["happy"], size=(192, 144)).shape == (144, 192, 3)


def test_voices_differ_as_declared():
    style = make_voice_style(1)
    speech = {emotion: synthesise_voice(style, PROSODIES[emotion]) for emotion in LABELS}
    level = {emotion: 20 * np.log10(item.waveform.std()) for emotion, item in speech.items()}
    assert level["angry"] > level["neutral"] + 5 > level["sad"] + 12
    assert speech["sad"].duration_seconds > speech["neutral"].duration_seconds > speech["fearful"].duration_seconds
    for item in speech.values():
        assert item.waveform.dtype == np.float32
        assert np.isfinite(item.waveform).all()
        assert np.abs(item.waveform).max() <= 1
        assert 0.7 < item.mouth_open.max() <= 1
        # The mouth is shut in the silence before and after.
        assert item.mouth_open[[0, -1]] == pytest.approx([0, 0])


def test_loads_as_a_corpus(corpus, tmp_path):
    options = {"num_speakers": NUM_SPEAKERS, "clips_per_speaker": NUM_CLIPS}
    table = load_corpus("synthetic", corpus, cache_dir=tmp_path, **options)
    assert len(table) == NUM_SPEAKERS * NUM_CLIPS
    assert table.features["label"].names == LABELS
    for row in table:
        name = parse_ravdess_name(row["clip_id"])
        assert LABELS[row["label"]] == name.label
        assert (row["speaker_id"], row["label_raw"], row["gender"]) == (name.actor, name.emotion, name.gender)
        assert row["utterance_group"] == name.performance
        assert is_complete(row["video"])
        assert row["audio"] is None
        assert row["license"] == "CC0-1.0"
    assert corpus_folds(table) == [["01"], ["02"]]


def test_made_in_the_cache_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    table = load_corpus("synthetic", cache_dir=tmp_path / "tables", num_speakers=2, clips_per_speaker=1)
    assert all(row["video"].startswith(str(tmp_path / "cache")) for row in table)
    assert all(is_complete(row["video"]) for row in table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_speakers": 0}, "num_speakers to be a whole number from 1 to 99, received 0"),
        ({"num_speakers": 2.5}, "num_speakers .* received 2.5"),
        ({"num_speakers": True}, "num_speakers"),
        ({"clips_per_speaker": 61}, "clips_per_speaker to be a whole number from 1 to 60, received 61"),
        ({"seed": -1}, "seed"),
        ({"num_proc": 0}, "num_proc"),
    ],
)
def test_wrong_numbers_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_synthetic_corpus(tmp_path / "corpus", **arguments)
    assert not (tmp_path / "corpus").exists()


def test_other_peoples_folders_are_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match="another synthetic corpus.*Give another folder"):
        make_synthetic_corpus(corpus, 1, 1, seed=1)
    (tmp_path / "Actor_01").mkdir()
    recording = tmp_path / "Actor_01" / "01-01-01-01-01-01-01.mp4"
    recording.write_bytes(b"a real recording")
    with pytest.raises(ValueError, match="not of the synthetic corpus"):
        make_synthetic_corpus(tmp_path, 1, 1)
    assert recording.read_bytes() == b"a real recording"
    with pytest.raises(NotADirectoryError, match="is a file"):
        make_synthetic_corpus(recording, 1, 1)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "synthetic.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        make_synthetic_corpus(broken, 1, 1)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Expected an emotion"):
        double_of("bored", "face")
    with pytest.raises(ValueError, match='"face" or "voice"'):
        double_of("calm", "smell")
    with pytest.raises(ValueError, match="statement"):
        synthesise_voice(make_voice_style(1), PROSODIES["calm"], statement=3)


def test_command_line(tmp_path, capsys):
    main([str(tmp_path / "corpus"), "--speakers", "1", "--clips", "1", "--seed", "3", "--num-proc", "1"])
    assert "1 clips of 1 speakers" in capsys.readouterr().out
    assert json.loads((tmp_path / "corpus" / "synthetic.json").read_text())["seed"] == 3
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "corpus"), "--speakers", "0"])
    assert stopped.value.code == 2
    assert "whole number from 1 to 99" in capsys.readouterr().err


@pytest.mark.slow
def test_module_runs_as_a_command():
    command = [sys.executable, "-m", "dataset_scripts.synthetic", "--help"]
    assert "example:" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
