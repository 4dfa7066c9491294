"""The demo as a person meets it: in a headless Chromium, with clips uploaded and recorded, read, played and downloaded."""

import json
import shutil

import pytest
from demo_samples import face_clip, running_app, stop, write_units
from media_samples import tone, write_sound
from page_faults import faults_of


playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
# As long as a first answer may take on a machine that does much else.
PATIENCE_MS = 120_000
VIEWPORTS = {"phone": {"width": 360, "height": 740}, "desk": {"width": 1280, "height": 800}}
PLAYERS = {"video": "#tacfn-video video", "sound": "#tacfn-sound audio[src^='blob:']"}
# Notes the size of each piece that a recorder hands over.
COUNT_PIECES = """
() => {
  const start = MediaRecorder.prototype.start;
  window.pieces = [];
  MediaRecorder.prototype.start = function (...slice) {
    this.addEventListener('dataavailable', (event) => window.pieces.push(event.data.size));
    return start.apply(this, slice);
  };
}
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = running_app(tmp_path_factory.mktemp("models"))
    yield app
    stop(app)


@pytest.fixture(scope="module")
def context():
    """One for all tests: what the first page loads, the others have."""
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser.new_context(permissions=["camera", "microphone"], viewport=VIEWPORTS["desk"])
        browser.close()


@pytest.fixture
def page(app, context):
    """A page that must ask nobody but the app, and must not complain."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints, strangers = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    own = (app.local_url, app.local_url.replace("127.0.0.1", "localhost"), "data:", "blob:")
    page.on("request", lambda sent: None if sent.url.startswith(own) else strangers.append(sent.url))
    page.goto(app.local_url)
    page.wait_for_selector("#tacfn-run")
    yield page
    page.close()
    assert strangers == []
    assert complaints == []


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "letter.mp4").write_text("dear network")
    return {
        "mp4": face_clip(folder / "clip.mp4"),
        "webm": face_clip(folder / "clip.webm", rate=48000, codec="libvpx", audio_codec="libopus"),
        "long": face_clip(folder / "long.mp4", seconds=9),
        "faceless": face_clip(folder / "faceless.mp4", with_face=False),
        "wav": write_sound(folder / "voice.wav", tone(2), 16000),
        "long_wav": write_sound(folder / "talk.wav", tone(9), 16000),
        "letter": folder / "letter.mp4",
        "units": write_units(folder / "units.csv"),
    }


def upload(page, path, kind: str = "video") -> None:
    if kind == "sound":
        page.get_by_role("tab", name="Sound alone").click()
    page.set_input_files(f"#tacfn-{kind} input[type=file]", str(path))
    page.wait_for_selector(PLAYERS[kind], state="attached")


