"""`brainalign store`: what is there, how large it is, and what goes."""

import multiprocessing
import os
import re
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from brainalign import store
from brainalign.cli import main
from brainalign.store import entries

DAY = 86400
GPT2, LLAMA = {"model": "gpt2", "data": "pereira2018"}, {"model": "meta-llama/Llama-2-7b-hf", "data": "pereira2018"}


def keep(kind, identity, n_bytes=200_000, days=0.0):
    """Keep an entry that was last used some days ago; its path."""
    store.get(kind, identity, lambda: ({"a": np.zeros(n_bytes, dtype="u1")}, {}))
    return aged(store.path_of(kind, identity), days)


def leave_unfinished(kind, identity, days=0.0):
    """Keep two steps of an entry, of which the third fails; the folder."""

    def work(step):
        if step == 2:
            raise InterruptedError
        return {"a": np.zeros(1000)}

    with pytest.raises(InterruptedError):
        store.resumed(kind, identity, 3, work, every=0)
    folder = entries.parts_of(store.path_of(kind, identity))
    for part in folder.iterdir():
        aged(part, days)
    return folder


def put(name, n_bytes=150_000, days=0.0):
    """Put a file into the store."""
    path = store.root() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(n_bytes))
    return aged(path, days)


def aged(path, days):
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def damage(path):
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    stat = path.stat()
    path.write_bytes(whole)
    os.utime(path, (stat.st_atime, stat.st_mtime))


def command(capsys, *arguments, status=0):
    """Lines that `brainalign store` prints; on standard error if it fails."""
    assert main(["store", *map(str, arguments)]) == status
    printed = capsys.readouterr()
    return (printed.err if status else printed.out).splitlines()


def removed(lines):
    """What went, by its path in the store, and why."""
    rows = [re.fullmatch(r"(?:would remove|removed)  (\S+)  [\d.,]+ [kM]B  (.+)", line) for line in lines[:-1]]
    return {store.root() / row[1]: row[2] for row in rows}


@pytest.mark.parametrize("name", ["list", "size", "prune"])
def test_an_empty_store_is_said_to_be(capsys, name):
    assert command(capsys, name) == [f"the store is empty: {store.root()}"]
    put("activations/.a.safetensors.lock", 0)
    assert command(capsys, name) == [f"the store is empty: {store.root()}"]


def test_list_has_a_row_an_entry(capsys):
    keep("activations", LLAMA, 3_000_000, days=2.5)
    keep("activations", GPT2 | {"context": None, "layers": [1, 2], "pooled": True, "text": "x" * 50}, days=0.2)
    keep("ceilings", {"revision": 1, "metric": "ridge"}, 20, days=40)
    leave_unfinished("activations", {"model": "t5"})
    put("results/sample/a.parquet", 1_000_000), put("results/sample/b.parquet", 1_100_000, days=9)
    put("downloads/osf.io/a.csv")
    text = "x" * 37 + "..."
    expected = [
        r"activations  {}  0\.2 MB  4 h  data pereira2018, model gpt2, pooled True, text " + re.escape(text),
        r"activations  {}  3\.0 MB  2 days  data pereira2018, model meta-llama/Llama-2-7b-hf",
        r"activations  {}  16\.\d kB  \d+ s  unfinished: model t5",
        r"ceilings  {}  0\.3 kB  40 days  metric ridge, revision 1",
        r"downloads  1 file  0\.1 MB  \d+ s",
        r"results  2 files  2\.1 MB  \d+ s",
    ]
    lines = [re.sub(r" {2,}", "  ", line) for line in command(capsys, "list")]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern.format("[0-9a-f]{12}"), line), line
    assert store.digest(LLAMA)[:12] in lines[1]


def test_list_names_what_is_damaged(capsys):
    keep("activations", GPT2).write_bytes(b"half")
    (line,) = command(capsys, "list")
    assert line.endswith("damaged: it is made again when it is needed")


def test_size_adds_up(capsys):
    keep("activations", LLAMA, 3_000_000), keep("activations", GPT2, 1_000_000), keep("ceilings", {}, 2_000_000)
    leave_unfinished("activations", {"model": "t5"})
    put("downloads/osf.io/a.csv", 4_000_000), put("results/sample/a.parquet", 500_000)
    put(f"activations/.{'a' * 64}.safetensors.abcd_123.safetensors", 7_000_000)
    *rows, total = command(capsys, "size")
    assert [re.split(r" {2,}", row) for row in rows] == [
        ["activations", "11.0 MB", "2 entries"],
        ["ceilings", "2.0 MB", "1 entry"],
        ["downloads", "4.0 MB", "1 file"],
        ["results", "0.5 MB", "1 file"],
    ]
    assert re.fullmatch(rf"total +17\.5 MB  in {store.root()}, where [\d,.]+ MB are free", total)


def test_prune_removes_what_was_not_used_for_long(capsys):
    old, recent = keep("activations", GPT2, days=31), keep("activations", LLAMA, days=29)
    lines = command(capsys, "prune")
    assert removed(lines) == {old: "not used for 30 days"}
    assert lines[-1] == "removed 1 file, 0.2 MB"
    # Its lock goes with it.
    assert {path.name for path in recent.parent.iterdir()} == {recent.name, entries.lock_of(recent).name}
    assert command(capsys, "prune") == ["nothing to remove"]
    assert removed(command(capsys, "prune", "--older-than", 28.5)) == {recent: "not used for 28.5 days"}
    assert list(recent.parent.iterdir()) == []


def test_prune_leaves_what_was_read_since(capsys):
    keep("activations", GPT2, days=31)
    store.get("activations", GPT2, compute=None)
    assert command(capsys, "prune") == ["nothing to remove"]


