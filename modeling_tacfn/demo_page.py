# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Style and script of the demo's page: plain CSS on Gradio's own colours, a playhead in step with the player, whole recordings."""

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.tacfn-title h1 { margin: 0 0 .2rem; font-size: 1.6rem; }
.tacfn-title p { margin: 0; }
.gradio-container { --tacfn-quiet: color-mix(in srgb, var(--body-text-color) 78%, var(--background-fill-primary)); --color-accent: var(--link-text-color); }
/* Gradio draws its players and its footer in a grey that is too pale on white. */
#tacfn-video, #tacfn-sound, footer { --neutral-400: var(--body-text-color-subdued); }
footer > .divider:last-of-type { display: none; }
.gradio-container .html-container { padding: 0 !important; }
.tacfn { color: var(--body-text-color); }
/* What has nothing to show takes no room between what has. */
#tacfn-timeline:not(:has(.tacfn)), #tacfn-seen:not(:has(.tacfn)), #tacfn-downloads:not(:has(.tacfn)) { display: none; }
.tacfn p { margin: .4rem 0; }
.tacfn-empty, .tacfn-error { border: 1px dashed var(--border-color-primary); border-radius: 10px; padding: 1.1rem; }
.tacfn-empty { color: var(--tacfn-quiet); }
.tacfn-title p { color: var(--tacfn-quiet) !important; }
.tacfn-empty progress { width: 100%; }
.tacfn-error { border: 2px solid #D55E00; }
.tacfn-verdict { display: flex; flex-wrap: wrap; align-items: baseline; gap: .6rem; font-size: 1.15rem; margin: 0 0 .4rem !important; }
.tacfn-verdict strong { font-size: 2rem; line-height: 1.2; }
.tacfn-swatch { width: 1.3rem; height: 1.3rem; border-radius: 5px; border: 1px solid var(--body-text-color); align-self: center; }
.tacfn-when, .tacfn-note, .tacfn caption { color: var(--tacfn-quiet); font-size: .875rem; }
.tacfn-chips { list-style: none !important; display: flex; flex-wrap: wrap; gap: .35rem; padding: 0 !important; margin: .3rem 0 .8rem !important; }
.tacfn-chips li { border: 1px solid var(--border-color-primary); border-radius: 999px; padding: .1rem .65rem; font-size: .85rem; margin: 0; }
.tacfn table.tacfn-scores, .tacfn .tacfn-scores tr, .tacfn .tacfn-scores thead, .tacfn .tacfn-scores tbody { border: 0 !important; background: none !important; }
.tacfn table.tacfn-scores { width: 100%; border-collapse: collapse; margin: .4rem 0; }
.tacfn table.tacfn-scores th, .tacfn table.tacfn-scores td { text-align: left; padding: .25rem .5rem .25rem 0; border: 0; background: none; font-weight: normal; }
.tacfn table.tacfn-scores thead th { font-size: .82rem; color: var(--tacfn-quiet); border-bottom: 1px solid var(--border-color-primary); }
.tacfn caption { text-align: left; caption-side: top; }
.tacfn-cell { font-variant-numeric: tabular-nums; min-width: 4.2rem; }
.tacfn-best { font-weight: 700 !important; }
.tacfn-bar { display: block; height: 6px; border-radius: 3px; background: var(--border-color-primary); overflow: hidden; margin-top: 2px; }
.tacfn-bar span { display: block; height: 100%; min-width: 1px; }
.tacfn-frames { display: grid; grid-template-columns: repeat(6, 1fr); gap: .5rem; }
.tacfn-frames figure { margin: 0; }
.tacfn-frames img { width: 100%; display: block; border-radius: 6px; margin: 0 0 .3rem; }
.tacfn-frames figcaption { text-align: center; font-size: .8rem; color: var(--tacfn-quiet); }
.tacfn-legend { display: inline-flex; gap: .35rem; align-items: center; }
.tacfn-gradient { width: 6rem; height: .7rem; border-radius: 3px; background: linear-gradient(90deg, #2d004b, #998ec3, #f7f7f7, #f1a340, #7f3b08); }
.tacfn-timeline { position: relative; display: grid; grid-template-columns: 5.2rem 1fr; row-gap: 3px; cursor: pointer; margin: .6rem 0; }
.tacfn-label { font-size: .82rem; line-height: 1.4rem; overflow: hidden; text-overflow: ellipsis; }
.tacfn-ribbon { position: relative; height: 1.7rem; border-radius: 4px; overflow: hidden; background: var(--border-color-primary); }
.tacfn-ribbon span { position: absolute; top: 0; bottom: 0; border-right: 1px solid var(--background-fill-primary); }
.tacfn-row { width: 100%; height: 1.4rem; background: color-mix(in srgb, var(--border-color-primary) 45%, transparent); border-radius: 3px; }
.tacfn-axis { position: relative; height: 1.2rem; font-size: .75rem; color: var(--tacfn-quiet); overflow: hidden; }
.tacfn-axis span { position: absolute; padding-left: 2px; border-left: 1px solid currentColor; }
.tacfn-playhead { position: absolute; top: 0; bottom: 1.2rem; left: 5.2rem; width: 2px; margin-left: -1px; background: var(--body-text-color); pointer-events: none; }
.tacfn-downloads { display: flex; flex-wrap: wrap; gap: .5rem; }
.tacfn a.tacfn-download { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .45rem .9rem; color: var(--body-text-color); text-decoration: none; font-size: .9rem; }
.tacfn a.tacfn-download:hover, .tacfn a.tacfn-download:focus-visible { border-color: var(--body-text-color); }
.tacfn summary { cursor: pointer; font-size: .9rem; }
@media (max-width: 640px) {
  .tacfn-timeline { grid-template-columns: 4.2rem 1fr; }
  .tacfn-playhead { left: 4.2rem; }
  .tacfn-cell { min-width: 3rem; }
  .tacfn-frames { grid-template-columns: repeat(3, 1fr); }
}
"""

# Runs once when the page is open. The timeline is replaced while it grows, so it is looked up anew each time.
# Gradio packs a webcam recording the moment Stop is clicked, when its last piece, on a slow machine all of it, has yet to come:
# the click is held back until the recorder has handed over everything.
SCRIPT = """
() => {
  const timeline = () => document.querySelector('#tacfn-timeline .tacfn-timeline');
  const player = (shown) => {
    const block = shown && document.getElementById('tacfn-' + shown.dataset.player);
    if (!block) return null;
    const inside = [...block.querySelectorAll('div')].map((part) => part.shadowRoot && part.shadowRoot.querySelector('audio'));
    return block.querySelector('video') || inside.find(Boolean) || null;
  };
  const place = () => {
    const shown = timeline(), playing = player(shown);
    if (shown) {
      const head = shown.querySelector('.tacfn-playhead'), ribbon = shown.querySelector('.tacfn-ribbon');
      head.hidden = !playing;
      delete head.dataset.seconds;
      if (playing) {
        const share = Math.min(playing.currentTime / parseFloat(shown.dataset.seconds), 1);
        head.style.left = (ribbon.offsetLeft + share * ribbon.offsetWidth) + 'px';
        head.dataset.seconds = playing.currentTime.toFixed(3);
      }
    }
    requestAnimationFrame(place);
  };
  requestAnimationFrame(place);
  document.addEventListener('click', (event) => {
    const shown = event.target.closest && event.target.closest('.tacfn-timeline'), playing = player(shown);
    if (!playing) return;
    const ribbon = shown.querySelector('.tacfn-ribbon').getBoundingClientRect();
    const share = (event.clientX - ribbon.left) / ribbon.width;
    if (share >= 0 && share <= 1) playing.currentTime = share * parseFloat(shown.dataset.seconds);
  });

  if (!window.MediaRecorder) return;
  const { start, stop } = MediaRecorder.prototype;
  let recorder = null;
  MediaRecorder.prototype.start = function (...slice) {
    recorder = this;
    // Gradio writes "Stop" on the button, and goes on telling screen readers that it starts a recording.
    const button = document.querySelector('#tacfn-video [aria-label="start recording"]');
    if (button) {
      button.setAttribute('aria-label', 'stop recording');
      this.addEventListener('stop', () => button.setAttribute('aria-label', 'start recording'), { once: true });
    }
    return start.apply(this, slice);
  };
  MediaRecorder.prototype.stop = function () {
    if (this.state !== 'inactive') stop.call(this);
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest && event.target.closest('#tacfn-video button');
    if (!button || !recorder || recorder.state === 'inactive') return;
    event.stopPropagation();
    recorder.addEventListener('stop', () => button.click(), { once: true });
    recorder.stop();
  }, true);
}
"""

# Puts where the recording stands into the last input of the event.
MOMENT = """
(...inputs) => {
  const head = document.querySelector('#tacfn-timeline .tacfn-playhead');
  inputs[inputs.length - 1] = head && head.dataset.seconds ? parseFloat(head.dataset.seconds) : null;
  return inputs;
}
"""

__all__ = ["CSS", "MOMENT", "SCRIPT"]
