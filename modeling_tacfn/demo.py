# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""
The demo: a page on which a person sees what the network sees, and an API for programs.

`tacfn demo` runs it on one's own machine, `space/app.py` on Hugging Face. What is decoded and computed happens in worker
processes (`demo_workers`); this file is what stands where and which button does what.
"""

import atexit
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .demo_html import (
    EMPTY_ANSWER,
    answer_html,
    downloads_html,
    error_html,
    json_of,
    seen_html,
    timeline_html,
    waiting_html,
)
from .demo_jobs import Job
from .demo_limits import DemoLimits
from .demo_page import CSS, MOMENT, SCRIPT
from .demo_workers import EXAMPLES, JobError, Workers


CLIPS = ("happy", "sad", "angry", "fearful", "disgust", "surprised", "calm", "neutral", "talk")
VIDEO_TAB, SOUND_TAB = "video", "sound"
TITLE = """# Emotions from voice and face
What a network hears in a voice and sees in a face, together and apart. It was trained on acted clips: it names what was
acted, not what a person feels."""


def launch_demo(
    models: Sequence[str | os.PathLike],
    limits: DemoLimits | None = None,
    *,
    trust_remote_code: bool = False,
    share: bool = False,
    host: str | None = None,
    port: int | None = None,
    is_blocking: bool = True,
):
    """
    Start the demo and, unless told otherwise, return when it is stopped.

    Args:
        models (`Sequence[str | Path]`): folders of trained networks, or their names on the Hub; the first is chosen at the start.
        limits ([`DemoLimits`], *optional*): what is taken from strangers.
        trust_remote_code (`bool`, *optional*, defaults to `False`): whether code that comes with a model may run.
        share (`bool`, *optional*, defaults to `False`): also open it to the internet, by a tunnel of Gradio's.
        host (`str`, *optional*): address to listen on; this machine only by default.
        port (`int`, *optional*): a free one from 7860 on by default.
        is_blocking (`bool`, *optional*, defaults to `True`): `False` returns at once.

    Returns:
        `gr.Blocks`: the app, with `local_url`; `close()` ends it and its workers.

    Raises:
        ValueError: no model, or one that cannot be loaded.
    """
    limits = limits or DemoLimits()
    names = name_models(models)
    # Uploads lie in a folder of this app alone, which goes with it. Gradio reads both names when it is imported.
    folder = tempfile.mkdtemp(prefix="tacfn-demo-")
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    gr = import_gradio()
    workers = Workers(names, limits, trust_remote_code)
    atexit.register(workers.close)
    try:
        workers.wait_until_ready()
        app = build_demo(workers, list(names), limits)
    except BaseException:
        workers.close()
        raise
    # Fonts of the system: the page asks nobody else for anything. Every text has a contrast of at least 4.5.
    theme = gr.themes.Soft(
        font=("ui-sans-serif", "system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"), primary_hue="blue"
    ).set(
        button_primary_background_fill="#1d4ed8",
        button_primary_background_fill_dark="#1d4ed8",
        button_primary_background_fill_hover="#1e40af",
        button_primary_background_fill_hover_dark="#1e40af",
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_400",
        body_text_color_subdued="*neutral_600",
        block_border_width="1px",
    )
    app.queue(max_size=limits.queue_size).launch(
        share=share,
        server_name=host,
        server_port=port,
        max_file_size=f"{limits.file_megabytes}mb",
        prevent_thread_lock=True,
        ssr_mode=False,
        footer_links=["api"],
        theme=theme,
        css=CSS,
        js=SCRIPT,
    )
    app.workers = workers
    if is_blocking:
        # Ended by its service, the app cleans up as after Ctrl+C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        app.block_thread()
    return app


def import_gradio():
    try:
        import gradio
    except ImportError as error:
        raise ValueError('the demo needs Gradio: `pip install "modeling_tacfn[space]"`.') from error
    return gradio


def name_models(models: Sequence[str | os.PathLike]) -> dict[str, str]:
    """Where each network is, by the name people choose it under: no folder of the server is shown."""
    if not models:
        raise ValueError("expected at least one model: the folder of a trained network, or its name on the Hub.")
    names: dict[str, str] = {}
    for model in map(os.fspath, models):
        is_folder = os.path.exists(model)
        name = Path(model).absolute().name if is_folder else model
        count = 2
        while name in names:
            name, count = f"{Path(model).name} ({count})", count + 1
        names[name] = model
    return names


def build_demo(workers: Workers, models: list[str], limits: DemoLimits):
    """
    The page and the API.

    Args:
        workers ([`Workers`]): do the jobs.
        models (`list[str]`): names of the networks.
        limits ([`DemoLimits`]): what is allowed.

    Returns:
        `gr.Blocks`
    """
    gr = import_gradio()
    with gr.Blocks(
        title="Emotions from voice and face",
        analytics_enabled=False,
        delete_cache=(min(60, limits.keep_seconds), limits.keep_seconds),
    ) as app:
        gr.Markdown(TITLE, elem_classes="tacfn-title")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                inputs = _input_side(gr, models, limits)
            with gr.Column(scale=6, min_width=320):
                answer = gr.HTML(EMPTY_ANSWER, elem_id="tacfn-answer")
                timeline = gr.HTML("", elem_id="tacfn-timeline")
                look = gr.Button("Look into where the recording stands", visible=False, size="sm")
                seen = gr.HTML("", elem_id="tacfn-seen")
                downloads = gr.HTML("", elem_id="tacfn-downloads")
                make_video = gr.Button("Make the annotated video", visible=False, size="sm")
                annotated = gr.Video(label="Annotated video", visible=False, interactive=False, buttons=["download"])
        group = {"concurrency_id": "worker", "concurrency_limit": limits.num_workers}
        hidden = {"api_visibility": "private", "show_progress": "hidden"} | group
        page = Page(gr, workers)
        asked = [inputs[name] for name in ("tab", "video", "sound", "features", "row", "model", *OPTIONS)]
        shown = [answer, timeline, seen, downloads, look, make_video, annotated]
        inputs["run"].click(page.show, asked, shown, scroll_to_output=True, **hidden)
        moment = gr.Number(visible=False)
        look.click(page.look, [*asked, moment], [answer, seen], js=MOMENT, **hidden)
        make_video.click(page.make_video, asked, [annotated, make_video], **hidden)
        _add_api(gr, workers, models, group)
    return app


OPTIONS = ("window", "hop", "smoothing", "threshold")


def _input_side(gr, models: list[str], limits: DemoLimits) -> dict:
    """What a person gives: recording, network, options. By name."""
    inputs = {"tab": gr.State(VIDEO_TAB)}
    with gr.Tabs():
        with gr.Tab("Video") as video_tab:
            inputs["video"] = _uploads_only(
                gr.Video(
                    label="A clip, or a long recording",
                    sources=["upload", "webcam"],
                    include_audio=True,
                    webcam_options=gr.WebcamOptions(mirror=False),
                    elem_id="tacfn-video",
                    show_label=False,
                )
            )
            gr.Examples(
                [str(EXAMPLES / f"{name}.mp4") for name in CLIPS],
                inputs["video"],
                example_labels=[*(name for name in CLIPS[:-1]), "a longer talk"],
                label="Drawn people with synthesised voices",
                api_name=False,
            )
        with gr.Tab("Sound alone") as sound_tab:
            inputs["sound"] = _uploads_only(
                gr.Audio(
                    label="A voice",
                    sources=["upload", "microphone"],
                    type="filepath",
                    buttons=[],
                    elem_id="tacfn-sound",
                )
            )
            gr.Examples(
                [str(EXAMPLES / "angry_voice.flac")],
                inputs["sound"],
                example_labels=["angry"],
                label="A voice",
                api_name=False,
            )
    for tab, name in ((video_tab, VIDEO_TAB), (sound_tab, SOUND_TAB)):
        tab.select(lambda name=name: name, None, inputs["tab"], queue=False, api_visibility="private")
    inputs["model"] = gr.Dropdown(models, value=models[0], label="Network", visible=len(models) > 1)
    inputs["run"] = gr.Button("Read the emotions", variant="primary", size="lg", elem_id="tacfn-run")
    gr.Markdown(
        f"{limits.in_words()} Uploads are deleted after {limits.keep_seconds // 60} minutes; nothing is logged."
    )
    with gr.Accordion("Options", open=False):
        inputs["threshold"] = gr.Slider(0, 1, 0.3, step=0.05, label="Call an answer unsure below")
        inputs["window"] = gr.Slider(1, 10, 3, step=0.5, label="Long recordings: seconds of a window")
        inputs["hop"] = gr.Slider(0.5, 10, 1, step=0.5, label="Seconds from window to window")
        inputs["smoothing"] = gr.Slider(0, 20, 0, step=1, label="Average the scores over so many seconds")
        # As a label, this would run below the buttons of the list of files.
        gr.Markdown("Features as files: CSV, ARFF or NPY, each named after its feature.")
        inputs["features"] = _uploads_only(
            gr.File(
                label="Feature files",
                file_count="multiple",
                file_types=[".csv", ".arff", ".txt", ".npy"],
            )
        )
        inputs["row"] = gr.Textbox(label="Clip in a table that holds several", max_lines=1, max_length=200)
    return inputs


def _uploads_only(component):
    """Take nothing but uploads: of a URL, Gradio would download as much as the other side sends."""
    take = component.async_move_resource_to_block_cache

    async def refuse_addresses(path):
        if path is not None and "://" in str(path):
            raise import_gradio().Error("Expected an uploaded file, got an address. Upload it.", print_exception=False)
        return await take(path)

    component.async_move_resource_to_block_cache = refuse_addresses
    return component


class Page:
    """
    What the buttons do.

    Args:
        gr: the module.
        workers ([`Workers`]): do the jobs.
    """

    def __init__(self, gr, workers: Workers):
        self.gr, self.workers = gr, workers

    def show(self, *asked) -> Iterator[tuple]:
        """Answer, timeline, pictures, downloads, and which buttons make sense; more of it as it becomes known."""
        job, tab = job_of("answer", *asked), asked[0]
        hide = self.gr.update(visible=False)
        yield (
            waiting_html("Listening and looking …"),
            "",
            "",
            "",
            hide,
            hide,
            self.gr.update(visible=False, value=None),
        )
        answer, timeline, tables, notes, stopped = None, None, None, [], None
        skip = self.gr.skip()
        try:
            for kind, value in self.workers.run(job):
                if kind == "answer":
                    answer = value | {"model": job.model, "source": Path(job.media).name if job.media else "features"}
                    waits = waiting_html("Reading the whole recording …") if answer["is_part"] else ""
                    yield answer_html(answer, job.threshold), waits, seen_html(answer), "", *[skip] * 3
                elif kind == "timeline":
                    timeline = value
                    yield skip, timeline_html(timeline, player=tab), *[skip] * 5
                elif kind == "tables":
                    tables = value
                elif kind == "notes":
                    notes = value
        except JobError as error:
            if answer is None:
                yield error_html(str(error)), "", "", "", hide, hide, skip
                return
            stopped = str(error)
        yield (
            answer_html(answer, job.threshold, notes),
            timeline_html(timeline, stopped, tab) if timeline else error_html(stopped) if stopped else "",
            skip,
            downloads_html(answer, timeline, tables),
            self.gr.update(visible=answer["is_part"]),
            self.gr.update(visible=bool(answer["frames"]) and not stopped),
            skip,
        )

    def look(self, *asked) -> tuple[str, str]:
        """Answer and pictures of the stretch around where the recording stands."""
        job = job_of("moment", *asked)
        try:
            events = dict(self.workers.run(job))
        except JobError as error:
            return error_html(str(error)), self.gr.skip()
        answer = events["answer"] | {"model": job.model}
        return answer_html(answer, job.threshold, events["notes"]), seen_html(answer)

    def make_video(self, *asked) -> Iterator[tuple]:
        """The recording with its answers burnt in."""
        yield self.gr.skip(), self.gr.update(value="Making the annotated video …", interactive=False)
        ready = self.gr.update(value="Make the annotated video", interactive=True)
        try:
            path = annotate(self.workers, job_of("video", *asked))
        except JobError as error:
            self.gr.Warning(str(error))
            yield self.gr.skip(), ready
            return
        yield (
            self.gr.update(value=path, visible=True),
            self.gr.update(value="Make the annotated video", interactive=True, visible=False),
        )


def job_of(kind, tab, video, sound, features, row, model, window, hop, smoothing, threshold, moment=None) -> Job:
    """A job from what stands in the inputs of the page."""
    return Job(
        kind=kind,
        model=model,
        media=sound if tab == SOUND_TAB else video,
        features=tuple(features or ()),
        row=row or "",
        window_seconds=window,
        hop_seconds=hop,
        smoothing_seconds=smoothing,
        threshold=threshold,
        moment=moment,
    )


def annotate(workers: Workers, job: Job) -> str:
    """Write the annotated video into the app's own folder, from which it is deleted as uploads are."""
    folder = Path(os.environ["GRADIO_TEMP_DIR"], uuid.uuid4().hex)
    folder.mkdir()
    try:
        events = dict(workers.run(replace(job, output=str(folder / "emotions.mp4"))))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return events["video"]


