# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""A network that was pushed is used by its name: here and in clean processes, pinned, offline, from every kind of input."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import OTHER_TOKEN, WRITE_TOKEN, environment, use_hub
from huggingface_hub import constants
from media_samples import numbered_frames, tone, write_mp4, write_sound
from tiny_models import build
from transformers import AutoModel, AutoProcessor, pipeline

import modeling_tacfn
from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor
from modeling_tacfn.hub import push_model
from modeling_tacfn.media import MediaError
from modeling_tacfn.prediction import load
from tacfn import main


ROOT = Path(modeling_tacfn.__file__).parents[1]
TASK, NAME, RATE = "audio-visual-emotion-recognition", "someone/tacfn-test", 16000


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    build("audio_video").save_pretrained(folder)
    pictures = TacfnImageProcessor(num_frames=4, size={"height": 32, "width": 32}, do_face_crop=False)
    sound = TacfnFeatureExtractor(sampling_rate=RATE, n_fft=512, hop_length=160, feature_size=13)
    TacfnProcessor(sound, pictures).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write_mp4(folder / "clip.mp4", numbered_frames(10), tone(0.4, RATE))
    write_sound(folder / "speech.wav", tone(0.7, RATE, 250), RATE)
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = use_hub(monkeypatch, tmp_path / "home")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def pushed(hub, trained):
    return push_model(trained, NAME)


def other_weights(folder: Path) -> None:
    model = build("audio_video")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    model.save_pretrained(folder)


def scores(answer: list[dict]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in answer}


def test_the_pipeline_by_name_is_that_of_the_folder(hub, pushed, trained, recordings):
    by_name, by_folder = (pipeline(TASK, model=model, device="cpu", top_k=None) for model in (NAME, str(trained)))
    files = [str(recordings / "clip.mp4"), recordings / "speech.wav"]
    waveform = {"audio": tone(0.5, 2 * RATE, 600), "sampling_rate": 2 * RATE}
    clips = [*files, waveform, {"video": numbered_frames(9)}, {"video": files[0], "audio": False}]
    expected = [by_folder(clip) for clip in clips]
    assert len({tuple(np.round(list(scores(answer).values()), 4)) for answer in expected}) == len(clips)
    for batch_size in (1, 2, 5):
        for given in (clips, tuple(clips), (clip for clip in clips)):
            for answer, alone in zip(by_name(given, batch_size=batch_size), expected, strict=True):
                assert scores(answer) == pytest.approx(scores(alone), abs=1e-5)
    assert [len(by_name(files[0], top_k=k)) for k in (1, 3, None)] == [1, 3, 8]
    half = pipeline(TASK, model=NAME, device="cpu", dtype=torch.bfloat16, top_k=None)
    assert half.dtype == torch.bfloat16
    assert scores(half(files[0])) == pytest.approx(scores(expected[0]), abs=0.02)


def test_a_clip_from_the_hub(hub, pushed, recordings):
    hub.add(
        "dataset", "someone/clips", {name: (recordings / name).read_bytes() for name in ("clip.mp4", "speech.wav")}
    )
    pipe = pipeline(TASK, model=NAME, device="cpu")
    urls = [
        f"{hub.url}/datasets/someone/clips/resolve/main/{name}?download=true" for name in ("clip.mp4", "speech.wav")
    ]
    assert pipe(urls[0].replace("http", "HTTP")) == pipe(recordings / "clip.mp4")
    answers = pipe(urls, batch_size=2)
    for answer, name in zip(answers, ("clip.mp4", "speech.wav"), strict=True):
        assert scores(answer) == pytest.approx(scores(pipe(recordings / name)), abs=1e-5)
    assert WRITE_TOKEN not in {token for _, path, token in hub.requests if "clips" in path}, "a URL may be anybody's"
    hub.troubles["download"] = [("cut", 100)]
    with pytest.raises(MediaError, match=f"{re.escape(urls[0])}: expected a video or sound file to download"):
        pipe(urls[0])
    with pytest.raises(MediaError, match="404"):
        pipe(urls[0].replace("clip.mp4", "no.mp4"))


