"""Files of the store are whole or not there, and keys change with everything that goes into them."""

import hashlib
import multiprocessing
import os
import string
import subprocess
import sys
from pathlib import Path

import pytest

from brainalign import store
from brainalign.store import files


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        ([{"a": {"x": [1], "y": None}, "b": "é"}], [{"b": "é", "a": {"y": None, "x": [1]}}]),
        ([(1, 2)], [[1, 2]]),
    ],
)
def test_digest_does_not_depend_on_the_order_of_keys(one, other):
    assert store.digest(*one) == store.digest(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab"], ["a", "b"]),
        (["a", "b"], ["b", "a"]),
        (["a", "b"], [["a", "b"]]),
        ([1], ["1"]),
        ([1], [1.0]),
        ([0], [False]),
        ([None], []),
        ([{"a": 1}], [{"a": 2}]),
        ([{"a": 1}], [{"A": 1}]),
        ([{}], [[]]),
        ([0.1], [0.1 + 1e-16]),
    ],
)
def test_digest_changes_with_everything(one, other):
    assert store.digest(*one) != store.digest(*other)


def test_digest_is_the_same_in_every_process_and_release():
    expected = hashlib.sha256(b'["gpt2", {"bits": true, "seed": 0}]').hexdigest()
    assert store.digest("gpt2", {"seed": 0, "bits": True}) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_digest_refuses_what_has_no_json(value):
    with pytest.raises((TypeError, ValueError)):
        store.digest("a", value)


def test_root(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAINALIGN_STORE", "here")
    assert store.root() == tmp_path.resolve() / "here"
    assert not store.root().exists()
    for unset in (lambda name: monkeypatch.setenv(name, ""), monkeypatch.delenv):
        unset("BRAINALIGN_STORE")
        assert store.root() == store.PROJECT / ".store"


def test_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "a" / "b" / "results.parquet"
    with store.writing(str(path)) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        # Some writers go by the ending.
        assert (temporary.parent, temporary.suffix) == (path.parent, ".parquet")
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_earlier_file_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("earlier")
    with store.writing(path) as temporary:
        temporary.write_text("later")
        assert path.read_text() == "earlier"
    assert path.read_text() == "later"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("earlier", [None, "earlier"])
def test_nothing_is_left_of_a_block_that_fails(tmp_path, earlier, error):
    path = tmp_path / "results.csv"
    if earlier:
        path.write_text(earlier)
    with pytest.raises(error), store.writing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("results.csv", earlier)] * bool(earlier)


def test_nothing_is_left_where_the_name_is_taken_by_a_folder(tmp_path):
    (tmp_path / "results.csv" / "inside").mkdir(parents=True)
    with pytest.raises(OSError), store.writing(tmp_path / "results.csv") as temporary:
        temporary.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["results.csv"]


def a_file_in_its_place(folder):
    folder.write_text("a regular file")


def a_file_above_it(folder):
    folder.write_text("a regular file")
    return folder / "below"


def read_only(folder):
    if os.geteuid() == 0:
        pytest.skip("root may write to read-only folders")
    folder.mkdir(mode=0o555)


@pytest.mark.parametrize("spoil", [a_file_in_its_place, a_file_above_it, read_only])
def test_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path, spoil):
    folder = tmp_path / "store"
    folder = spoil(folder) or folder
    with (
        pytest.raises(OSError, match=r"cannot write a\.csv in .*BRAINALIGN_STORE") as error,
        store.writing(folder / "a.csv"),
    ):
        pytest.fail("the block must not run")
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_file_has_the_mode_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        with store.writing(tmp_path / "a.csv") as temporary:
            temporary.write_text("a")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o666 & ~umask


def write_often(path, letter):
    for _ in range(20):
        with store.writing(path) as temporary, temporary.open("w") as file:
            for _ in range(100):
                file.write(letter * 1000)


