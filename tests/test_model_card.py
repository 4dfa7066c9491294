"""Model cards: of each network, task and kind of file, by what they say."""

import ast
import functools
import json
import re
import shutil
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
import yaml
from media_samples import numbered_frames, tone, write_mp4
from model_card_cases import (
    CASES,
    EMOTIONS,
    EVALUATED,
    ROOT,
    SECRET,
    made_up_results,
    made_up_runs,
    make_folder,
    results_of,
    sections_of,
)

import tacfn
from dataset_scripts.base import CORPORA, UNKNOWN_SPEAKER, corpus_builder
from modeling_tacfn import model_card_facts, model_card_source
from modeling_tacfn.files import save_json_atomic
from modeling_tacfn.local_paths import without_paths_in
from modeling_tacfn.model_card import MARKER, TEMPLATE, model_card, save_model_card, write_model_card
from modeling_tacfn.model_card_pictures import plot_reliability
from modeling_tacfn.results import overview
from modeling_tacfn.scores import recall_per_class, uar, war
from modeling_tacfn.tasks import TASKS


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of the cases by name, each made when it is asked for first."""
    root = tmp_path_factory.mktemp("trained")
    return functools.cache(lambda name: make_folder(root / name, CASES[name]))


@pytest.fixture(scope="module")
def cards(folders):
    return functools.cache(lambda name: model_card(folders(name)))


@pytest.mark.parametrize("name", sorted(CASES))
def test_metadata_are_what_the_hub_reads(name, cards):
    card, case = cards(name), CASES[name]
    again = huggingface_hub.ModelCard(str(card))
    data = again.data.to_dict()
    assert str(again) == str(card)
    assert data["license"] == case.license
    assert ("license_name" in data, "license_link" in data) == (case.license == "other",) * 2
    assert data["library_name"] == "transformers"
    takes_sound_only = name in ("features", "normalised")
    assert data["pipeline_tag"] == ("audio-classification" if takes_sound_only else "video-classification")
    assert {"emotion-recognition", case.network} <= set(data["tags"])
    assert ("custom_code" in data["tags"]) == (name != "baseline")
    hidden = case.corpus in ("synthetic", "folder")
    assert data.get("datasets") == (
        None if hidden else [{"ravdess_au": "ravdess", "iemocap_words": "iemocap"}.get(case.corpus, case.corpus)]
    )
    assert data["metrics"]
    assert "None" not in str(card)


@pytest.mark.parametrize("name", EVALUATED)
def test_the_model_index_has_the_scores_of_the_file_and_names_the_protocol(name, cards, folders):
    case, results = CASES[name], results_of(folders(name))
    block = yaml.safe_load(str(cards(name)).split("---")[1])
    (model,) = block["model-index"]
    entries = huggingface_hub.ModelCard(str(cards(name))).data.eval_results
    titles = TASKS[case.task].titles
    assert {entry.metric_name for entry in entries} == {f"{title} ({case.protocol})" for title in titles.values()}
    for entry in entries:
        assert case.protocol in entry.dataset_name
        score = next(key for key, title in titles.items() if entry.metric_name.startswith(f"{title} ("))
        assert entry.metric_value == round(results["summary"][score]["mean"], 4)
    assert model["name"]


def test_scores_on_the_training_clips_are_in_no_index(cards):
    card = cards("learning_check")
    assert "model-index" not in card.data.to_dict()
    assert "On 32 clips of its own training: WAR" in card.text
    assert "learning check scores the very clips that the network was trained on" in card.text
    assert "The same speakers are on both sides." in card.text
    assert "Nothing was measured about people who are not in its training." in card.text


@pytest.mark.parametrize("name", sorted(CASES))
def test_nothing_is_left_blank(name, cards):
    sections = sections_of(cards(name).text)
    order = [line.strip("# \n") for line in TEMPLATE.read_text().splitlines() if line.startswith("## ")]
    assert [title for title in sections if title in order] == order
    empty = [title for title, body in sections.items() if not body and title != "Results"]
    assert empty == []
    assert re.findall(r"\{\{|\{%|\bnan\b|\bNone\b|\bnull\b|Undefined", cards(name).text) == []


@pytest.mark.parametrize("name", sorted(CASES))
def test_no_folder_of_the_machine_is_told(name, cards):
    text = str(cards(name))
    assert SECRET not in text
    assert "/home" not in text
    assert "secret" not in text
    assert "~" not in text
    assert "`train.py --data_dir RAVDESS --output_dir=run --folds folds.json`" in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("train.py --data_dir '/home/my name/x/' --n 3", "train.py --data_dir x --n 3"),
        (r"train.py --data_dir 'C:\Users\me\RAVDESS'", "train.py --data_dir RAVDESS"),
        ("train.py --corpus '{a: {path: /srv/me/openface}}'", "train.py --corpus '{a: {path: openface}}'"),
        ("train.py --w file:///home/me/w.pth", "train.py --w w.pth"),
        ("train.py --u https://zenodo.org/records/1", "train.py --u https://zenodo.org/records/1"),
        ("train.py --config configs/a.yaml", "train.py --config configs/a.yaml"),
        ("train.py 'unclosed /home/me/x", "train.py 'unclosed x"),
    ],
)
def test_paths_become_names(before, after):
    assert without_paths_in({"command": before})[0] == {"command": after}


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "audio_video",
            [
                "# TACFN on RAVDESS",
                "| `pixel_values_videos` | `(batch, 4, 3, 48, 48)` float | centre squares of the frames",
                "| `input_features` | `(batch, steps, 13)` float | 13 MFCC every 32.0 ms of mono sound at 8,000 Hz",
                "| 5 | fearful |",
                "a softmax makes probabilities of it",
                "| 0 | 0 | 11, 12 (77 clips) | nobody: the number of epochs was fixed before | 01, 02, 03, 04 (128 clips) |",
                "No speaker is on two sides of a fold.",
                "| `learning_rate` | 0.0173 |",
                "| `mixup` | 0.37 |",
                "The 8 epochs of 1 run took 10 s.",
                "| `n_fft` | 512 |",
                "The clips are acted",
                "Article 5(1)(f)",
                "Article 50(3)",
                "The video encoder started from published weights (`weights.pth`).",
                "| `hidden_size` | 64 | 16 |",
                "RAVDESS is CC BY-NC-SA 4.0, and so are these weights",
                "@article{liu2023tacfn",
                'inputs = processor(videos="clip.mp4")',
            ],
        ),
        (
            "features",
            [
                '| `input_features` or `features["audio"]` | `(batch, steps, 20)` float | 20 log-mel levels in dB every 32.0 ms',
                '| `features["units"]` | `(batch, 7)` float | one vector per clip, measured by another program: AU00_r',
                '| `features["text"]` | `(batch, steps, 12)` float | a vector per step, measured by another program |',
                'inputs = processor(audio="speech.wav", features={"units": "table.csv#clip", "text": text})',
                "# text: an array of shape (steps, 12)",
                "A small 2-D CNN, which is ours, reads the spectrogram",
            ],
        ),
        ("normalised", ['speaker="ann.json"', "centred and scaled by the clips of each speaker"]),
        ("cfn_sr", ["# CFN-SR on CREMA-D", "adds up the weight maps of all clips of a batch", "@article{fu2021cfnsr"]),
        (
            "avt_ca",
            [
                "# AVT-CA on IEMOCAP",
                "random splits, with the same people on both sides",
                "| female | 2 |",
                "| male | 1 |",
            ],
        ),
        (
            "baseline",
            [
                "# Baseline `averaging` on the synthetic corpus",
                "without the package it cannot be loaded",
                "Apache-2.0, as the code",
                "says that the network learns, and nothing about people",
            ],
        ),
        (
            "yes_no",
            [
                "an answer to each of 3 yes/no questions",
                "a sigmoid gives each yes",
                "| Question | Accuracy | Weighted F1 | Weighted accuracy | Yes | No | Accuracy, always no |",
                "Not known. The corpus does not say who speaks.",
                "Answering no to everything: Accuracy ",
                "| 0 | 0 | 77 clips | nobody",
                "Whether the tested people are in its training is not known",
                "Not measured for yes/no questions.",
                "The network takes ready-made features",
                "license_link",
            ],
        ),
        (
            "sentiment",
            [
                "a sentiment from -3 (negative) to 3 (positive)",
                "sentiment = model(**inputs).logits[:, 0]",
                "| MAE | Correlation | Acc-7 |",
                "There are no classes.",
                "the same person may be on both sides of a split",
            ],
        ),
        (
            "own_folder",
            [
                "# TACFN on a folder of one's own clips",
                "The licence of these weights is not known",
                "such a score is not speaker-independent",
                "an\\|gry",
                "Not known. The corpus does not say who speaks.",
                "| 0 | 0 | 77 clips | nobody: the number of epochs was fixed before | 16 clips |",
            ],
        ),
    ],
)
def test_what_a_card_says(name, texts, cards):
    card = str(cards(name))
    lower = card.lower()
    assert [text for text in texts if text.lower() not in lower] == []


def test_recall_of_each_label_and_of_each_speaker(cards, folders):
    text, results = cards("audio_video").text, results_of(folders("audio_video"))
    recalls = recall_per_class(np.array(results["summary"]["confusion"]))
    for label, recall in zip(EMOTIONS, recalls, strict=True):
        assert re.search(rf"\| {label} \| {100 * recall:.1f} \|", text), label
    rows = results["runs"][0]["predictions"]
    for speaker, sex in (("01", "male"), ("02", "female")):
        mine = [row for row in rows if row["speaker"] == speaker]
        confusion = np.zeros((8, 8), int)
        for row in mine:
            confusion[row["label"], np.argmax(row["probabilities"])] += 1
        assert f"| {speaker} | {sex} | {100 * war(confusion):.1f} | {100 * uar(confusion):.1f} | {len(mine)} |" in text


def test_without_results_nothing_is_invented(folders, tmp_path):
    folder = shutil.copytree(folders("audio_video"), tmp_path / "bare")
    (folder / "results.json").unlink()
    card = model_card(folder)
    assert card.data.license == "unknown"
    assert "model-index" not in card.data.to_dict()
    assert "It was not scored" in card.text
    assert "number of epochs" not in card.text
    assert "What these weights were trained on is not recorded." in card.text
    assert "What it was trained with is not recorded." in card.text
    save_json_atomic(folder / "training_arguments.json", {"dataset": "ravdess", "epochs": 17})
    card = model_card(folder)
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert "| `epochs` | 17 |" in card.text
    (folder / "processor_config.json").unlink()
    assert "No processor was saved with these weights" in model_card(folder).text


def test_saving_draws_what_is_missing_and_links_nothing_that_is_not_there(folders, tmp_path):
    for name in ("audio_video", "yes_no"):
        folder = shutil.copytree(folders(name), tmp_path / name)
        path = save_model_card(folder, "someone/tiny")
        assert path == folder / "README.md"
        text = path.read_text(encoding="utf-8")
        linked = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
        assert linked
        assert [link for link in linked if not (folder / link).is_file()] == []
        assert ("reliability.png" in linked) == (name == "audio_video")
        assert 'from_pretrained("someone/tiny"' in text
        assert "someone/…" not in text
        assert "name: tiny" in text
        before = {path.name for path in folder.iterdir()}
        assert save_model_card(folder, "someone/tiny").read_text(encoding="utf-8") == text
        assert {path.name for path in folder.iterdir()} == before


def test_a_card_that_somebody_wrote_is_kept(folders, tmp_path, caplog):
    folder = shutil.copytree(folders("sentiment"), tmp_path / "own")
    (folder / "README.md").write_text("# By hand\n")
    assert save_model_card(folder) == folder / "README.md"
    assert (folder / "README.md").read_text() == "# By hand\n"
    assert "is kept" in caplog.text
    (folder / "README.md").write_text(f"{MARKER}\n# Written before\n")
    assert "# TACFN on CMU-MOSEI" in save_model_card(folder).read_text(encoding="utf-8")


def test_a_failed_card_leaves_the_one_before(folders, tmp_path):
    folder = shutil.copytree(folders("sentiment"), tmp_path / "broken")
    before = save_model_card(folder).read_text(encoding="utf-8")
    results = results_of(folder)
    del results["summary"]["mae"]
    (folder / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match="lacks a part"):
        save_model_card(folder)
    assert (folder / "README.md").read_text(encoding="utf-8") == before
    assert not list(folder.glob(".README*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "received something else"),
        ("[]", "received something else"),
        ('{"schema_version": 99}', "Upgrade modeling_tacfn"),
        ('{"schema_version": 1}', "without corpus, labels"),
        ('{"schema_version": 1, "results": [3]}', "lacks a part"),
    ],
)
def test_a_damaged_file_is_named(content, message, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        model_card(path)
    assert str(path) in str(error.value)


def test_several_methods_in_a_folder_are_refused(tmp_path):
    results = made_up_results(CASES["audio_video"])
    save_json_atomic(tmp_path / "results.json", overview([results]))
    with pytest.raises(ValueError, match="several methods"):
        model_card(tmp_path)
    with pytest.raises(ValueError, match="choose among the results of a file"):
        model_card(tmp_path, method="tacfn")


def test_scores_that_are_not_defined_are_dashes(tmp_path):
    results = made_up_results(CASES["sentiment"])
    results["summary"]["correlation"] = {"mean": None, "sd": None, "pooled": None, "interval_95": [None, None]}
    results["summary"]["mae"]["interval_95"] = [None, None]
    save_json_atomic(tmp_path / "results.json", results)
    card = model_card(tmp_path / "results.json")
    assert "Correlation – [–, –]" in card.text
    assert "Correlation (plain)" not in [entry.metric_name for entry in card.data.eval_results]


def test_a_folder_with_nothing_in_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a trained folder"):
        model_card(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing of that name"):
        model_card(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="JSON object"):
        model_card(tmp_path)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A method of three seeds, each in a folder of its own."""
    root, case = tmp_path_factory.mktemp("grid"), CASES["audio_video"]
    runs = made_up_runs(case, seeds=(0, 1, 2))
    for run in runs:
        make_folder(root / f"fold_0_seed_{run['seed']}", case, made_up_results(case, [run]))
    save_json_atomic(root / "results.json", made_up_results(case, runs))
    return root