def test_a_clip_of_ones_own_dataset(hub, pushed, recordings, monkeypatch):
    hub.add("dataset", "someone/mine", {"sub/clip.mp4": (recordings / "clip.mp4").read_bytes()}, is_private=True)
    pipe = pipeline(TASK, model=NAME, device="cpu")
    url = "hf://datasets/someone/mine/sub/clip.mp4"
    expected = pipe(recordings / "clip.mp4")
    assert pipe(url) == pipe(url.replace("hf:", "HF:")) == expected
    assert pipe({"video": url, "start_seconds": 0.1, "end_seconds": 0.2}) != expected
    with pytest.raises(MediaError, match=f"{url}x: expected a video or sound file to download"):
        pipe(f"{url}x")
    with pytest.raises(MediaError, match="hf://datasets/someone/none/x: .*none came"):
        pipe("hf://datasets/someone/none/x")


@pytest.mark.parametrize("url", ["ftp://somewhere/clip.mp4", "file:///home/ann/clip.mp4", "s3://bucket/clip.mp4"])
def test_other_urls_are_refused(trained, url):
    pipe = pipeline(TASK, model=str(trained), device="cpu")
    with pytest.raises(MediaError, match=f"{url}: expected a path, or a URL of http, https or hf"):
        pipe(url)


def test_a_pinned_revision_stays_what_it_was(hub, trained, tmp_path, recordings, capsys):
    first = push_model(trained, NAME)
    before = pipeline(TASK, model=NAME, device="cpu")(recordings / "clip.mp4")
    folder = tmp_path / "other"
    AutoProcessor.from_pretrained(trained).save_pretrained(folder)
    other_weights(folder)
    second = push_model(folder, NAME)
    pinned = {
        commit: pipeline(TASK, model=NAME, revision=commit, device="cpu") for commit in (first.commit, second.commit)
    }
    assert pinned[first.commit](recordings / "clip.mp4") == before
    newest = pipeline(TASK, model=NAME, device="cpu")(recordings / "clip.mp4")
    assert pinned[second.commit](recordings / "clip.mp4") == newest
    for options, answer in ((["--revision", first.commit], before), ([], newest)):
        assert (
            main(["predict", str(recordings / "clip.mp4"), "--model", NAME, "--json", "--top_k", "1", *options]) == 0
        )
        assert json.loads(capsys.readouterr().out)["scores"] == pytest.approx(scores(answer[:1]), abs=1e-5)
    assert scores(newest) != pytest.approx(scores(before), abs=1e-3)
    with pytest.raises(OSError, match="nothing-like-it is not a valid git identifier"):
        pipeline(TASK, model=NAME, revision="nothing-like-it")


def test_offline_from_the_cache(hub, pushed, recordings, monkeypatch):
    online = pipeline(TASK, model=NAME, device="cpu")(recordings / "clip.mp4")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    for revision in (None, pushed.commit):
        assert pipeline(TASK, model=NAME, revision=revision, device="cpu")(recordings / "clip.mp4") == online
    model, _ = load(NAME)
    assert not model.training
    assert hub.requests == []
    with pytest.raises(OSError, match="someone/unknown: .*no model of that name came from the Hub"):
        load("someone/unknown")


def test_a_download_that_is_cut_goes_on(hub, pushed, trained, monkeypatch):
    assert (trained / "model.safetensors").stat().st_size > 3000
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)  # what did not fill one is not kept
    hub.troubles["download"] = [("cut", 1000), ("cut", 1000)]
    hub.ranges.clear()
    assert load(NAME)[0].num_parameters() == AutoModel.from_pretrained(trained).num_parameters()
    assert hub.ranges == [None, "bytes=1000-", "bytes=2000-"]


