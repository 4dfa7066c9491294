"""`transformers.pipeline` with every network: any clip in any batch is answered as `predict` answers it alone."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from media_samples import numbered_frames, tone, write_mp4, write_sound
from tiny_models import build, takes_features
from transformers import pipeline

import modeling_tacfn
from modeling_tacfn import (
    AudioVisualEmotionPipeline,
    TacfnFeatureExtractor,
    TacfnImageProcessor,
    TacfnProcessor,
    pipeline_tacfn,
)
from modeling_tacfn.adaptation import save_speaker
from modeling_tacfn.media import MediaError
from modeling_tacfn.prediction import predict, speaker_statistics


TASK = "audio-visual-emotion-recognition"
RATE, UNITS = 16000, 7


def save_model(folder: Path, name: str, **settings) -> Path:
    """A tiny network and a processor that fits it."""
    model = build(name)
    if takes_features(name):
        sound = {"feature_type": "log_mel", "feature_size": 20, "num_mel_bins": 20}
        settings |= {"static_features": ["units"], "do_video": False}
    else:
        sound = {"feature_size": model.config.audio_coefficients}
    model.save_pretrained(folder)
    TacfnProcessor(
        TacfnFeatureExtractor(sampling_rate=RATE, n_fft=512, hop_length=160, **sound),
        TacfnImageProcessor(num_frames=4, size={"height": 32, "width": 32}, do_face_crop=False),
        **settings,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["audio_video", "features", "cfn_sr", "avt_ca"])
def folder(request, tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline(TASK, model=str(folder), device="cpu", top_k=None)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write_mp4(folder / "short.mp4", numbered_frames(10), tone(0.4, RATE))
    write_mp4(folder / "long.mp4", 255 - numbered_frames(30), tone(1.2, RATE, 900))
    write_mp4(folder / "mute.mp4", numbered_frames(3))
    write_sound(folder / "speech.wav", tone(0.7, RATE, 250), RATE)
    (folder / "broken.mp4").write_bytes(b"no film")
    return folder


def inputs_of(pipe, recordings: Path) -> list[dict]:
    """Clips of any length; one lacks the sound, one the picture, one is of arrays."""
    waveform = {"audio": tone(0.5, 2 * RATE, 600), "sampling_rate": 2 * RATE}
    clips = [{"video": recordings / name} for name in ("short.mp4", "mute.mp4", "long.mp4", "speech.wav")]
    if pipe.processor.do_video:
        return [*clips, waveform | {"video": numbered_frames(9)}]
    units = np.random.default_rng(0).random((5, UNITS), np.float32)
    clips = [*clips, waveform]
    return [clip | {"features": {"units": row}} for clip, row in zip(clips, units, strict=True)]


def scores_of(answer: list[dict]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in answer}


def assert_like_predict(pipe, answers: list, clips: list[dict], **known) -> None:
    assert len(answers) == len(clips)
    for answer, clip in zip(answers, clips, strict=True):
        assert scores_of(answer) == pytest.approx(
            predict(pipe.model, pipe.processor, **known, **clip).scores, abs=1e-5
        )


def test_it_answers_as_predict_does(pipe, recordings):
    assert type(pipe) is AudioVisualEmotionPipeline
    clips = inputs_of(pipe, recordings)
    answers = [pipe(clip) for clip in clips]
    assert_like_predict(pipe, answers, clips)
    for answer in answers:
        assert {entry["label"] for entry in answer} == set(pipe.model.config.id2label.values())
        assert [entry["score"] for entry in answer] == sorted((entry["score"] for entry in answer), reverse=True)
        assert sum(entry["score"] for entry in answer) == pytest.approx(1, abs=1e-5)
    # Were they all alike, nothing here could fail.
    tops = [tuple(np.round(list(scores_of(answer).values()), 4)) for answer in answers]
    assert len(set(tops)) == len(tops)


@pytest.mark.parametrize("batch_size", [2, 3])
def test_a_batch_answers_as_each_clip_alone(pipe, recordings, batch_size):
    clips = inputs_of(pipe, recordings)
    assert_like_predict(pipe, pipe(clips, batch_size=batch_size), clips)
    assert_like_predict(pipe, pipe(tuple(clips[::-1]), batch_size=batch_size), clips[::-1])


@pytest.mark.parametrize("num_workers", [1, 2])
def test_clips_read_by_processes_of_one_thread_are_answered_alike(pipe, recordings, num_workers):
    cv2 = pytest.importorskip("cv2")
    # Threads of OpenCV that are running when the processes are made.
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 3)
    clips = inputs_of(pipe, recordings)
    assert_like_predict(pipe, pipe(clips, batch_size=2, num_workers=num_workers), clips)
    assert pipe.processor.do_video == (cv2.getNumThreads() == 1)
    cv2.setNumThreads(-1)


def test_whatever_can_be_gone_through_is_answered_in_order(pipe, recordings):
    class Clips(torch.utils.data.Dataset):
        def __len__(self):
            return len(clips)

        def __getitem__(self, index):
            return clips[index]

    clips = inputs_of(pipe, recordings)
    asked = []
    answers = pipe(clip for clip in clips if asked.append(clip) is None)
    next(iter(answers))
    assert len(asked) < len(clips), "read before it was asked for"
    for several in ((clip for clip in clips), iter(clips), Clips(), dict(enumerate(clips)).values()):
        assert_like_predict(pipe, list(pipe(several, batch_size=2)), clips)
    assert pipe([]) == []


def test_a_path_is_a_clip(pipe, recordings):
    for name in ("short.mp4", "speech.wav"):
        path = recordings / name
        assert_like_predict(pipe, [pipe(path), pipe(str(path)), *pipe([path, str(path)])], [{"video": path}] * 4)


def test_the_most_likely_labels_come_first(folder, pipe, recordings):
    clip = recordings / "short.mp4"
    everything = pipe(clip)
    assert pipe(clip, top_k=2) == everything[:2]
    assert pipe(clip, top_k=99) == everything
    assert len(everything) == pipe.model.config.num_labels == 8
    usual = pipeline(TASK, model=folder, device="cpu")
    assert usual(clip) == everything[:5]
    assert usual(clip, top_k=None) == everything
    for wrong in (0, -1, "two"):
        with pytest.raises(ValueError, match="expected `top_k` of at least 1"):
            pipe(clip, top_k=wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_network_may_be_of_another_precision(folder, pipe, recordings, dtype):
    other = pipeline(TASK, model=str(folder), device="cpu", dtype=dtype, top_k=None)
    assert other.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    clips = inputs_of(pipe, recordings)
    for answer, clip in zip(other(clips, batch_size=3), clips, strict=True):
        assert scores_of(answer) == pytest.approx(scores_of(pipe(clip)), abs=tolerance)


def test_a_saved_pipeline_is_a_model_folder(pipe, recordings, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = pipeline(TASK, model=str(tmp_path), device="cpu", top_k=None)
    clip = recordings / "short.mp4"
    assert again(clip) == pipe(clip)
    assert not (tmp_path / "pipeline_tacfn.py").exists()


# What one network shows for all.


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return pipeline(TASK, model=str(save_model(tmp_path_factory.mktemp("small"), "avt_ca")), device="cpu", top_k=None)


@pytest.fixture
def served(recordings, tmp_path, monkeypatch):
    """The URL of the recordings, and the folder in which temporary files are made meanwhile."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=recordings))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_a_clip(small, recordings, served):
    url, temporary = served
    short, sound = recordings / "short.mp4", recordings / "speech.wav"
    answers = small([f"{url}/short.mp4?at=1", {"video": short, "audio": f"{url}/speech.wav"}], batch_size=2)
    assert_like_predict(small, answers, [{"video": short}, {"video": short, "audio": sound}])
    assert list(temporary.iterdir()) == []


