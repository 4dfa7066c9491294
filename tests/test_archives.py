"""Zip archives, of which none is trusted."""

import json
import os
import shutil
import stat
import time
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataset_scripts import archives
from dataset_scripts.archives import ArchiveError, extract_archive, plan_extraction


def is_clip(name):
    return name.endswith(".mp4")


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    """Members are pairs of a name, or a whole `ZipInfo`, and what they hold."""
    with zipfile.ZipFile(path, "w", compression) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def extract(archive, target, **limits):
    members, skipped = plan_extraction(archive, is_clip)
    extract_archive(archive, members, target, **limits)
    return skipped


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def archive(tmp_path):
    return make_zip(tmp_path / "clips.zip", [("Actor_01/a.mp4", b"one"), ("b.mp4", b"two"), ("notes.txt", b"x")])


def test_only_what_is_wanted_is_unpacked(archive, tmp_path):
    assert extract(archive, tmp_path / "out") == {}
    assert tree(tmp_path / "out") == {"Actor_01/a.mp4": b"one", "b.mp4": b"two"}
    assert os.stat(tmp_path / "out" / "b.mp4").st_mtime_ns == os.stat(archive).st_mtime_ns


def test_unpacked_once(archive, tmp_path, monkeypatch):
    extract(archive, tmp_path / "out")
    monkeypatch.setattr(archives, "_write_member", lambda *arguments: pytest.fail("unpacked again"))
    extract(archive, tmp_path / "out")


def test_a_changed_archive_is_unpacked_again(archive, tmp_path):
    extract(archive, tmp_path / "out")
    make_zip(archive, [("c.mp4", b"three")])
    extract(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"c.mp4": b"three"}
    os.utime(archive, (1, 1))
    extract(archive, tmp_path / "out")
    assert os.stat(tmp_path / "out" / "c.mp4").st_mtime == 1


@pytest.mark.parametrize("damage", ["gone", "shorter", "no record", "broken record"])
def test_a_damaged_cache_is_made_again(archive, tmp_path, damage):
    extract(archive, tmp_path / "out")
    if damage == "gone":
        (tmp_path / "out" / "b.mp4").unlink()
    elif damage == "shorter":
        (tmp_path / "out" / "b.mp4").write_bytes(b"")
    elif damage == "no record":
        (tmp_path / "out" / archives.RECORD).unlink()
    else:
        (tmp_path / "out" / archives.RECORD).write_text("{")
    extract(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"Actor_01/a.mp4": b"one", "b.mp4": b"two"}


def test_an_interrupted_extraction_leaves_nothing_and_is_redone(archive, tmp_path, monkeypatch):
    write, calls = archives._write_member, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_write_member", interrupt)
        with pytest.raises(KeyboardInterrupt):
            extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # What a killed process leaves: it could not even tidy up.
    (tmp_path / ".out.0123abcd").mkdir()
    (tmp_path / ".out.0123abcd" / "a.mp4").write_bytes(b"half")
    extract(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"Actor_01/a.mp4": b"one", "b.mp4": b"two"}
    assert not (tmp_path / ".out.0123abcd").exists()


def test_two_at_once(archive, tmp_path, monkeypatch):
    write, written = archives._write_member, []

    def write_slowly(opened, info, path):
        written.append(info.filename)
        time.sleep(0.05)
        write(opened, info, path)

    monkeypatch.setattr(archives, "_write_member", write_slowly)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: extract(archive, tmp_path / "out"), range(4)))
    assert sorted(written) == ["Actor_01/a.mp4", "b.mp4"]
    assert tree(tmp_path / "out") == {"Actor_01/a.mp4": b"one", "b.mp4": b"two"}


