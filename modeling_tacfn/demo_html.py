# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""What the demo shows, as HTML: nothing is told by colour alone, and whatever comes from a file is escaped."""

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from html import escape

from .timeline_colours import EMPTY, colours_of
from .timeline_files import clock
from .timeline_result import UNSURE


NAMES = {"sound": "Sound alone", "face": "Face alone"}
ADVICE = {
    "no face": "no face found",
    "no sound": "no sound heard",
}
# Width of a row of scores in its own units; it is stretched to the width of the page.
ROW_UNITS = 1000

EMPTY_ANSWER = """<div class="tacfn tacfn-empty"><p>The answer appears here: which emotion, how sure, and what the sound and the face
say each on its own.</p></div>"""


def error_html(message: str) -> str:
    """A card that says what went wrong and what to do."""
    return f'<div class="tacfn tacfn-error" role="alert"><p><strong>No answer.</strong> {escape(message)}</p></div>'


def waiting_html(text: str) -> str:
    """A card that says what is going on."""
    return f'<div class="tacfn tacfn-empty" role="status"><progress aria-label="{escape(text)}"></progress><p>{escape(text)}</p></div>'


def answer_html(answer: Mapping, threshold: float, notes: Sequence[str] = ()) -> str:
    """
    The verdict, what it rests on, and a table of every emotion by input.

    Args:
        answer (`Mapping`): as [`~demo_answers.answer_clip`] gives it, with `model` and `source`.
        threshold (`float`): a highest score below this counts as unsure.
        notes (`Sequence[str]`): what is to be known of the answer.
    """
    return f"""<section class="tacfn" aria-label="Answer">
{_verdict(answer, threshold)}
<ul class="tacfn-chips" aria-label="What the answer rests on">{"".join(f"<li>{chip}</li>" for chip in _chips(answer))}</ul>
{_score_table(answer)}
{"".join(f'<p class="tacfn-note">{escape(note)}</p>' for note in notes)}
</section>"""


def is_unsure(answer: Mapping, threshold: float) -> bool:
    return bool(answer["is_probability"]) and answer["score"] < threshold


def _verdict(answer: Mapping, threshold: float) -> str:
    colour = colours_of(sorted(answer["scores"])).get(answer["emotion"], EMPTY)
    said, score = escape(answer["emotion"]), _said(answer["score"], answer["is_probability"])
    when = ""
    if answer.get("is_part"):
        when = f'<span class="tacfn-when">at {clock(answer["start_seconds"])} – {clock(answer["end_seconds"])}</span>'
    if is_unsure(answer, threshold):
        return (
            f'<p class="tacfn-verdict"><span class="tacfn-swatch" style="background:{EMPTY}"></span>'
            f'<strong>{UNSURE}</strong> <span class="tacfn-score">perhaps {said}, {score}</span>{when}</p>'
        )
    return (
        f'<p class="tacfn-verdict"><span class="tacfn-swatch" style="background:{colour}"></span>'
        f'<strong>{said}</strong> <span class="tacfn-score">{score}</span>{when}</p>'
    )


def _chips(answer: Mapping) -> list[str]:
    used, chips = answer["inputs"], []
    if used["sound"]:
        chips.append("✓ sound heard")
    if used["frames_with_face"]:
        chips.append(f"✓ face in {used['frames_with_face']} of {used['frames']} frames")
    chips += [f"✓ {escape(name)}" for name in used["features"] if name != "prosody"]
    others = [name for name in ("sound", "face") if f"no {name}" not in answer["states"]]
    for state in answer["states"]:
        rest = f": the answer is from the {others[0]} alone" if others and not used["features"] else ""
        chips.append(f"✗ {ADVICE[state]}{rest}")
    return chips + [escape(str(answer["model"])), f"{answer['work_seconds']:.1f} s of work"]


