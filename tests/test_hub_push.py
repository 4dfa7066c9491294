# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Pushing a trained network: what goes to the Hub and what must not, again without a change, and every way it can fail."""

import json
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from hub_server import NO_SPACE, OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, use_hub
from huggingface_hub import HfApi, snapshot_download
from tiny_models import build

import modeling_tacfn
from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor, hub_space
from modeling_tacfn.hub import push_after_training, push_model
from modeling_tacfn.hub_upload import HubError
from modeling_tacfn.local_paths import without_paths
from modeling_tacfn.results import make_results
from tacfn import PUSH_EXAMPLE, build_parser, main


NAME = "someone/tacfn-test"
ROOT = Path(__file__).resolve().parents[1]
ANSWERS = [
    {"clip_id": str(index), "speaker": "03", "label": index % 2, "probabilities": [0.7, 0.3]} for index in range(4)
]
RUN = {"fold": 0, "seed": 0, "best_epoch": 0, "predictions": ANSWERS, "num_parameters": 1, "clips": {"test": 4}}
RUN |= {"splits": {"train": ["01"], "validation": [], "test": ["03"]}, "history": [{"epoch": 0, "train_loss": 1.0}]}
RECORDS = {
    "results.json": make_results(
        "tacfn",
        "folder",
        ["calm", "angry"],
        [RUN],
        environment={"command": "train.py --data_dir /home/ann/RAVDESS --corpus '{a: {path: /srv/au}}'"},
    ),
    "training_arguments.json": {"init_video_encoder": "/home/ann/my weights/resnext.pth", "epochs": 3},
}
STRAY = [
    "checkpoint/optimizer.bin",
    "checkpoint/model.safetensors",
    "log/events.out.tfevents",
    ".hidden.json",
    "notes.txt",
    "prepared/clip.npz",
    "my_script.py",
    "holiday.png",
    "pytorch_model.bin",
    "model.safetensors.part",
]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """What a training leaves, and much that only the one who trained has to do with."""
    folder = tmp_path_factory.mktemp("trained")
    build("features").save_pretrained(folder)
    sound = TacfnFeatureExtractor(sampling_rate=16000, feature_type="log_mel", feature_size=20, num_mel_bins=20)
    TacfnProcessor(sound, TacfnImageProcessor(), static_features=["units"], do_video=False).save_pretrained(folder)
    for name, content in RECORDS.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "learning_curve.png").write_bytes(b"a picture")
    for name in STRAY:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not to be seen")
    return folder


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "copied"))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = use_hub(monkeypatch, tmp_path / "home")
    yield server
    server.shutdown()
    server.server_close()


def pushed_files(hub, revision="main", name=NAME) -> dict[str, bytes]:
    return hub.repositories["model", name].files(revision)


def test_what_is_pushed_is_what_others_need_and_nothing_else(hub, trained):
    pushed = push_model(trained, NAME)
    files = pushed_files(hub)
    code = {path.name for path in trained.glob("*.py")} - {"my_script.py"}
    assert {"modeling_tacfn.py", "processing_tacfn.py", "media_scan.py"} <= code
    fixed = {"config.json", "model.safetensors", "processor_config.json", "README.md", "learning_curve.png"}
    fixed |= {"confusion_matrix.png", "reliability.png"}  # which the card shows
    assert set(files) == code | fixed | set(RECORDS)
    assert set(pushed.files) == set(files)
    for name in code | {"model.safetensors", "config.json"}:
        assert files[name] == (trained / name).read_bytes()
    assert not any(b"not to be seen" in content for content in files.values())
    assert b"library_name: transformers" in files["README.md"]
    assert b"/home/ann" not in files["README.md"]
    assert hub.repositories["model", NAME].is_private
    assert HfApi().model_info(NAME).sha == pushed.commit


def test_paths_of_this_machine_stay_here(hub, trained):
    pushed = push_model(trained, NAME)
    files = pushed_files(hub)
    assert json.loads(files["results.json"])["environment"]["command"] == (
        "train.py --data_dir RAVDESS --corpus '{a: {path: au}}'"
    )
    assert json.loads(files["training_arguments.json"]) == {"init_video_encoder": "resnext.pth", "epochs": 3}
    assert pushed.notes == (
        "results.json: 2 paths of this machine became bare names.",
        "training_arguments.json: 1 path of this machine became bare names.",
    )
    kept = json.loads((trained / "results.json").read_text())
    assert kept["environment"] == RECORDS["results.json"]["environment"], "the record here was changed"
    assert not any(str(Path.home()).encode() in content or b"/home/ann" in content for content in files.values())


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("--data_dir=/corpora/RAVDESS/ --x", "--data_dir=RAVDESS --x"),
        (r"C:\Users\ann\clip.mp4", "clip.mp4"),
        ("file:///home/ann/x ~/data/y `/tmp/z`", "x y `z`"),
        ("https://huggingface.co/a/b <br/> </td> [d](docs/x.md) WAR/UAR and/or km /h 10.1109/T.2014", None),
    ],
)
def test_what_counts_as_a_path(text, clean):
    assert without_paths(text)[0] == (text if clean is None else clean)


