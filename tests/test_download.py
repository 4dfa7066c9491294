"""Downloads: gone on with after a cut, checked, never repeated; against a server on this machine."""

import hashlib
import os
import shutil
from collections import namedtuple

import datasets
import pytest
from zenodo_server import ZenodoServer

from dataset_scripts.download import ZENODO_VARIABLE, DownloadError, RemoteFile, download_files, zenodo_files


SONG = bytes(range(256)) * 4000  # 1,024,000 bytes
SPEECH = SONG[::-1]


@pytest.fixture
def server():
    server = ZenodoServer({"Audio_Song_Actors_01-24.zip": SONG, "speech.zip": SPEECH})
    yield server
    server.shutdown()
    server.server_close()


def fetch(server, folder, names=("speech.zip",), retries=2):
    listed = {remote.name: remote for remote in zenodo_files("1188976", server.url, backoff_seconds=0.001)}
    return download_files([listed[name] for name in names], folder, retries, backoff_seconds=0.001)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def asked(server, name="speech.zip"):
    return [requested for file, requested in server.requests if file == name]


def test_the_record_is_listed(server, monkeypatch):
    monkeypatch.setenv(ZENODO_VARIABLE, server.url + "/")
    assert zenodo_files("1188976")[1] == RemoteFile(
        "speech.zip",
        f"{server.url}/api/records/1188976/files/speech.zip/content",
        len(SPEECH),
        hashlib.md5(SPEECH).hexdigest(),
    )


def test_files_are_fetched_once(server, tmp_path):
    names = ("speech.zip", "Audio_Song_Actors_01-24.zip")
    paths = fetch(server, tmp_path / "new" / "folder", names)
    assert paths == [tmp_path / "new" / "folder" / name for name in names]
    assert contents(tmp_path / "new" / "folder") == {"speech.zip": SPEECH, "Audio_Song_Actors_01-24.zip": SONG}
    fetch(server, tmp_path / "new" / "folder", names)
    assert asked(server) == [None]


def test_a_cut_connection_is_gone_on_with(server, tmp_path):
    server.troubles["speech.zip"] = [("cut", 300_000), ("cut", 1000), 503]
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}
    assert asked(server) == [None, "bytes=300000-", "bytes=301000-", "bytes=301000-"]


def test_what_an_interrupted_call_left_is_gone_on_with(server, tmp_path):
    (tmp_path / "speech.zip.part").write_bytes(SPEECH[:1000])
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}
    assert asked(server) == ["bytes=1000-"]


def test_a_whole_part_is_only_checked(server, tmp_path):
    (tmp_path / "speech.zip.part").write_bytes(SPEECH)
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}
    assert asked(server) == []


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    server.troubles["speech.zip"] = [("cut", 300_000), "no range"]
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}


def test_a_part_longer_than_the_file_is_begun_anew(server, tmp_path):
    (tmp_path / "speech.zip.part").write_bytes(SPEECH + b"more")
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}
    assert asked(server) == [f"bytes={len(SPEECH) + 4}-", None]


def test_more_cuts_than_retries_are_survived_as_long_as_something_comes(server, tmp_path):
    server.troubles["speech.zip"] = [("cut", 1000)] * 8
    fetch(server, tmp_path, retries=1)
    assert contents(tmp_path) == {"speech.zip": SPEECH}


def test_a_damaged_file_is_fetched_once_more(server, tmp_path):
    server.troubles["speech.zip"] = [("bytes", SONG)]
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}
    assert asked(server) == [None, None]


def test_a_file_damaged_twice_is_an_error_and_leaves_nothing(server, tmp_path):
    server.troubles["speech.zip"] = [("bytes", SONG)] * 2
    with pytest.raises(DownloadError, match=r"speech\.zip with the MD5 checksum .* twice received"):
        fetch(server, tmp_path)
    assert contents(tmp_path) == {}
    assert len(asked(server)) == 2