def _score_table(answer: Mapping) -> str:
    is_probability, alone = answer["is_probability"], answer["alone"]
    colours = colours_of(sorted(answer["scores"]))
    columns = [("All together" if alone else "Score", answer["scores"])]
    columns += [(NAMES.get(name, f"{name} alone"), scores) for name, scores in alone.items()]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in columns)
    rows = []
    for label in answer["scores"]:
        cells = []
        for _, scores in columns:
            best = " tacfn-best" if scores[label] == max(scores.values()) else ""
            width = 100 * scores[label] if is_probability else min(100 * abs(scores[label]) / 3, 100)
            cells.append(
                f'<td class="tacfn-cell{best}">{_said(scores[label], is_probability)}<span class="tacfn-bar" aria-hidden="true">'
                f'<span style="width:{width:.1f}%;background:{colours[label]}"></span></span></td>'
            )
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{"".join(cells)}</tr>')
    what = "Probability of each emotion" if is_probability else "Estimate"
    return (
        f'<table class="tacfn-scores"><caption>{what}</caption><thead><tr><th scope="col">Emotion</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def seen_html(answer: Mapping) -> str:
    """The frames with the face box, the crops, and where the fused weight vector looks in them; weights of single numbers."""
    parts = []
    if answer["frames"]:
        parts.append(_frames(answer))
    for name, units in answer["unit_weights"].items():
        highest = max((unit["weight"] for unit in units), default=1.0)
        rows = "".join(
            f'<tr><th scope="row">{escape(unit["unit"])}</th><td>{unit["value"]:.2f}</td><td class="tacfn-cell">'
            f'{unit["weight"]:.2f} ×<span class="tacfn-bar" aria-hidden="true"><span style="width:{100 * unit["weight"] / highest:.0f}%;'
            f'background:#D55E00"></span></span></td></tr>'
            for unit in units
        )
        parts.append(
            f'<table class="tacfn-scores"><caption>Where the fused weight vector looks in {escape(name)} (1 × is equal weight)</caption>'
            f'<thead><tr><th scope="col">Number</th><th scope="col">Value</th><th scope="col">Weight</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )
    if not parts:
        return '<div class="tacfn tacfn-empty"><p>No pictures: the network heard sound only.</p></div>'
    return f'<section class="tacfn" aria-label="What the network saw">{"".join(parts)}</section>'


def _frames(answer: Mapping) -> str:
    figures = []
    for frame in answer["frames"]:
        when = "" if frame["seconds"] is None else f"{(answer['start_seconds'] or 0) + frame['seconds']:.1f} s"
        pictures = _picture(frame["frame"], f"Frame at {when}, " + ("face boxed" if frame["box"] else "no box"))
        shown = frame["weights"] or frame["crop"]
        if shown:
            what = "with its weights" if frame["weights"] else "as the network gets it"
            pictures += _picture(shown, f"Face crop at {when}, {what}")
        figures.append(f"<figure>{pictures}<figcaption>{when}</figcaption></figure>")
    if any(frame["weights"] for frame in answer["frames"]):
        legend = (
            'Below each frame the crop that the network gets, tinted by where the fused weight vector looks: <span class="tacfn-legend">'
            '<span>less</span><span class="tacfn-gradient" aria-hidden="true"></span><span>more</span></span> than equal weight.'
        )
    elif any(frame["crop"] for frame in answer["frames"]):
        legend = "Below each frame the crop that the network gets. This network has no map of weights, or looks everywhere alike."
    else:
        legend = "No usable face was found in these frames, so the pictures count as absent."
    return f'<div class="tacfn-frames">{"".join(figures)}</div><p class="tacfn-note">{legend}</p>'


def _picture(jpeg: bytes, text: str) -> str:
    return f'<img alt="{escape(text)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'


def timeline_html(timeline: Mapping, stopped: str | None = None, player: str = "video") -> str:
    """
    A ribbon of what is said when, a row of scores for each emotion, and a playhead that the page's script moves.

    Args:
        timeline (`Mapping`): as [`~demo_jobs.plain`] gives it, whole or still growing.
        stopped (`str`, *optional*): why it will not grow any more, though it is not whole.
        player (`str`, *optional*, defaults to `"video"`): which player of the page it is in step with, `"video"` or `"sound"`.
    """
    seconds = max(timeline["seconds"], 1e-6)
    expected = seconds if timeline["is_complete"] or stopped else seconds / max(timeline["progress"], 1e-3)
    colours = colours_of(timeline["labels"])
    ribbon = "".join(_stretch(stretch, expected, colours) for stretch in timeline["segments"])
    rows = "".join(
        f'<div class="tacfn-label" aria-hidden="true">{escape(label)}</div>{_row(timeline, label, colours[label], expected)}'
        for label in timeline["labels"]
    )
    if stopped:
        state = f'<p class="tacfn-note" role="alert">{escape(stopped)} What was done until then is shown.</p>'
    elif timeline["is_complete"]:
        state = ""
    else:
        share = 100 * timeline["progress"]
        state = (
            f'<p class="tacfn-note" role="status"><progress max="100" value="{share:.0f}" aria-label="Reading the recording"></progress> '
            f"{share:.0f} % read</p>"
        )
    spoken = ", ".join(
        f"{clock(stretch['start'])} to {clock(stretch['end'])} {stretch['said']}" for stretch in timeline["segments"]
    )
    notes = "".join(f'<p class="tacfn-note">{escape(note)}</p>' for note in timeline["notes"])
    return f"""<section class="tacfn" aria-label="Timeline">
<p class="tacfn-summary">{_summary(timeline)}</p>{state}
<div class="tacfn-timeline" data-player="{player}" data-seconds="{expected:.3f}" role="img" aria-label="{escape(f"Emotions over time: {spoken}")}">
<div class="tacfn-label"></div><div class="tacfn-ribbon">{ribbon}</div>{rows}
<div class="tacfn-label"></div><div class="tacfn-axis" aria-hidden="true">{_axis(expected)}</div>
<div class="tacfn-playhead" aria-hidden="true"></div></div>{notes}
<details><summary>As a table</summary>{_stretch_table(timeline)}</details></section>"""


def _summary(timeline: Mapping) -> str:
    lengths: dict[str, float] = {}
    for stretch in timeline["segments"]:
        lengths[stretch["said"]] = lengths.get(stretch["said"], 0.0) + stretch["end"] - stretch["start"]
    whole = sum(lengths.values()) or 1.0
    most = sorted(lengths.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"<strong>{escape(said)}</strong> {100 * length / whole:.0f} %" for said, length in most)
    return f"Over {clock(timeline['seconds'])} of the recording: {shares} of the time."


def _stretch(stretch: Mapping, expected: float, colours: Mapping[str, str]) -> str:
    left, width = 100 * stretch["start"] / expected, 100 * (stretch["end"] - stretch["start"]) / expected
    score = "" if stretch["score"] is None else f" {_said(stretch['score'], True)}"
    title = escape(f"{clock(stretch['start'])}–{clock(stretch['end'])} {stretch['said']}{score}")
    return (
        f'<span title="{title}" style="left:{left:.3f}%;width:{width:.3f}%;background:{colours.get(stretch["said"], EMPTY)}">'
        f"</span>"
    )


def _row(timeline: Mapping, label: str, colour: str, expected: float) -> str:
    """One emotion's score over time, as steps."""
    points = []
    for window, span in zip(timeline["windows"], timeline["spans"], strict=True):
        if window["scores"] is not None:
            start, end = (ROW_UNITS * second / expected for second in span)
            score = window["scores"][label]
            height = 100 * score if timeline["is_probability"] else 50 + 50 * max(-1, min(score / 3, 1))
            points.append(f"M{start:.1f} 100V{100 - height:.1f}H{end:.1f}V100Z")
    return (
        f'<svg class="tacfn-row" viewBox="0 0 {ROW_UNITS} 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{"".join(points)}" fill="{colour}"/></svg>'
    )


def _axis(expected: float) -> str:
    """Times below the ribbon: so few that they stand apart on a telephone, the last one where there is room for it."""
    step = next((step for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800) if expected / step <= 6), 3600)
    ticks = [tick for tick in range(0, int(expected) + 1, step) if tick <= 0.85 * expected]
    return "".join(f'<span style="left:{100 * tick / expected:.2f}%">{clock(tick)}</span>' for tick in ticks)


def _stretch_table(timeline: Mapping) -> str:
    rows = "".join(
        f"<tr><td>{clock(stretch['start'])}</td><td>{clock(stretch['end'])}</td><td>{escape(stretch['said'])}</td>"
        f"<td>{'' if stretch['score'] is None else _said(stretch['score'], timeline['is_probability'])}</td></tr>"
        for stretch in timeline["segments"]
    )
    return (
        '<table class="tacfn-scores"><thead><tr><th scope="col">From</th><th scope="col">To</th><th scope="col">Emotion</th>'
        f'<th scope="col">Score</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def downloads_html(answer: Mapping, timeline: Mapping | None = None, tables: Mapping[str, str] | None = None) -> str:
    """
    Links to the result as files, which are in the page itself: nothing of it lies on the server.

    Args:
        answer (`Mapping`): as [`~demo_answers.answer_clip`] gives it.
        timeline (`Mapping`, *optional*): as [`~demo_jobs.plain`] gives it.
        tables (`Mapping[str, str]`, *optional*): of a timeline, text by ending (`csv`, `srt`).
    """
    whole = json_of(answer) | ({"timeline": timeline} if timeline else {})
    files = {"json": json.dumps(whole, indent=2, ensure_ascii=False)} | dict(tables or {"csv": answer_csv(answer)})
    items = "".join(
        f'<a class="tacfn-download" download="emotions.{ending}" '
        f'href="data:text/plain;base64,{base64.b64encode(text.encode()).decode()}">Download {ending.upper()}</a>'
        for ending, text in files.items()
    )
    return f'<div class="tacfn tacfn-downloads">{items}</div>'


def json_of(answer: Mapping) -> dict:
    """The answer for programs: without pictures."""
    frames = [{"seconds": frame["seconds"], "box": frame["box"]} for frame in answer["frames"]]
    return {key: value for key, value in answer.items() if key != "frames"} | {"frames": frames}


def answer_csv(answer: Mapping) -> str:
    """A row for each emotion, a column for each input."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["emotion", "all", *answer["alone"]])
    for label, score in answer["scores"].items():
        writer.writerow([label, f"{score:.6f}", *(f"{scores[label]:.6f}" for scores in answer["alone"].values())])
    return text.getvalue()


def _said(score: float, is_probability: bool) -> str:
    return f"{100 * score:.0f} %" if is_probability else f"{score:+.2f}"


__all__ = [
    "EMPTY_ANSWER",
    "answer_csv",
    "answer_html",
    "downloads_html",
    "error_html",
    "json_of",
    "seen_html",
    "timeline_html",
    "waiting_html",
]