def test_a_token_in_a_file_is_refused(hub, copied):
    (copied / "README.md").write_text(f"---\nlicense: mit\n---\nlogin with {WRITE_TOKEN}\n")
    with pytest.raises(ValueError, match=r"README\.md holds what looks like a token.*revoke") as error:
        push_model(copied, NAME)
    assert WRITE_TOKEN not in str(error.value)
    assert not hub.requests


def test_pictures_of_the_card_are_pushed(hub, copied):
    (copied / "README.md").write_text(
        "---\nlicense: mit\n---\n![all](holiday.png) ![no](notes.txt) ![x](../secret.png)\n"
    )
    push_model(copied, NAME)
    assert "holiday.png" in pushed_files(hub)
    assert not {"notes.txt", "../secret.png"} & set(pushed_files(hub))
    assert pushed_files(hub)["README.md"] == (copied / "README.md").read_bytes()


def test_nothing_new_is_no_commit(hub, copied):
    first = push_model(copied, NAME)
    sent = len(hub.uploads)
    again = push_model(copied, NAME)
    repository = hub.repositories["model", NAME]
    assert first.is_new
    assert not again.is_new
    assert again.commit == first.commit
    assert len(repository.commits) == 2
    assert len(hub.uploads) == sent
    assert "nothing has changed" in str(again)

    (copied / "learning_curve.png").unlink()
    build("features_two_modalities").save_pretrained(copied)
    other = push_model(copied, NAME)
    assert other.is_new
    assert "learning_curve.png" not in pushed_files(hub), "of another training"
    assert pushed_files(hub, first.commit)["model.safetensors"] != pushed_files(hub)["model.safetensors"]
    assert pushed_files(hub, first.commit)["learning_curve.png"] == b"a picture"


def test_what_others_put_there_stays(hub, trained):
    hub.add(
        "model", NAME, {"handler.py": b"mine", "media/clip.mp4": b"mine", "prosody_old.py": b"mine"}, is_private=True
    )
    push_model(trained, NAME)
    assert {"handler.py", "media/clip.mp4", "prosody_old.py"} <= set(pushed_files(hub))


def test_a_branch_of_its_own(hub, trained):
    pushed = push_model(trained, NAME, revision="v2")
    assert set(pushed_files(hub, "v2")) == set(pushed.files)
    assert pushed_files(hub, "main") == {}
    assert not push_model(trained, NAME, revision="v2").is_new
    with pytest.raises(HubError, match="commits never change"):
        push_model(trained, NAME, revision=pushed.commit)


@pytest.mark.slow
def test_who_sees_it(hub, trained, copied):
    hub.add("model", "someone/seen")
    with pytest.raises(HubError, match="there already and public.*--public"):
        push_model(trained, "someone/seen")
    assert hub.repositories["model", "someone/seen"].files() == {}
    assert not push_model(trained, "someone/seen", private=False).is_private
    assert not push_model(trained, "someone/new", private=False).is_private
    push_model(trained, NAME)
    (copied / "learning_curve.png").unlink()
    stays = push_model(copied, NAME, private=False)
    assert stays.is_private
    assert "stays so" in stays.notes[-1]


def test_a_name_alone_is_ones_own(hub, trained):
    assert push_model(trained, "tacfn-test").repo_id == NAME


def test_one_of_several_runs(hub, trained, tmp_path, capsys):
    grid = tmp_path / "grid"
    for run in ("fold_0_seed_0", "fold_1_seed_0"):
        shutil.copytree(trained, grid / run)
    with pytest.raises(ValueError, match="holds 2 trained networks.*--run fold_0_seed_0, … fold_1_seed_0"):
        push_model(grid, NAME)
    with pytest.raises(ValueError, match="no run 'fold_9'; it holds fold_0_seed_0, fold_1_seed_0"):
        push_model(grid, NAME, run="fold_9")
    assert not hub.requests
    assert main(["push", str(grid), NAME, "--run", "fold_1_seed_0", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["commit"] == hub.repositories["model", NAME].branches["main"]
    assert "model.safetensors" in pushed_files(hub)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "expected a folder that train.py or save_pretrained wrote"),
        (lambda folder: (folder / "processor_config.json").unlink(), "missing: processor_config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "missing: model.safetensors"),
        (lambda folder: (folder / "prosody.py").unlink(), "prosody.py is missing"),
        (lambda folder: (folder / "results.json").write_text("{"), "Expected results in .*results.json"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\x10"),
            "model.safetensors: expected whole weights",
        ),
    ],
)
def test_what_nobody_could_use_is_not_pushed(hub, copied, change, message):
    change(copied)
    shutil.rmtree(copied / "checkpoint")
    with pytest.raises(ValueError, match=message):
        push_model(copied, NAME)
    assert not hub.requests