def test_a_url_without_a_clip_is_named(small, served):
    url, temporary = served
    with pytest.raises(MediaError, match=f"{url}/missing.mp4: expected a video or sound file to download.*404"):
        small(f"{url}/missing.mp4")
    with pytest.raises(MediaError, match=f"^{url}/broken.mp4: ") as raised:
        small(f"{url}/broken.mp4")
    assert str(temporary) not in str(raised.value)
    assert list(temporary.iterdir()) == []
    for nowhere in ("http://127.0.0.1:1/clip.mp4", "http://[clip.mp4"):
        with pytest.raises(MediaError, match=f"^{re.escape(nowhere)}: .*Check the URL and the connection"):
            small(nowhere)


def test_a_broken_file_is_named(small, recordings):
    for broken in (recordings / "broken.mp4", {"video": recordings / "broken.mp4"}):
        with pytest.raises(MediaError, match="broken.mp4"):
            small(broken)
    with pytest.raises(MediaError, match="no_such.mp4"):
        small([recordings / "short.mp4", "no_such.mp4"], batch_size=2)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"path": "clip.mp4"}, "video, audio, features.*got path as well"),
        ({"audio": np.ones(9), "label": 1, "array": 2}, "got array, label as well"),
        (np.ones(9), r"expected a clip as a path.*got ndarray.*'audio': array"),
        (b"film", "got bytes"),
        ([["clip.mp4"]], "got list"),
        (None, "got NoneType"),
    ],
    ids=["key", "keys", "array", "bytes", "nested", "none"],
)
def test_what_is_no_clip_is_refused(small, clip, message):
    with pytest.raises(ValueError, match=message):
        small(clip)


