"""The network that is trained on everybody: described by the scores over the folds, which must be of the same training."""

import json

import datasets
import pytest
import yaml
from tone_corpus import AUDIO_PROCESSOR, NETWORK, write_tones
from transformers import AutoModel

import modeling_tacfn  # noqa: F401
from dataset_scripts.base import CORPORA
from modeling_tacfn import experiment
from modeling_tacfn.model_card import model_card


OPTIONS = {
    "dataset": "tones",
    "model": NETWORK,
    "audio_processor": AUDIO_PROCESSOR,
    "num_folds": 2,
    "validation_speakers": 0,
    "epochs": 2,
    "batch_size": 4,
    "num_proc": 1,
    "report_to": "none",
}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains into a folder of this name, with these options changed, and gives the folder."""
    root = tmp_path_factory.mktemp("final")
    write_tones(root / "corpus")

    def run(into: str, /, *extra: str, **changes):
        options = OPTIONS | {"data_dir": str(root / "corpus"), "cache_dir": str(root / "prepared")} | changes
        (root / "options.yaml").write_text(yaml.safe_dump(options))
        experiment.main(["--config", str(root / "options.yaml"), "--output_dir", str(root / into), *extra])
        return root / into

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CORPORA, "tones", "tone_corpus:Tones")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", root / "datasets")
        yield run


@pytest.fixture(scope="module")
def scores(train):
    return train("folds", "--all_folds") / "results.json"


def test_everybody_is_trained_on_and_the_folds_speak_for_it(train, scores, capsys):
    folder = train("final", "--final", str(scores), "--seeds", "3")
    results, expected = (json.loads(path.read_text()) for path in (folder / "results.json", scores))
    assert [results[key] for key in ("summary", "runs", "settings")] == [
        expected[key] for key in ("summary", "runs", "settings")
    ]
    everybody = sorted(name for run in expected["runs"] for name in run["splits"]["test"])
    final = results["final"]
    assert (final["seed"], final["splits"]) == (3, {"train": everybody, "validation": [], "test": []})
    assert final["clips"]["train"] == sum(run["clips"]["test"] for run in expected["runs"])
    assert len(final["history"]) == 2
    assert "What to expect of it are the scores of the same options over the folds" in capsys.readouterr().out
    assert AutoModel.from_pretrained(folder).config.num_labels == len(results["labels"])

    card = str(model_card(folder))
    assert "No score of these very weights is known" in card
    assert f"on all {final['clips']['train']} clips of {len(everybody)} speakers" in card
    assert "The last row is these weights." in card
    assert "This way of training was tested" in card

    again = train("final", "--final", str(scores), "--seeds", "3", "--resume")
    assert json.loads((again / "results.json").read_text()) == results


@pytest.mark.slow
def test_scores_of_another_training_do_not_speak_for_it(train, scores, tmp_path):
    for changes, message in (
        ({"epochs": 3}, "these scores belong to other options .epochs: 2 → 3"),
        ({"validation_speakers": 1}, "these scores belong to other options .validation_speakers: 0 → 1"),
        ({"name": "mine"}, r"expected the results of mine \(plain\), it holds tacfn \(plain\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train("refused", "--final", str(scores), **changes)
    one_fold = train("one_fold")
    with pytest.raises(ValueError, match="expected scores of every speaker of the corpus, nobody tested"):
        train("refused", "--final", str(one_fold / "results.json"))
    chosen = train("chosen", "--all_folds", validation_speakers=1)
    with pytest.raises(ValueError, match="nobody left to choose the epoch"):
        train("refused", "--final", str(chosen / "results.json"), validation_speakers=1)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ValueError, match="Expected results in"):
        train("refused", "--final", str(tmp_path / "results.json"))
    assert not (one_fold.parent / "refused").exists()


@pytest.mark.parametrize("other", [["--all_folds"], ["--published_split"], ["--seeds", "0", "1"]])
def test_it_is_one_network_without_a_test(train, scores, other, capsys):
    with pytest.raises(SystemExit):
        train("refused", "--final", str(scores), *other)
    assert "--final trains one network on everybody" in capsys.readouterr().err