def test_code_that_was_left_out_is_that_of_the_package(hub, copied):
    with_code = push_model(copied, NAME)
    for path in copied.glob("*.py"):
        path.unlink()
    again = push_model(copied, NAME)
    assert again.files == with_code.files
    assert not again.is_new


def test_a_network_without_code_says_so(hub, copied):
    for path in copied.glob("*.py"):
        path.unlink()
    for name in ("config.json", "processor_config.json"):
        settings = json.loads((copied / name).read_text())
        settings = {key: value for key, value in settings.items() if key != "auto_map"}
        for part in settings.values():
            if isinstance(part, dict):
                part.pop("auto_map", None)
        (copied / name).write_text(json.dumps(settings))
    assert "where modeling_tacfn is installed" in push_model(copied, NAME).notes[-1]


# The demo.


def test_a_network_and_its_demo_in_one_go(hub, trained, tmp_path, capsys, monkeypatch):
    assert main(["push", str(trained), NAME, "--space"]) == 0
    assert f"{NAME} is private: its Space needs a token" in capsys.readouterr().err
    space = hub.repositories["space", f"{NAME}-demo"]
    assert (space.sdk, space.is_private) == ("gradio", True)
    files = space.files()
    assert {"app.py", "README.md", "requirements.txt"} <= set(files)
    package = [name.removeprefix("modeling_tacfn/") for name in files if name.startswith("modeling_tacfn/")]
    assert {"__init__.py", "demo.py", "modeling_tacfn.py", "model_card_template.md"} <= set(package)
    assert any(name.startswith("demo_examples/") for name in package)
    assert not [name for name in files if "__pycache__" in name or "test" in name]
    header, page = files["README.md"].decode().split("---\n", 2)[1:]
    assert yaml.safe_load(header)["models"] == [NAME]
    assert yaml.safe_load(header)["sdk"] == "gradio"
    assert page.strip() == (ROOT / "space/README.md").read_text(encoding="utf-8").split("---\n", 2)[2].strip()
    for name in ("app.py", "README.md"):
        (tmp_path / name).write_bytes(files[name])
    app = runpy.run_path(str(tmp_path / "app.py"))
    assert app["chosen_models"]() == [NAME]
    monkeypatch.setenv("MODEL_ID", "someone/one, someone/two")
    assert app["chosen_models"]() == ["someone/one", "someone/two"]
    commits = [len(repository.commits) for repository in hub.repositories.values()]
    assert main(["push", str(trained), NAME, "--space", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert not record["is_new"]
    assert not record["space"]["is_new"]
    assert [len(repository.commits) for repository in hub.repositories.values()] == commits


def test_the_space_can_be_named(hub, trained, capsys):
    assert main(["push", str(trained), NAME, "--public", "--space", "someone/emotions"]) == 0
    assert not hub.repositories["space", "someone/emotions"].is_private
    assert "is private" not in capsys.readouterr().err


def test_a_space_that_cannot_be_made_is_said_before_anything_is_pushed(hub, trained, capsys, monkeypatch, tmp_path):
    assert main(["push", str(trained), NAME, "--space", "--revision", "v2"]) == 1
    assert "leave out --revision" in capsys.readouterr().err
    monkeypatch.setattr(hub_space, "APP", tmp_path)
    assert main(["push", str(trained), NAME, "--space"]) == 1
    assert "missing: app.py, README.md, requirements.txt" in capsys.readouterr().err
    assert not hub.repositories


# What can go wrong on the way.


def test_a_card_that_the_hub_cannot_read(hub, copied):
    (copied / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(HubError, match="Invalid metadata in README.md"):
        push_model(copied, NAME)
    assert_nothing_changed(hub)


def assert_nothing_changed(hub) -> None:
    assert all(len(repository.commits) == 1 for repository in hub.repositories.values())


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("", NAME, "expected a token.*hf auth login.*HF_TOKEN"),
        ("hf_wrong0000000000000000000", NAME, "does not accept the token.*hf auth login"),
        (READ_TOKEN, NAME, "no right to write.*namespace.*role write"),
        (OTHER_TOKEN, NAME, "no right to write.*repository of your own"),
        (WRITE_TOKEN, "a/b/c", "expected owner/name"),
        (WRITE_TOKEN, "some one/x", "expected owner/name"),
    ],
)
def test_who_may_not_push_is_told_why(hub, trained, monkeypatch, token, name, message):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=message) as error:
        push_model(trained, name)
    assert not hub.repositories
    assert not token or token not in str(error.value)