def test_a_network_alone_is_no_pipeline(small):
    with pytest.raises(ValueError, match="expected `processor`"):
        AudioVisualEmotionPipeline(model=small.model)


def test_one_that_was_just_trained_does_not_answer_by_chance(small, recordings):
    model = build("avt_ca").train()
    pipe = pipeline(TASK, model=model, processor=small.processor, device="cpu", top_k=None)
    assert pipe(recordings / "short.mp4") == small(recordings / "short.mp4")


@pytest.mark.slow
def test_importing_the_package_is_all_it_needs(small, recordings, tmp_path):
    """In a process of its own, and the name of the task tells which class it is."""
    small.save_pretrained(tmp_path)
    script = (
        "import sys, modeling_tacfn\nfrom transformers import pipeline\n"
        f"print(pipeline({TASK!r}, model=sys.argv[1], device='cpu')(sys.argv[2], top_k=1)[0]['label'])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(modeling_tacfn.__file__).parents[1])}
    command = [sys.executable, "-c", script, tmp_path, recordings / "short.mp4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == small(recordings / "short.mp4")[0]["label"]


# Speakers


PRIOR = {
    name: {"mean": [0.1] * size, "std": [2.0] * size, "mean_clips": [3.0] * size, "std_clips": [3.0] * size}
    for name, size in (("audio", 20), ("units", UNITS))
}


@pytest.fixture(scope="module")
def normalized(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("normalized")
    return str(save_model(folder, "features", is_speaker_normalized=True, speaker_prior=PRIOR))


def spoken(seed: int) -> dict:
    units = np.random.default_rng(seed).random(UNITS, np.float32)
    return {"audio": tone(0.4, RATE, 200 + 70 * seed), "sampling_rate": RATE, "features": {"units": units}}


@pytest.fixture
def ann(normalized, tmp_path):
    """A person as clips, as the file that `tacfn adapt` makes of them, and as what a processor makes of them."""
    clips = [spoken(seed) for seed in range(3)]
    statistics = speaker_statistics(TacfnProcessor.from_pretrained(normalized), clips)
    save_speaker(statistics, tmp_path / "ann.json", len(clips))
    return {"clips": clips, "file": tmp_path / "ann.json", "text": str(tmp_path / "ann.json")}, statistics


@pytest.mark.parametrize("form", ["clips", "file", "text"])
def test_a_speaker_is_known_from_clips_or_from_a_file(normalized, ann, form, monkeypatch):
    forms, statistics = ann
    calls = []
    monkeypatch.setattr(
        pipeline_tacfn,
        "speaker_statistics",
        lambda *arguments: calls.append(arguments) or speaker_statistics(*arguments),
    )
    clips = [spoken(seed) for seed in (7, 8, 9)]
    of_ann = pipeline(TASK, model=normalized, device="cpu", top_k=None, speaker=forms[form])
    assert_like_predict(of_ann, of_ann(clips, batch_size=2), clips, statistics=statistics)
    assert_like_predict(of_ann, [of_ann(clips[0])], clips[:1], statistics=statistics)
    assert len(calls) == 1, "read again"

    of_nobody = pipeline(TASK, model=normalized, device="cpu", top_k=None)
    assert_like_predict(of_nobody, of_nobody(clips, speaker=forms[form]), clips, statistics=statistics)
    assert len(calls) == 2
    average = speaker_statistics(of_nobody.processor, None)
    assert_like_predict(of_nobody, of_nobody(clips), clips, statistics=average)
    assert_like_predict(of_ann, of_ann(clips, speaker=[]), clips, statistics=average)
    assert scores_of(of_nobody(clips[0])) != pytest.approx(scores_of(of_ann(clips[0])), abs=1e-3)


def test_a_speakers_clips_may_be_given_by_url(normalized, recordings, served):
    url, temporary = served
    pipe = pipeline(TASK, model=normalized, device="cpu", top_k=None, speaker=[f"{url}/speech.wav"])
    statistics = speaker_statistics(pipe.processor, [{"video": recordings / "speech.wav"}])
    assert_like_predict(pipe, [pipe(spoken(5))], [spoken(5)], statistics=statistics)
    with pytest.raises(MediaError, match=f"{url}/broken.mp4"):
        pipe(spoken(5), speaker=[f"{url}/speech.wav", f"{url}/broken.mp4"])
    assert list(temporary.iterdir()) == []


def test_that_nobody_is_known_is_said_once(normalized, caplog):
    pipe = pipeline(TASK, model=normalized, device="cpu")
    assert "Nothing is known of the speaker" not in caplog.text
    pipe([spoken(seed) for seed in range(3)])
    pipe(spoken(3))
    assert caplog.text.count("Nothing is known of the speaker") == 1


def test_a_network_without_a_prior_asks_for_the_speaker(tmp_path):
    folder = save_model(tmp_path, "features", is_speaker_normalized=True)
    pipe = pipeline(TASK, model=str(folder), device="cpu", top_k=None)
    with pytest.raises(ValueError, match="`speaker` of the pipeline"):
        pipe(spoken(0))
    statistics = speaker_statistics(pipe.processor, [spoken(1), spoken(2)])
    assert_like_predict(pipe, [pipe(spoken(0), speaker=[spoken(1), spoken(2)])], [spoken(0)], statistics=statistics)


def test_a_speaker_that_is_of_no_use_is_said_to_be(small, ann, recordings, caplog):
    forms, statistics = ann
    clip = recordings / "short.mp4"
    for speaker in (forms["file"], [clip]):
        assert small(clip, speaker=speaker) == small(clip)
        assert caplog.text.count("what is known of the speaker is not used") == 1
        caplog.clear()
    small.processor(clip, speaker=statistics)
    assert "what is known of the speaker is not used" in caplog.text


def test_what_is_no_speaker_is_refused(normalized, tmp_path, recordings):
    pipe = pipeline(TASK, model=normalized, device="cpu")
    with pytest.raises(ValueError, match="expected a speaker's file in .*ann.json"):
        pipe(spoken(0), speaker=tmp_path / "ann.json")
    with pytest.raises(ValueError, match="expected as `speaker` the file.*got dict"):
        pipe(spoken(0), speaker=spoken(1))
    with pytest.raises(ValueError, match="got label as well"):
        pipe(spoken(0), speaker=[spoken(1) | {"label": 0}])


def test_the_processor_takes_the_file_as_well(normalized, ann):
    forms, statistics = ann
    processor = TacfnProcessor.from_pretrained(normalized)
    by_file, by_statistics = (processor(**spoken(7), speaker=known) for known in (forms["file"], statistics))
    torch.testing.assert_close(by_file["input_features"], by_statistics["input_features"], atol=1e-4, rtol=0)
    torch.testing.assert_close(by_file["features"]["units"], by_statistics["features"]["units"], atol=1e-4, rtol=0)
    unknown = processor(**spoken(7))["input_features"]
    assert not torch.allclose(unknown, by_statistics["input_features"], atol=1e-2)
    with pytest.raises(ValueError, match="expected a speaker's file"):
        processor(**spoken(7), speaker="no_such.json")