def test_looking_is_not_using(capsys):
    path = keep("activations", GPT2, days=29)
    command(capsys, "list"), command(capsys, "size"), command(capsys, "prune"), command(capsys, "prune", "--dry-run")
    assert time.time() - path.stat().st_mtime > 28 * DAY


def test_prune_removes_damaged_entries(capsys):
    bad, good = keep("activations", GPT2), keep("activations", LLAMA)
    damage(bad)
    assert removed(command(capsys, "prune")) == {bad: "damaged"}
    assert not bad.exists()
    assert good.exists()


def test_prune_keeps_what_a_damaged_entry_is_made_again_from(capsys):
    path = keep("activations", GPT2)
    damage(path)
    parts = leave_unfinished("activations", GPT2)
    assert removed(command(capsys, "prune")) == {path: "damaged"}
    assert parts.exists()


def test_prune_keeps_unfinished_work_until_it_is_old(capsys):
    recent, old = leave_unfinished("activations", GPT2), leave_unfinished("activations", LLAMA, days=31)
    lines = command(capsys, "prune")
    assert removed(lines) == {old: "unfinished, and not used for 30 days"}
    assert lines[-1] == "removed 2 files, 16.6 kB"
    assert not old.exists()
    keep("activations", GPT2)
    assert not recent.exists()
    # A process that was killed after the last of its work leaves them beside the whole entry.
    recent = leave_unfinished("activations", GPT2)
    assert removed(command(capsys, "prune")) == {recent: "the entry is whole"}


def test_prune_removes_temporaries_of_killed_processes(capsys):
    key, hours = "a" * 64, 1 / 24
    gone = [
        put(f"activations/.{key}.safetensors.abcd_123.safetensors", days=2 * hours),
        put("ceilings/.tmpQpQ4v1", days=2 * hours),
        put("results/sample/.a.parquet.x1y2z3__.parquet", days=2 * hours),
        put(f"activations/{key}.parts/.00003.safetensors.abcd_123.safetensors", days=2 * hours),
    ]
    stay = [
        put(f"activations/.{key}.safetensors.abcd_124.safetensors", days=0.5 * hours),
        put("downloads/osf.io/.a.csv.abcd_123.csv", days=2 * hours),
        put("results/sample/.gitignore", days=50),
        put("results/sample/a.parquet", days=50),
        put("activations/README.md", days=50),
    ]
    assert removed(command(capsys, "prune")) == dict.fromkeys(gone, "left by a killed process")
    assert [path.exists() for path in gone + stay] == [False] * 4 + [True] * 5


def dies_before_the_name():
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    keep("activations", GPT2)


def dies_in_the_writer():
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    keep("activations", GPT2)


@pytest.mark.parametrize(("dies", "n_left"), [(dies_before_the_name, 1), (dies_in_the_writer, 2)])
def test_prune_finds_what_killed_processes_really_leave(capsys, dies, n_left):
    job = multiprocessing.get_context("fork").Process(target=dies)
    job.start()
    job.join(60)
    assert job.exitcode in (-signal.SIGKILL, -signal.SIGXFSZ)
    left = [path for path in (store.root() / "activations").iterdir() if path.suffix != ".lock"]
    assert len(left) == n_left
    assert command(capsys, "prune") == ["nothing to remove"]
    for path in left:
        aged(path, 0.1)
    assert removed(command(capsys, "prune")) == dict.fromkeys(left, "left by a killed process")


def test_dry_run_says_the_same_and_leaves_it(capsys):
    keep("activations", GPT2, days=31), damage(keep("activations", LLAMA)), leave_unfinished("ceilings", {}, days=31)
    put("ceilings/.tmpQpQ4v1", days=1)
    before = sorted(store.root().rglob("*"))
    would = command(capsys, "prune", "--dry-run")
    assert sorted(store.root().rglob("*")) == before
    did = command(capsys, "prune")
    assert [line.replace("would remove", "removed") for line in would] == did
    assert len(removed(did)) == 4
    assert [path for path in store.root().rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_downloads_and_results_go_only_by_name(capsys):
    entry = keep("activations", GPT2, days=50)
    download, recent = put("downloads/osf.io/a.csv", days=50), put("downloads/osf.io/b.csv", days=2)
    result = put("results/sample/a.parquet", days=50)
    assert removed(command(capsys, "prune", "--kind", "downloads")) == {download: "not used for 30 days"}
    assert removed(command(capsys, "prune", "--kind", "results")) == {result: "not used for 30 days"}
    assert entry.exists()
    assert removed(command(capsys, "prune", "--older-than", 0)) == {entry: "not used for 0 days"}
    assert recent.exists()


def test_kind_limits_it(capsys):
    other, entry = keep("ceilings", {}, days=50), keep("activations", GPT2, days=50)
    assert set(removed(command(capsys, "prune", "--kind", "activations"))) == {entry}
    assert other.exists()
    (line,) = command(capsys, "prune", "--kind", "ceilngs", status=1)
    assert line == "brainalign: unknown kind of the store 'ceilngs'. Did you mean ceilings?"


@pytest.mark.parametrize("days", ["-1", "nan"])
def test_days_are_checked(capsys, days):
    path = keep("activations", GPT2, days=50)
    (line,) = command(capsys, "prune", f"--older-than={days}", status=1)
    assert line == f"brainalign: --older-than {days}: give a number of days, 0 or more"
    assert path.exists()


def test_what_a_process_works_on_is_left_alone(capsys):
    busy, idle = keep("activations", GPT2, days=50), keep("activations", LLAMA, days=50)
    with entries.locked(busy):
        lines = command(capsys, "prune")
    assert f"left alone  {busy.relative_to(store.root())}  a process works on it" in lines
    assert lines[-1] == "removed 1 file, 0.2 MB"
    assert busy.exists()
    assert not idle.exists()