def _add_api(gr, workers: Workers, models: list[str], group: dict) -> None:
    """The endpoints for programs; space/README.md documents them."""

    def run(kind: str, media, features, row, model, window, hop, smoothing, threshold) -> dict:
        job = job_of(kind, VIDEO_TAB, media, None, features, row, model, window, hop, smoothing, threshold)
        try:
            return {"video": annotate(workers, job)} if kind == "video" else dict(workers.run(job))
        except JobError as error:
            raise gr.Error(str(error), print_exception=False) from None

    # What has a default here may be left out by the client.
    def predict(clip, model=models[0], features=None, row="", threshold=0.0) -> dict:
        """Emotions of one clip: scores of all inputs and of each alone."""
        events = run("answer", clip, features, row, model, 1e9, 1, 0, threshold)
        answer = events["answer"]
        states = answer["states"] + ["unsure"] * (answer["is_probability"] and answer["score"] < threshold)
        return json_of(answer) | {"states": states, "model": model, "notes": events["notes"]}

    def timeline(
        recording, model=models[0], window_seconds=3.0, hop_seconds=1.0, smoothing_seconds=0.0, threshold=0.0
    ) -> dict:
        """Emotions over a long recording, window by window."""
        events = run("timeline", recording, None, "", model, window_seconds, hop_seconds, smoothing_seconds, threshold)
        return events["timeline"] | {"model": model, "notes": [*events["timeline"]["notes"], *events["notes"]]}

    def annotated(
        recording, model=models[0], window_seconds=3.0, hop_seconds=1.0, smoothing_seconds=0.0, threshold=0.0
    ) -> str:
        """The recording as mp4 with face, emotion and score drawn into it."""
        events = run("video", recording, None, "", model, window_seconds, hop_seconds, smoothing_seconds, threshold)
        return events["video"]

    def models_listed() -> list[str]:
        """Names of the networks that can be asked."""
        return models

    with gr.Row(visible=False):
        clip = _uploads_only(gr.File(label="clip"))
        features = _uploads_only(gr.File(label="features", file_count="multiple"))
        row = gr.Textbox("", label="row", max_length=200)
        model = gr.Dropdown(models, value=models[0], label="model")
        threshold = gr.Number(0.0, label="threshold", minimum=0, maximum=1)
        window = gr.Number(3.0, label="window_seconds", minimum=0.5, maximum=60)
        hop = gr.Number(1.0, label="hop_seconds", minimum=0.25, maximum=60)
        smoothing = gr.Number(0.0, label="smoothing_seconds", minimum=0, maximum=600)
        result, file = gr.JSON(label="result"), gr.File(label="video")
        sliding = [clip, model, window, hop, smoothing, threshold]
        gr.Button().click(predict, [clip, model, features, row, threshold], result, api_name="predict", **group)
        gr.Button().click(timeline, sliding, result, api_name="timeline", **group)
        gr.Button().click(annotated, sliding, file, api_name="annotate", **group)
        gr.Button().click(models_listed, None, result, api_name="models", queue=False)


__all__ = ["build_demo", "launch_demo", "name_models"]