def test_after_a_download_that_was_cut_for_good_the_next_fetches_what_is_missing(hub, pushed, trained):
    hub.troubles["download"] = [("cut", 1000), "always"]
    with pytest.raises(OSError, match=f"{NAME}: .*Hub.*connection"):
        load(NAME)
    assert not [path for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.stat().st_size == 1000], "half a file"
    hub.troubles.clear()
    hub.requests.clear()
    weights = load(NAME)[0].state_dict()
    for name, value in AutoModel.from_pretrained(trained).state_dict().items():
        assert weights[name].equal(value)
    assert not [path for method, path, _ in hub.requests if method == "GET" and path.endswith("/config.json")]


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("someone/none", WRITE_TOKEN, "someone/none: there is no such folder, and no model of that name"),
        ("someone/private", "", "private or not there; log in with `hf auth login`, or set HF_TOKEN"),
        ("someone/private", OTHER_TOKEN, "no model of that name"),
        ("someone/gated", OTHER_TOKEN, "access to it has to be asked for"),
        ("someone/empty", WRITE_TOKEN, "expected a network of this package.*no config.json that names a network"),
        ("someone/half", WRITE_TOKEN, "expected a network of this package.*no processor_config.json"),
        ("not a name", WRITE_TOKEN, "it cannot be a name"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_line(hub, trained, monkeypatch, capsys, name, token, message):
    half = {name: (trained / name).read_bytes() for name in ("config.json", "model.safetensors")}
    hub.add("model", "someone/private", half, is_private=True)
    hub.add("model", "someone/gated", half, is_gated=True)
    hub.add("model", "someone/half", half)
    hub.add("model", "someone/empty", {"README.md": b"nothing here yet"})
    monkeypatch.setenv("HF_TOKEN", token)
    assert main(["predict", "clip.mp4", "--model", name]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(f"tacfn: .*{message}.*\n", error)
    assert not token or token not in error


def test_the_pipeline_of_another_network_is_refused(trained):
    with pytest.raises(
        ValueError, match="expected a network of this package with its processor.*got a Linear with a object"
    ):
        modeling_tacfn.AudioVisualEmotionPipeline(torch.nn.Linear(1, 1), processor=object())


# Clean processes.

WITHOUT_PACKAGE = """
import importlib.abc, json, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in ("modeling_tacfn", "dataset_scripts"):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
sys.meta_path.insert(0, Absent())
name, revision, clip = sys.argv[1:4]
# As documented: beside a CPU build of torch, the file that travels with the weights makes torchaudio importable.
import importlib.util
from huggingface_hub import hf_hub_download
spec = importlib.util.spec_from_file_location("cpu", hf_hub_download(name, "torchaudio_cpu.py", revision=revision))
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.make_importable()
import torch
from transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained(name, revision=revision, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules."), type(model)
assert type(processor).__module__.startswith("transformers_modules."), type(processor)
assert revision in type(model).__module__, type(model)
with torch.no_grad():
    print(json.dumps(model(**processor(videos=clip)).logits.softmax(-1)[0].tolist()))
"""
WITH_PACKAGE = """
import json, sys
name, revision, clip = sys.argv[1:4]
import modeling_tacfn
from transformers import AutoModel, AutoProcessor, pipeline
pipe = pipeline("audio-visual-emotion-recognition", model=name, revision=revision, top_k=None, device="cpu")
assert type(pipe.model) is type(AutoModel.from_pretrained(name, revision=revision)) is modeling_tacfn.TacfnModel
assert type(AutoProcessor.from_pretrained(name, revision=revision)) is modeling_tacfn.TacfnProcessor
scores = {entry["label"]: entry["score"] for entry in pipe(clip)}
print(json.dumps([scores[pipe.model.config.id2label[index]] for index in range(len(scores))]))
"""


def run_clean(script: str, arguments: list[str], folder: Path, variables: dict[str, str]) -> list[float]:
    """Run it in a process of its own, in a folder from which nothing of this project is seen."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTHONPATH"))}
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", script, *arguments]
    options = {"cwd": folder, "env": kept | variables, "capture_output": True, "text": True, "timeout": 400}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert WRITE_TOKEN not in done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("script", [WITHOUT_PACKAGE, WITH_PACKAGE], ids=["without package", "with package"])
def test_pushed_by_the_command_and_loaded_by_name_in_a_clean_process(
    hub, trained, recordings, tmp_path, capsys, script
):
    assert main(["push", str(trained), NAME, "--json"]) == 0
    commit = json.loads(capsys.readouterr().out)["commit"]
    other = tmp_path / "other"
    AutoProcessor.from_pretrained(trained).save_pretrained(other)
    other_weights(other)
    push_model(other, NAME)  # the main branch goes on, the pinned one must not
    clip = str(recordings / "clip.mp4")
    model, processor = load(trained)
    with torch.no_grad():
        expected = model(**processor(videos=clip)).logits.softmax(-1)[0].tolist()
    variables = environment(hub, tmp_path / "clean")
    if script is WITH_PACKAGE:
        variables["PYTHONPATH"] = str(ROOT)
    assert run_clean(script, [NAME, commit, clip], tmp_path / "nowhere", variables) == pytest.approx(
        expected, abs=1e-5
    )
    hub.requests.clear()
    offline = variables | {"HF_HUB_OFFLINE": "1"}
    assert run_clean(script, [NAME, commit, clip], tmp_path / "nowhere", offline) == pytest.approx(expected, abs=1e-5)
    assert hub.requests == []