def test_many_processes_may_write_one_file(tmp_path):
    path = tmp_path / "shared.txt"
    fork = multiprocessing.get_context("fork")
    jobs = [fork.Process(target=write_often, args=(path, letter)) for letter in string.ascii_lowercase[:6]]
    for job in jobs:
        job.start()
    seen = set()
    while any(job.is_alive() for job in jobs):
        if path.exists():
            text = path.read_text()
            assert len(text) == 100_000
            seen.add(frozenset(text))
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 6
    # Always one writer's text, never two halves.
    assert {len(letters) for letters in seen} == {1}
    assert list(tmp_path.iterdir()) == [path]


# Checksums of files


CONTENT = b"0123456789abcdef" * (1 << 17)  # two megabytes


@pytest.fixture
def settled(tmp_path):
    """Write a file that has been there for a while."""

    def write(content: bytes, name: str = "weights") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))
        return path

    return write


@pytest.fixture
def read(monkeypatch):
    """Names of files in the order in which their content is read; the time of inodes is long past, too."""
    names, plain = [], files._read
    monkeypatch.setattr(files, "_read", lambda path: names.append(path.name) or plain(path))
    monkeypatch.setattr(files, "SETTLED", -3600)
    return names


def anew():
    """Forget what this process has noted, as another process would not know it."""
    files._noted.cache_clear()


def test_a_checksum_is_that_of_the_content(settled):
    for content in (b"", b"few", CONTENT):
        path = settled(content)
        assert store.checksum(path) == store.checksum(path) == hashlib.sha256(content).hexdigest()


def test_a_large_file_is_read_once_whatever_process_asks(settled, read, tmp_path):
    path = settled(CONTENT)
    (tmp_path / "link").symlink_to(path)
    sums = set()
    for name in ("weights", "weights", "link"):
        anew()
        sums.add(store.checksum(tmp_path / name))
    assert len(sums) == 1 and read == ["weights"]
    anew()
    small = settled(b"few", "config")
    assert store.checksum(small) == hashlib.sha256(b"few").hexdigest()
    assert len(list((store.root() / files.CHECKSUMS).iterdir())) == 1  # a note of the large one alone


def test_two_processes_read_a_file_once(settled):
    path = settled(CONTENT)
    code = (
        "import sys; from pathlib import Path; from brainalign import store; from brainalign.store import files\n"
        "files.SETTLED = -3600\n"
        "if len(sys.argv) > 2: files._read = None\n"
        "print(store.checksum(Path(sys.argv[1])))"
    )
    run = [sys.executable, "-c", code, str(path)]
    printed = [subprocess.run([*run, *more], capture_output=True, text=True).stdout for more in ([], ["again"])]
    assert printed == [hashlib.sha256(CONTENT).hexdigest() + "\n"] * 2


@pytest.mark.parametrize("how", ["in place", "by another", "times kept"])
def test_a_file_that_was_exchanged_is_read_again(settled, read, how):
    path, other = settled(CONTENT), CONTENT[::-1]
    before = store.checksum(path)
    if how == "in place":
        path.write_bytes(other)
    elif how == "by another":
        settled(other, "new").replace(path)
    else:
        settled(other)
    anew()
    assert store.checksum(path) == hashlib.sha256(other).hexdigest() != before
    assert len(read) == 2


def test_a_file_that_was_just_written_may_change_within_a_tick_of_the_clock(settled, monkeypatch):
    path, other = settled(CONTENT), CONTENT[::-1]
    state = files._state(path)
    monkeypatch.setattr(files, "_state", lambda _: state)
    sums = []
    for content in (CONTENT, other):
        path.write_bytes(content)
        sums.append(store.checksum(path))
    assert sums == [hashlib.sha256(content).hexdigest() for content in (CONTENT, other)]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"state": 1}', '{"sha256": "0"}'])
def test_a_note_that_is_none_counts_for_nothing(settled, read, note):
    path = settled(CONTENT)
    before = store.checksum(path)
    (kept,) = (store.root() / files.CHECKSUMS).iterdir()
    kept.write_text(note)
    anew()
    assert store.checksum(path) == before
    assert len(read) == 2
    anew()
    assert store.checksum(path) == before and len(read) == 2


def test_a_store_that_cannot_be_written_is_no_hindrance(settled, read, monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINALIGN_STORE", str(settled(b"no folder", "file")))
    assert store.checksum(settled(CONTENT)) == hashlib.sha256(CONTENT).hexdigest()