@pytest.mark.parametrize(
    "name", ["../evil.mp4", "a/../../evil.mp4", "/evil.mp4", "..\\evil.mp4", "C:\\evil.mp4", "C:evil.mp4"]
)
def test_no_member_leaves_the_folder(tmp_path, name):
    archive = make_zip(tmp_path / "clips.zip", [(name, b"evil"), ("b.mp4", b"two")])
    before = {path.name for path in tmp_path.iterdir()}
    skipped = extract(archive, tmp_path / "cache" / "out")
    assert list(skipped.values()) == ["its path leads out of the archive's folder"]
    assert name in next(iter(skipped))
    assert tree(tmp_path / "cache" / "out") == {"b.mp4": b"two"}
    assert {path.name for path in tmp_path.iterdir()} == before | {"cache"}
    assert not os.path.exists("/evil.mp4")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_left_out(tmp_path, kind):
    link = zipfile.ZipInfo("a.mp4")
    link.create_system = 3
    link.external_attr = (kind | 0o777) << 16
    archive = make_zip(tmp_path / "clips.zip", [(link, b"/etc/passwd"), ("b.mp4", b"two")])
    assert list(extract(archive, tmp_path / "out").values()) == ["a link or a device, not a file"]
    assert tree(tmp_path / "out") == {"b.mp4": b"two"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_member_of_the_same_name_is_left_out(tmp_path):
    archive = make_zip(tmp_path / "clips.zip", [("a.mp4", b"one"), ("a.mp4", b"two"), ("./a.mp4", b"three")])
    skipped = extract(archive, tmp_path / "out")
    assert set(skipped.values()) == {"the archive holds a second file of this name"}
    assert tree(tmp_path / "out") == {"a.mp4": b"one"}


def test_folders_and_leftovers_of_a_mac_are_passed_over(tmp_path):
    archive = make_zip(tmp_path / "clips.zip", [("x.mp4/", b""), ("__MACOSX/Actor_01/a.mp4", b"?"), ("b.mp4", b"two")])
    assert extract(archive, tmp_path / "out") == {}
    assert tree(tmp_path / "out") == {"b.mp4": b"two"}


def test_an_encrypted_archive_is_refused(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    for marker, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(marker, at + 1)) >= 0:
            content[at + place] |= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"clips\.zip: expected an archive that needs no password, Actor_01/a\.mp4"):
        extract(archive, tmp_path / "out")


def test_bombs_are_refused(tmp_path):
    archive = make_zip(tmp_path / "clips.zip", [("a.mp4", bytes(10**6))])
    with pytest.raises(ArchiveError, match=r"at most 100 times the [\d,]+ bytes of the archive, it holds 1,000,000"):
        extract(archive, tmp_path / "out")
    archive = make_zip(tmp_path / "clips.zip", [("a.mp4", b"12345"), ("b.mp4", b"67890")])
    with pytest.raises(ArchiveError, match="at most 9 bytes of content"):
        extract(archive, tmp_path / "out", max_bytes=9)
    extract(archive, tmp_path / "out", max_bytes=10)


@pytest.mark.parametrize("declared", [1000, 10**5])
def test_a_member_that_lies_about_its_size_is_refused(tmp_path, declared):
    """A bomb may say that it is small; and a cut file may say that it is whole."""
    archive = make_zip(tmp_path / "clips.zip", [("a.mp4", os.urandom(2 * 10**4))])
    content = bytearray(archive.read_bytes())
    entry = content.find(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = declared.to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"clips\.zip: expected a whole zip archive"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "middle"])
def test_a_damaged_archive_is_named(tmp_path, damage):
    archive = make_zip(tmp_path / "clips.zip", [("a.mp4", os.urandom(10**5))], zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    if damage == "middle":
        content[5000] ^= 1
    archive.write_bytes({"empty": b"", "cut": content[:-500], "text": b"not a zip", "middle": content}[damage])
    with pytest.raises(ArchiveError, match=r"clips\.zip: expected a whole zip archive, .*Download it again"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_damaged_compressed_data(tmp_path):
    archive = make_zip(tmp_path / "clips.zip", [("a.mp4", os.urandom(100).hex().encode() * 20)])
    content = bytearray(archive.read_bytes())
    content[50:60] = b"\xff" * 10
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="cut off or damaged"):
        extract(archive, tmp_path / "out")


def test_no_space_is_said_before_anything_is_written(archive, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10, 5, 5))
    with pytest.raises(OSError, match=r"Expected 6 free bytes in .* to unpack clips\.zip, found 5"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_record_names_the_archive(archive, tmp_path):
    extract(archive, tmp_path / "out")
    record = json.loads((tmp_path / "out" / archives.RECORD).read_text())
    assert record["archive"][0] == str(archive)
    assert record["members"] == {"Actor_01/a.mp4": 3, "b.mp4": 3}