def test_a_repository_of_another_may_only_be_read(hub, trained):
    hub.add("model", "another/x", {"README.md": b"theirs"})
    with pytest.raises(HubError, match="no right to write"):
        push_model(trained, "another/x", private=False)
    assert hub.repositories["model", "another/x"].files() == {"README.md": b"theirs"}


def test_no_space(hub, trained):
    hub.space_left = 100
    with pytest.raises(HubError, match=f"no space left.*{NO_SPACE[:30]}.*Run the same again"):
        push_model(trained, NAME)
    assert_nothing_changed(hub)
    hub.space_left = None
    assert push_model(trained, NAME).is_new


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["upload", "commit", "preupload", "info"])
def test_a_connection_that_is_cut(hub, trained, kind, caplog):
    hub.troubles[kind] = [("cut", 50), "always"]
    with pytest.raises(HubError, match="connection to the Hub was cut.*Run the same again") as error:
        push_model(trained, NAME)
    assert WRITE_TOKEN not in str(error.value) + caplog.text
    assert_nothing_changed(hub)
    sent = [oid for oid, _ in hub.uploads]
    hub.troubles.clear()
    push_model(trained, NAME)
    assert set(pushed_files(hub)) >= {"model.safetensors", "config.json"}
    assert len({oid for oid, _ in hub.uploads}) == len(hub.uploads), "sent twice"
    assert sent == [oid for oid, _ in hub.uploads][: len(sent)]


def test_a_short_interruption_is_not_noticed(hub, trained):
    hub.troubles["upload"] = [("cut", 50), 503, None]
    assert push_model(trained, NAME).is_new


def test_a_hub_in_trouble_and_a_change_meanwhile(hub, trained):
    hub.troubles["commit"] = [500]
    with pytest.raises(HubError, match="answered 500"):
        push_model(trained, NAME)
    hub.troubles["commit"] = [412]
    with pytest.raises(HubError, match="somebody else changed"):
        push_model(trained, NAME)
    assert_nothing_changed(hub)


def test_no_server_at_all(hub, trained, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="connection to the Hub was cut, or there is none"):
        push_model(trained, NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        push_model(trained, NAME)


def test_after_a_training_a_failure_is_only_said(hub, trained, monkeypatch, capsys):
    assert push_after_training(trained, NAME, private=True)
    assert f"{hub.url}/{NAME}" in capsys.readouterr().out
    monkeypatch.setenv("HF_TOKEN", OTHER_TOKEN)
    assert not push_after_training(trained, "someone/other", private=False, revision="v2")
    said = capsys.readouterr().err
    assert "no right to write" in said
    assert f"tacfn push {trained} someone/other --revision v2 --public" in said
    again = shlex.split(said.splitlines()[-1].partition("tacfn ")[2])
    assert build_parser().parse_args(again).repo_id == "someone/other"


def test_the_command(hub, trained, capsys, monkeypatch):
    assert main(["push", str(trained), NAME]) == 0
    said = capsys.readouterr()
    assert hub.repositories["model", NAME].branches["main"] in said.out
    monkeypatch.setenv("HF_TOKEN", "")
    assert main(["push", str(trained), NAME]) == 1
    error = capsys.readouterr().err
    assert error.startswith("tacfn: ")
    assert error.count("\n") == 1
    lines = [line.strip() for line in PUSH_EXAMPLE.splitlines() if line.strip().startswith("tacfn ")]
    assert [build_parser().parse_args(shlex.split(line)[1:]).command for line in lines] == ["push"] * 4


def test_what_comes_back_is_a_model(hub, trained, tmp_path):
    pushed = push_model(trained, NAME)
    folder = snapshot_download(NAME, revision=pushed.commit, local_dir=tmp_path / "back")
    asked = {token for method, path, token in hub.requests if path.startswith("/cdn/")}
    assert asked == {None}, "the token went to another host"
    model = modeling_tacfn.TacfnModel.from_pretrained(folder)
    original = modeling_tacfn.TacfnModel.from_pretrained(trained)
    for name, value in original.state_dict().items():
        assert value.equal(model.state_dict()[name])