def test_a_damaged_part_costs_one_more_download(server, tmp_path):
    (tmp_path / "speech.zip.part").write_bytes(b"\0" * 1000)
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}
    assert asked(server) == ["bytes=1000-", None]


def test_a_missing_file_is_not_asked_for_twice(server, tmp_path):
    server.troubles["speech.zip"] = [404]
    with pytest.raises(DownloadError, match=r"speech\.zip.*received HTTP Error 404"):
        fetch(server, tmp_path)
    assert len(asked(server)) == 1


def test_a_server_that_stays_busy_is_left_and_the_part_is_kept(server, tmp_path):
    server.troubles["speech.zip"] = [("cut", 1000)] + [503] * 9
    with pytest.raises(DownloadError, match=r"503.*after 3 tries in a row") as caught:
        fetch(server, tmp_path)
    assert "1,000 are kept in" in str(caught.value)
    assert contents(tmp_path) == {"speech.zip.part": SPEECH[:1000]}
    assert len(asked(server)) == 3
    server.troubles.clear()
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}


@pytest.mark.parametrize(
    ("sent", "why"), [(SPEECH + b"more", "sends more"), (SPEECH[:-10], "1,023,990 are kept.*ends early")]
)
def test_a_wrong_size_is_an_error(server, tmp_path, sent, why):
    server.troubles["speech.zip"] = [("bytes", sent)] * 20
    with pytest.raises(DownloadError, match=why):
        fetch(server, tmp_path)
    assert "speech.zip" not in contents(tmp_path)


def test_a_file_of_another_size_is_replaced(server, tmp_path):
    (tmp_path / "speech.zip").write_bytes(SPEECH[:1000])
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}


def test_a_server_that_is_away(tmp_path, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="a list of files from http.*after 2 tries"):
        zenodo_files("1188976", server.url, retries=1, backoff_seconds=0.001)


def test_a_busy_listing_is_asked_for_again(server, tmp_path):
    server.troubles["record"] = [503, 503]
    fetch(server, tmp_path)
    assert contents(tmp_path) == {"speech.zip": SPEECH}


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>maintenance</html>",
        b"[]",
        b'{"files": [{"key": "a.zip"}]}',
        b'{"files": [{"key": "../a.zip", "size": 5, "checksum": "md5:%s"}]}' % (b"0" * 32),
        b'{"files": [{"key": "a.zip", "size": "5", "checksum": "md5:%s"}]}' % (b"0" * 32),
        b'{"files": [{"key": "a.zip", "size": 5, "checksum": "sha1:0"}]}',
        b"\xff\xfe",
    ],
)
def test_a_listing_that_is_something_else(server, listing):
    server.listing = listing
    with pytest.raises(DownloadError, match="Expected a list of files"):
        zenodo_files("1188976", server.url)


def test_no_space_is_said_before_anything_is_fetched(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    (tmp_path / "speech.zip.part").write_bytes(SPEECH[:24_000])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10, 5, 999_999))
    with pytest.raises(OSError, match=r"Expected 1,000,000 free bytes in .* to download 1 files, found 999,999"):
        fetch(server, tmp_path)
    assert asked(server) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10, 5, 1_000_000))
    fetch(server, tmp_path)


def test_the_progress_bar_counts_bytes(server, tmp_path, capsys):
    datasets.enable_progress_bars()
    try:
        server.troubles["speech.zip"] = [("cut", 300_000), "no range"]
        fetch(server, tmp_path)
    finally:
        datasets.disable_progress_bars()
    shown = capsys.readouterr().err
    assert "speech.zip: 100%" in shown
    assert "1.02M/1.02M" in shown


def test_the_file_appears_whole(server, tmp_path, monkeypatch):
    moved = []
    replace = os.replace

    def check(source, target):
        moved.append((os.path.basename(source), os.path.basename(target), os.path.getsize(source)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", check)
    fetch(server, tmp_path)
    assert moved == [("speech.zip.part", "speech.zip", len(SPEECH))]
