"""The network in examples/: trained on all the real data at hand, with its card, as it would be pushed."""

from pathlib import Path

import pytest
import soundfile
import torch
from huggingface_hub import ModelCard
from media_samples import tone, write_sound
from transformers import AutoModel, AutoProcessor, pipeline

from modeling_tacfn.hub import files_to_push
from modeling_tacfn.model_card import MARKER, model_card
from modeling_tacfn.pipeline_tacfn import TASK
from modeling_tacfn.results import load_results


FOLDER = Path(__file__).resolve().parents[1] / "examples" / "tacfn-ravdess-au"
UNITS = "action_units"


@pytest.fixture(scope="module")
def network():
    return AutoModel.from_pretrained(FOLDER).eval(), AutoProcessor.from_pretrained(FOLDER)


def test_its_card_is_what_its_files_say():
    card = ModelCard.load(FOLDER / "README.md")
    assert MARKER in card.content
    assert card.text.strip() == model_card(FOLDER).text.strip()
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert "these weights: no commercial use" in card.text
    assert "No score of these very weights is known" in card.text


def test_its_scores_are_those_of_the_committed_grid():
    results = load_results(FOLDER / "results.json")
    grid = load_results(FOLDER.parents[1] / "docs" / "results" / "ravdess_au.json")["results"]
    (expected,) = [item for item in grid if (item["name"], item["protocol"]) == ("tacfn", "plain")]
    assert {key: results[key] for key in ("summary", "runs", "settings", "speakers", "missing")} == {
        key: expected[key] for key in ("summary", "runs", "settings", "speakers", "missing")
    }
    assert (len(results["final"]["splits"]["train"]), results["final"]["clips"]["train"]) == (20, 1200)


def test_pushed_it_has_its_code_and_nothing_of_this_machine():
    files = files_to_push(FOLDER)
    assert {"modeling_tacfn.py", "configuration_tacfn.py", "processing_tacfn.py"} <= set(files)
    assert {path.name for path in FOLDER.iterdir()} <= set(files), "everything here is meant to go"
    for path in FOLDER.glob("*.json"):
        assert '"/' not in path.read_text(encoding="utf-8"), path


def test_a_wav_and_the_units_of_openface_are_what_it_takes(network, tmp_path):
    model, processor = network
    assert set(model.config.modalities) == {"audio", "prosody", UNITS}
    names = processor.feature_columns[UNITS]
    wav = write_sound(tmp_path / "speech.wav", tone(1.5, 48000), 48000)
    table = tmp_path / "units.csv"
    table.write_text("\n".join([",".join(["clip_id", *names]), ",".join(["a", *["0.5"] * len(names)])]))
    answer = pipeline(TASK, model=model, processor=processor)
    both = answer({"audio": str(wav), "features": {UNITS: f"{table}#a"}}, top_k=None)
    alone = answer(str(wav), top_k=None)
    assert {item["label"] for item in both} == set(model.config.label2id)
    assert sum(item["score"] for item in both) == pytest.approx(1, abs=1e-5)
    assert both != alone


@pytest.mark.real_data
def test_it_knows_the_recordings_it_was_trained_on(network, real_data):
    """No score: everybody is in its training. It shows that weights, processor and labels belong together."""
    model, processor = network
    paths = sorted((real_data / "ravdess" / "audio_speech").rglob("*.flac"))[::25]
    right = 0
    for path in paths:
        samples, rate = soundfile.read(path)
        with torch.no_grad():
            logits = model(**processor(audio=samples, sampling_rate=rate)).logits
        right += int(logits.argmax() + 1 == int(path.stem.split("-")[2]))
    assert len(paths) >= 20
    assert right / len(paths) > 0.5, "from the sound alone, of eight labels"


def test_the_readme_says_whose_it_is_and_what_may_be_done_with_it():
    text = " ".join((FOLDER.parents[1] / "README.md").read_text(encoding="utf-8").split())
    assert "--model examples/tacfn-ravdess-au" in text
    assert "CC BY-NC-SA 4.0" in text
    scores = load_results(FOLDER / "results.json")
    both, alone = (
        next(item["war"]["mean"] for item in scores["missing"] if item["condition"] == name)
        for name in ("both", "sound only")
    )
    assert f"{100 * both:.1f} % of the clips with both, and {100 * alone:.1f} % by the voice alone" in text