def test_one_run_of_several_tells_the_score_of_all(grid):
    text = model_card(grid / "fold_0_seed_1").text
    alone, whole = (results_of(path)["summary"]["war"] for path in (grid / "fold_0_seed_1", grid))
    assert "These weights were scored on 4 speakers (01, 02, 03, 04)" in text
    assert "One training (fold 0, seed 1)" in text
    assert f"| tacfn | {100 * alone['mean']:.1f} [" in text
    assert f"| tacfn | {100 * whole['mean']:.1f} ± {100 * whole['sd']:.1f} [" in text
    assert "The method over all its folds and seeds: WAR" in text


def test_results_beside_it_of_something_else_are_not_told(grid, tmp_path):
    shutil.copytree(grid / "fold_0_seed_1", tmp_path / "run")
    other = results_of(grid) | {"corpus": "crema_d"}
    save_json_atomic(tmp_path / "results.json", other)
    assert "over all its folds" not in model_card(tmp_path / "run").text
    (tmp_path / "results.json").write_text("something else")
    assert "over all its folds" not in model_card(tmp_path / "run").text


def test_the_folder_of_all_runs(grid, tmp_path):
    folder = shutil.copytree(grid, tmp_path / "grid")
    text = save_model_card(folder).read_text(encoding="utf-8")
    assert "3 trainings (1 fold, 3 seeds)" in text
    assert '"/fold_0_seed_0"' in text
    assert "| 0 | 0, 1, 2 | 11, 12 (77 clips) |" in text
    assert (folder / "confusion_matrix.png").is_file()
    assert "](confusion_matrix.png)" in text


