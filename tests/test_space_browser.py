"""The demo as a person meets it: in a headless Chromium, with clips uploaded and recorded, read, played and downloaded."""

import json
import shutil

import pytest
from demo_samples import face_clip, running_app, stop, write_units
from media_samples import tone, write_sound


playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
# As long as a first answer may take on a machine that does much else.
PATIENCE_MS = 300_000


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = running_app(tmp_path_factory.mktemp("models"))
    yield app
    stop(app)


@pytest.fixture(scope="module")
def browser():
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(app, browser, request):
    """A page that must ask nobody but the app, and must not complain."""
    options = getattr(request, "param", {})
    context = browser.new_context(permissions=["camera", "microphone"], **options)
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
    context.close()
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
        "letter": folder / "letter.mp4",
        "units": write_units(folder / "units.csv"),
    }


def upload(page, path, kind: str = "video") -> None:
    page.set_input_files(f"#tacfn-{kind} input[type=file]", str(path))
    page.wait_for_selector("#tacfn-video video" if kind == "video" else "#tacfn-sound button[aria-label*='lay']")


def run(page) -> None:
    page.click("#tacfn-run")
    page.wait_for_selector(".tacfn-download, .tacfn-error")
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
    page.get_by_role("tab", name="Sound alone").click()
    upload(page, files["wav"], "sound")
    run(page)
    assert "sound heard" in page.inner_text(".tacfn-chips")
    assert "no face found" in page.inner_text(".tacfn-chips")


def test_features_are_answered_by_a_network_that_takes_them(page, files):
    page.get_by_label("Network").click()
    page.get_by_role("option", name="features").click()
    page.get_by_text("Options").click()
    page.set_input_files("input[type=file][accept*='.csv']", files["units"])
    page.wait_for_selector("text=units.csv")
    run(page)
    assert "units" in page.inner_text(".tacfn-chips")
    assert "u3" in page.inner_text("#tacfn-seen")


def test_an_example_is_one_click(page):
    page.get_by_role("button", name="happy", exact=True).click()
    page.wait_for_selector("#tacfn-video video")
    run(page)
    assert "sound heard" in page.inner_text(".tacfn-chips")


def test_a_long_recording_has_a_timeline_in_step_with_the_video(page, files):
    upload(page, files["long"])
    run(page)
    assert page.get_by_role("img", name="Emotions over time").count() == 1
    head = page.locator(".tacfn-playhead")
    for seconds in (2.0, 7.5):
        page.evaluate(f"document.querySelector('#tacfn-video video').currentTime = {seconds}")
        page.wait_for_function(
            f"Math.abs(document.querySelector('.tacfn-playhead').dataset.seconds - {seconds}) < 0.05"
        )
        ribbon, place = page.locator(".tacfn-ribbon").bounding_box(), head.bounding_box()
        assert (place["x"] + 1 - ribbon["x"]) / ribbon["width"] == pytest.approx(seconds / 9, abs=0.02)
    ribbon = page.locator(".tacfn-ribbon").bounding_box()
    page.mouse.click(ribbon["x"] + ribbon["width"] / 3, ribbon["y"] + 5)
    page.wait_for_function("Math.abs(document.querySelector('#tacfn-video video').currentTime - 3) < 0.2")
    page.get_by_role("button", name="Look into where the video stands").click()
    page.wait_for_selector(
        ".tacfn-when:has-text('0:02 – 0:04'), .tacfn-when:has-text('0:01 – 0:04'), .tacfn-when:has-text('0:02 – 0:05')"
    )
    assert page.get_by_text("Download SRT").count() == 1
    page.get_by_role("button", name="Make the annotated video").click()
    page.wait_for_selector("video[src*='emotions.mp4']")


def test_the_webcam_is_recorded_and_answered(page):
    page.get_by_label("Capture from camera").click()
    for button, seconds in (("Access Webcam", 2), ("Record", 3), ("Stop", 0)):
        page.locator("#tacfn-video button", has_text=button).first.click()
        page.wait_for_timeout(1000 * seconds)
    page.locator("#tacfn-video").get_by_label("Clear", exact=True).wait_for()
    run(page)
    # The fake camera shows no face, the fake microphone beeps.
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
    page.get_by_role("button", name="sad", exact=True).click()
    page.wait_for_selector("#tacfn-video video")
    run(page)


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}, {"viewport": {"width": 1280, "height": 800}}],
    indirect=True,
)  # fmt: skip
def test_nothing_sticks_out(page, files):
    upload(page, files["long"])
    run(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