def choose_example(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_selector(f"#tacfn-video video[src$='{name}.mp4']")


def run(page) -> None:
    """Ask, and wait until this answer is whole; what an earlier one left is marked first."""
    page.evaluate(
        "document.querySelectorAll('.tacfn-download, .tacfn-error').forEach((left) => left.dataset.old = '')"
    )
    page.click("#tacfn-run")
    page.wait_for_selector(".tacfn-download:not([data-old]), .tacfn-error:not([data-old])")
    assert page.locator(".tacfn-error").all_inner_texts() == []


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_a_video_is_answered_and_downloaded(page, files, kind):
    upload(page, files[kind])
    run(page)
    assert page.get_by_role("columnheader").all_inner_texts() == [
        "Emotion",
        "All together",
        "Sound alone",
        "Face alone",
    ]
    assert page.get_by_role("rowheader").count() == 8
    assert "face in 6 of 6 frames" in page.inner_text(".tacfn-chips")
    assert page.locator("#tacfn-seen figure img[alt*='weights']").count() == 6
    with page.expect_download() as download:
        page.get_by_text("Download JSON").click()
    answer = json.loads(download.value.path().read_text())
    assert page.inner_text(".tacfn-verdict").startswith(("unsure", answer["emotion"]))
    with page.expect_download() as download:
        page.get_by_text("Download CSV").click()
    assert download.value.path().read_text().startswith("emotion,all,sound,face")


def test_sound_alone_is_answered(page, files):
    upload(page, files["wav"], "sound")
    run(page)
    assert "sound heard" in page.inner_text(".tacfn-chips")
    assert "no face found" in page.inner_text(".tacfn-chips")


def test_features_are_answered_by_a_network_that_takes_them(page, files):
    page.get_by_label("Network").click()
    page.get_by_role("option", name="features").click()
    page.get_by_text("Options").click()
    page.set_input_files("input[type=file][accept*='.csv']", files["units"])
    page.wait_for_selector("[aria-label='units.csv']")
    run(page)
    assert "units" in page.inner_text(".tacfn-chips")
    assert "u3" in page.inner_text("#tacfn-seen")


def test_an_example_is_one_click(page):
    choose_example(page, "happy")
    run(page)
    assert "sound heard" in page.inner_text(".tacfn-chips")


def playhead_reaches(page, seconds: float) -> None:
    page.wait_for_function(
        "(seconds) => Math.abs(document.querySelector('.tacfn-playhead').dataset.seconds - seconds) < 0.1", arg=seconds
    )


@pytest.mark.parametrize("kind", ["video", "sound"])
def test_a_long_recording_has_a_timeline_in_step_with_its_player(page, files, kind):
    # What stands in the other tab must not move the playhead of a sound.
    upload(page, files["mp4" if kind == "sound" else "long"])
    if kind == "sound":
        upload(page, files["long_wav"], "sound")
    run(page)
    assert page.get_by_role("img", name="Emotions over time").count() == 1
    ribbon, player = page.locator(".tacfn-ribbon").bounding_box(), page.locator(PLAYERS[kind])
    for seconds in (2.0, 7.5):
        player.evaluate("(player, seconds) => { player.currentTime = seconds }", seconds)
        playhead_reaches(page, seconds)
        place = page.locator(".tacfn-playhead").bounding_box()
        assert (place["x"] + 1 - ribbon["x"]) / ribbon["width"] == pytest.approx(seconds / 9, abs=0.02)
    page.get_by_role("button", name="Look into where the recording stands").click()
    page.wait_for_selector(".tacfn-when:has-text('0:06 – 0:09')")
    page.locator(".tacfn-ribbon").click(position={"x": ribbon["width"] / 3, "y": 5})
    playhead_reaches(page, 3.0)
    assert player.evaluate("(player) => player.currentTime") == pytest.approx(3.0, abs=0.1)
    player.evaluate("(player) => player.play()")
    page.wait_for_function("document.querySelector('.tacfn-playhead').dataset.seconds > 3.5")
    assert page.get_by_text("Download SRT").count() == 1


def test_an_annotated_video_is_made(page, files):
    upload(page, files["mp4"])
    run(page)
    page.get_by_role("button", name="Make the annotated video").click()
    page.wait_for_selector("video[src*='emotions.mp4']")


def test_a_webcam_recording_arrives_whole_and_is_answered(page):
    page.evaluate(COUNT_PIECES)
    page.get_by_label("Capture from camera").click()
    page.get_by_role("button", name="Access Webcam").click()
    page.wait_for_function("document.querySelector('#tacfn-video video')?.videoWidth > 0")
    # Gradio asks which cameras there are before it can record; this is answered after that.
    page.evaluate("navigator.mediaDevices.enumerateDevices().then(() => null)")
    page.get_by_role("button", name="start recording").click()
    page.wait_for_timeout(3000)
    page.get_by_role("button", name="stop recording").click()
    page.locator("#tacfn-video").get_by_label("Clear", exact=True).wait_for()
    arrived = page.evaluate("fetch(document.querySelector('#tacfn-video video').src).then((file) => file.blob()).then((blob) => blob.size)")  # fmt: skip
    assert arrived == sum(page.evaluate("window.pieces"))
    run(page)
    # The fake camera shows no face, the fake microphone beeps.
    assert "sound heard" in page.inner_text(".tacfn-chips")


def test_the_microphone_is_recorded_and_answered(page):
    page.get_by_role("tab", name="Sound alone").click()
    sound = page.locator("#tacfn-sound")
    sound.get_by_label("Record audio").click()
    sound.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(2000)
    sound.get_by_role("button", name="Stop", exact=True).click()
    # The recorder has a player of its own until the recording has arrived.
    sound.get_by_label("Clear", exact=True).wait_for()
    run(page)
    assert "sound heard" in page.inner_text(".tacfn-chips")


@pytest.mark.parametrize(("file", "said"), [("letter", "expected an audio or video file"), (None, "got nothing")])
def test_what_cannot_be_answered_is_said_and_the_page_goes_on(page, files, file, said):
    if file:
        page.set_input_files("#tacfn-video input[type=file]", str(files[file]))
        page.wait_for_selector("#tacfn-video :text('letter'), #tacfn-video video", state="attached")
    page.click("#tacfn-run")
    alert = page.get_by_role("alert").filter(has_text="No answer")
    alert.wait_for()
    assert said in alert.inner_text()
    choose_example(page, "sad")
    run(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_everything_is_in_view_readable_and_has_a_name(page, files, viewport, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(VIEWPORTS[viewport])
    page.reload()
    page.get_by_text("Options").click()
    page.get_by_label("Seconds from window to window").first.wait_for()
    assert faults_of(page) == []
    upload(page, files["long"])
    run(page)
    assert faults_of(page) == []
    upload(page, files["wav"], "sound")
    assert faults_of(page) == []