def code_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_code_of_a_card_is_python(name, cards):
    blocks = code_blocks(cards(name).text)
    assert len(blocks) == (1 if name == "baseline" else 2)
    for block in blocks:
        ast.parse(block.replace("someone/…", "someone/name"))
    assert sum("trust_remote_code=True" in block for block in blocks) == len(blocks) - 1


def test_the_code_of_a_card_runs(folders, tmp_path):
    folder = folders("audio_video")
    clip = write_mp4(tmp_path / "clip.mp4", numbered_frames(10), tone(0.6))
    code = code_blocks(model_card(folder, str(folder)).text)[0].replace("clip.mp4", str(clip))
    names = {}
    exec(code, names)  # what the card tells its readers to do
    assert names["scores"].shape == (1, 8)
    assert float(names["scores"].detach().sum()) == pytest.approx(1)


RESULT_FILES = sorted((ROOT / "docs" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULT_FILES, ids=lambda path: path.stem)
def test_every_committed_results_file_has_a_card(path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    for item in stored.get("results", [stored]):
        card = model_card(path, method=item["name"], protocol=item["protocol"])
        assert ("model-index" in card.data.to_dict()) == (item["protocol"] != "learning check")
        assert f"{item['num_parameters']:,} parameters" in card.text
        assert "no weights lie beside it" in card.text
        assert "None" not in card.text


def test_of_several_results_one_has_to_be_named():
    with pytest.raises(ValueError, match="--method concatenation --protocol plain"):
        model_card(ROOT / "docs" / "results" / "ravdess_au.json")
    with pytest.raises(ValueError, match="got 0"):
        model_card(ROOT / "docs" / "results" / "ravdess_au.json", method="nothing")


def test_results_of_several_methods_are_compared(tmp_path):
    case = CASES["audio_video"]
    other = made_up_results(case, made_up_runs(case, seeds=(5,))) | {"name": "other"}
    save_json_atomic(tmp_path / "all.json", overview([made_up_results(case), other], reference="tacfn"))
    text = model_card(tmp_path / "all.json", method="other").text
    assert "### Other methods, same protocol" in text
    assert "WAR − tacfn" in text
    assert "Answers to single clips are not in this file" in text


def test_model_card_md_is_what_the_command_gives(tmp_path):
    committed = ROOT / "model_card.md"
    source = ROOT / "docs" / "results" / "ravdess_au.json"
    made = write_model_card(source, tmp_path / "model_card.md", method="tacfn", protocol="plain")
    remedy = "tacfn card docs/results/ravdess_au.json --method tacfn --protocol plain --output model_card.md"
    assert made.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8"), f"run: {remedy}"


def test_the_command(folders, tmp_path, capsys):
    folder = shutil.copytree(folders("sentiment"), tmp_path / "run")
    assert tacfn.main(["card", str(folder), "--repo_id", "someone/tiny"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "README.md")
    assert tacfn.main(["card", str(folder), "--output", str(tmp_path / "other.md")]) == 0
    assert "![" not in (tmp_path / "other.md").read_text(encoding="utf-8")
    capsys.readouterr()
    assert tacfn.main(["card", str(folder / "results.json")]) == 0
    assert huggingface_hub.ModelCard(capsys.readouterr().out).data.license_name == "cmu-mosei"
    assert tacfn.main(["card", str(tmp_path / "nowhere")]) == 1
    assert "nothing of that name" in capsys.readouterr().err


@pytest.mark.slow
def test_what_training_leaves_has_a_card(tmp_path, monkeypatch):
    from tone_corpus import AUDIO_PROCESSOR, NETWORK, write_tones

    from modeling_tacfn import experiment

    monkeypatch.setitem(CORPORA, "tones", "tone_corpus:Tones")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    options = {
        "dataset": "tones",
        "data_dir": str(write_tones(tmp_path / "corpus")),
        "cache_dir": str(tmp_path / "prepared"),
    }
    options |= {
        "model": NETWORK,
        "audio_processor": AUDIO_PROCESSOR,
        "num_folds": 4,
        "validation_speakers": 1,
        "epochs": 2,
    }
    options |= {"batch_size": 4, "num_proc": 1, "report_to": "none"}
    (tmp_path / "tones.yaml").write_text(yaml.safe_dump(options))
    run = tmp_path / "run"
    experiment.main(["--config", str(tmp_path / "tones.yaml"), "--output_dir", str(run), "--fold", "0", "1"])
    for folder in (run, run / "fold_1_seed_0"):
        card = save_model_card(folder).read_text(encoding="utf-8")
        assert "# TACFN on `tones`" in card
        assert "license: unknown" in card
        assert str(tmp_path) not in card
        assert "over all its folds and seeds" in card or folder == run


@pytest.mark.slow
def test_a_card_needs_nothing_of_training():
    assert model_card_source.UNKNOWN_SPEAKER == UNKNOWN_SPEAKER
    script = "import sys; sys.modules.update(dict.fromkeys(['datasets', 'accelerate', 'evaluate', 'sklearn']))\n"
    script += "from modeling_tacfn.model_card import model_card; print(model_card('docs/results/synthetic.json').data.license)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "apache-2.0", done.stderr[-2000:]


def test_every_corpus_is_known_with_the_licence_of_its_builder():
    for name in set(CORPORA) - {"folder"}:
        facts, builder = model_card_facts.CORPORA[name], corpus_builder(name)
        words = {"cc-by-nc-sa-4.0": "CC BY-NC-SA 4.0", "odbl": "ODbL", "other": "research", "apache-2.0": "CC0"}
        assert words[facts.license] in builder.LICENSE
    assert model_card_facts.corpus_facts("folder").license == "unknown"


def test_the_template_is_part_of_the_package():
    assert TEMPLATE.name in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_the_reliability_picture_takes_extremes(tmp_path):
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    plot_reliability(probabilities, np.array([0, 0, 0]), tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").stat().st_size > 5000
