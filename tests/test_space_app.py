"""The running demo as a program meets it: its endpoints, and what a stranger may try."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from demo_samples import face_clip, make_model, running_app, save, stop, write_units
from media_samples import tone, write_sound

from modeling_tacfn.demo_jobs import Job
from modeling_tacfn.demo_limits import DemoLimits
from modeling_tacfn.demo_workers import JobError, Workers


gradio_client = pytest.importorskip("gradio_client")
httpx = pytest.importorskip("httpx")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = running_app(tmp_path_factory.mktemp("models"), file_megabytes=5, media_seconds=20)
    yield app
    stop(app)


@pytest.fixture(scope="module")
def client(app):
    return gradio_client.Client(app.local_url, verbose=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return face_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def sent(path):
    return gradio_client.handle_file(str(path))


def test_the_call_of_the_readme_works(app, clip, tmp_path, monkeypatch):
    block = re.search(r"```python\n(.+?)```", (ROOT / "space/README.md").read_text(), re.DOTALL).group(1)
    shutil.copy(clip, tmp_path / "clip.mp4")
    face_clip(tmp_path / "talk.mp4", seconds=5)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block.replace("http://127.0.0.1:7860", app.local_url), names)
    assert list(names["answer"]["alone"]) == ["sound", "face"]
    assert sum(names["answer"]["scores"].values()) == pytest.approx(1, abs=1e-4)
    assert [window["start"] for window in names["timeline"]["windows"]] == [0, 1, 2]
    assert names["video"].endswith(".mp4")


def test_endpoints_have_stable_names(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {
        "/predict",
        "/timeline",
        "/annotate",
        "/models",
    }


def test_networks_can_be_chosen_and_features_given(client, clip, tmp_path):
    assert client.predict(api_name="/models") == ["tacfn", "cfn_sr", "features"]
    first = client.predict(sent(clip), "tacfn", api_name="/predict")
    second = client.predict(sent(clip), "cfn_sr", api_name="/predict")
    assert first["scores"] != second["scores"]
    voice = write_sound(tmp_path / "voice.wav", tone(2), 16000)
    units = sent(write_units(tmp_path / "units.csv"))
    answer = client.predict(sent(voice), "features", [units], "a", api_name="/predict")
    assert list(answer["alone"]) == ["sound", "units"]
    unsure = client.predict(sent(clip), "tacfn", threshold=1.0, api_name="/predict")
    assert unsure["states"] == ["unsure"]


def refused(client, path, **more) -> str:
    with pytest.raises(Exception) as caught:
        client.predict(sent(path), **{"api_name": "/predict"} | more)
    message = str(caught.value)
    assert str(Path(path).parent) not in message
    assert "tacfn-demo-" not in message, "no folder of the server"
    return message


def test_what_is_wrong_with_a_file_is_said(client, clip, tmp_path):
    (tmp_path / "letter.mp4").write_text("dear network")
    assert "letter.mp4: expected an audio or video file" in refused(client, tmp_path / "letter.mp4")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:900])
    assert "cut.mp4: expected an audio or video file" in refused(client, tmp_path / "cut.mp4")
    (tmp_path / "noise.webm").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "noise.webm" in refused(client, tmp_path / "noise.webm")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    assert "list.m3u8" in refused(client, tmp_path / "list.m3u8")
    (tmp_path / "empty.mp4").touch()
    assert refused(client, tmp_path / "empty.mp4")
    assert "longer than" in refused(client, face_clip(tmp_path / "long.mp4", seconds=21))
    assert "too short" in refused(client, face_clip(tmp_path / "short.mp4", seconds=0.2))
    assert client.predict(sent(clip), api_name="/predict")["emotion"], "and the app goes on"


def test_too_large_an_upload_is_refused_before_it_is_kept(app):
    answer = httpx.post(
        f"{app.local_url}gradio_api/upload", files={"files": ("big.mp4", bytes(6_000_000))}, timeout=60
    )
    assert answer.status_code == 413
    assert "maximum allowed size" in answer.text


def ask(app, data: list, name: str = "predict") -> str:
    """Ask by hand, past what the client checks; returns the stream of events."""
    posted = httpx.post(f"{app.local_url}gradio_api/call/{name}", json={"data": data}, timeout=60)
    if posted.status_code != 200:
        return f"event: error {posted.text}"
    url = f"{app.local_url}gradio_api/call/{name}/{posted.json()['event_id']}"
    return httpx.get(url, timeout=120).text


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../etc/passwd",
        str(ROOT / "README.md"),
        "http://127.0.0.1:1/endless.mp4",
        "file:///etc/passwd",
    ],
)
def test_no_path_and_no_address_can_be_given_for_an_upload(app, path):
    answer = ask(app, [{"path": path, "meta": {"_type": "gradio.FileData"}}, "tacfn", None, "", 0])
    assert "event: error" in answer
    assert "root:" not in answer


@pytest.mark.parametrize("model", ["../../etc", "/etc/passwd", "someone/else", None])
def test_no_other_network_can_be_loaded(app, model):
    assert "event: error" in ask(app, [None, model, None, "", 0])


def test_no_file_of_the_server_is_handed_out(app):
    for path in ("/etc/passwd", str(ROOT / "setup.py"), "setup.py", "../setup.py"):
        assert httpx.get(f"{app.local_url}gradio_api/file={path}").status_code in (403, 404), path


def test_uploads_are_deleted(app, clip):
    from modeling_tacfn.demo import build_demo

    brief = build_demo(app.workers, ["tacfn"], DemoLimits(num_workers=1, keep_seconds=2))
    brief.queue().launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        uploaded = httpx.post(
            f"{brief.local_url}gradio_api/upload", files={"files": ("me.mp4", clip.read_bytes())}
        ).json()[0]
        assert Path(uploaded).is_file()
        deadline = time.monotonic() + 30
        while Path(uploaded).exists() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not Path(uploaded).exists()
    finally:
        brief.close()


def test_nothing_of_an_upload_is_printed_or_left_behind(tmp_path, clip):
    model = save(make_model(), tmp_path / "tacfn")
    folder = tmp_path / "tmp"
    folder.mkdir()
    command = [sys.executable, "-m", "tacfn", "demo", "--model", model, "--workers", "1"]
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 300
        while not (url := re.search(r"http://\S+", (tmp_path / "log").read_text())) and time.monotonic() < deadline:
            time.sleep(1)
        client = gradio_client.Client(url.group(), verbose=False)
        (tmp_path / "secretive.mp4").write_bytes(clip.read_bytes()[:900])
        (tmp_path / "secret.mp4").write_bytes(clip.read_bytes())
        refused(client, tmp_path / "secretive.mp4")
        client.predict(sent(tmp_path / "secret.mp4"), api_name="/predict")
        client.predict(sent(tmp_path / "secret.mp4"), api_name="/annotate")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert "secret" not in (tmp_path / "log").read_text()
    assert not list(folder.glob("tacfn-*"))


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    folder = save(make_model(), tmp_path_factory.mktemp("model") / "tacfn")
    workers = Workers({"tacfn": folder}, DemoLimits(num_workers=1, job_gigabytes=0.4))
    yield workers
    workers.close()


def is_well(workers, clip) -> bool:
    return "answer" in dict(workers.run(Job("answer", "tacfn", str(clip))))


def test_what_swells_ends_in_a_message(workers, clip, tmp_path):
    with soundfile.SoundFile(tmp_path / "bomb.flac", "w", 384_000, 1) as file:
        for _ in range(300):
            file.write(np.zeros(384_000, np.int16))
    assert (tmp_path / "bomb.flac").stat().st_size < 3e6
    with pytest.raises(JobError, match="memory"):
        dict(workers.run(Job("answer", "tacfn", str(tmp_path / "bomb.flac"), window_seconds=1e9)))
    assert is_well(workers, clip)


def test_what_hangs_is_stopped(workers, clip, monkeypatch):
    monkeypatch.setattr(workers, "limits", replace(workers.limits, job_seconds=0.001))
    workers._all[0].limits = workers.limits
    with pytest.raises(JobError, match="Stopped after 0.001 s"):
        dict(workers.run(Job("answer", "tacfn", str(clip))))
    monkeypatch.undo()
    assert is_well(workers, clip)


def test_what_crashes_is_started_anew(workers, clip):
    workers._all[0]._process.kill()
    with pytest.raises(JobError, match="could not be worked on"):
        dict(workers.run(Job("answer", "tacfn", str(clip))))
    assert is_well(workers, clip)


def test_a_job_that_is_left_is_ended(workers, clip):
    process = workers._all[0]._process
    events = workers.run(Job("answer", "tacfn", str(clip)))
    next(events)
    events.close()
    assert not process.is_alive()
    assert is_well(workers, clip)


def test_a_model_that_cannot_be_loaded_is_said(tmp_path):
    workers = Workers({"none": str(tmp_path)}, DemoLimits(num_workers=1))
    try:
        with pytest.raises(JobError, match="holds no config.json"):
            workers.wait_until_ready()
    finally:
        workers.close()
