"""The workflow is told what there is to do, and says how far it is: with a Snakemake that only prints."""

import json
import os
import signal
import subprocess
import sys

import pytest

from brainalign import store
from brainalign.cli import engine

SNAKEMAKE = """#!{python}
import json, sys
if "--dry-run" in sys.argv:
    print({due!r}, end="", file=sys.stderr if {dry} else sys.stdout)
    sys.exit({dry})
else:
    assert json.load(open(sys.argv[sys.argv.index("--configfile") + 1])) == {{"name": "mine"}}
    assert sys.argv[sys.argv.index("--cores") + 1] == "2"
    if {said!r}:
        print({said!r})
        print("a warning", file=sys.stderr)
    sys.exit({status})
"""
DUE = "running small, large\nexecuting claims.ipynb\nrendering the book\n"


def workflow(results=None):
    return engine.Workflow({"name": "mine"}, results or store.PROJECT / "kept" / "mine", 2)


def build(kinds=None):
    return workflow().run(kinds or {}, {})


@pytest.fixture
def snakemake(tmp_path, monkeypatch):
    """Put a Snakemake in place, in a project of its own, that says what is due, then what it did, and its status."""

    def make(due, said="", status=0, dry=0):
        script = tmp_path / "snakemake"
        script.write_text(SNAKEMAKE.format(python=sys.executable, due=due, said=said, status=status, dry=dry))
        script.chmod(0o755)

    monkeypatch.setattr(engine, "BINARIES", tmp_path)
    monkeypatch.setattr(store, "PROJECT", tmp_path)  # another test beside this one builds "mine" too
    return make


def test_where_nothing_is_due_nothing_is_run_or_said(snakemake, capfd):
    snakemake("", status=1)
    assert build() == 0
    assert capfd.readouterr() == ("", "")


def test_what_is_due_is_told_job_by_job_and_nothing_is_made(snakemake, capfd, tmp_path):
    due = workflow(tmp_path / "results").due
    snakemake(DUE, "never")
    assert due() == [("small", "large"), ("claims.ipynb",), ("the book",)]
    assert capfd.readouterr() == ("", "")
    snakemake("")
    assert due() == []
    snakemake("MissingInputException: no such notebook", dry=1)
    with pytest.raises(RuntimeError, match="no such notebook"):
        due()


def test_each_step_says_how_far_the_work_is(snakemake, capfd):
    snakemake(
        DUE,
        "Using profile local\na note\nran small (70.0 s)\n"
        "executed claims.ipynb (6.0 s)\nran other (1.0 s)\nran large (9.0 s)",
    )
    kinds = {"small": "model", "large": "model", "claims.ipynb": "notebook"}
    assert build(kinds) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "a note" in lines and "a warning" in lines and "Using profile local" not in lines
    # Large as small, then the book, as long as any: 140 s.
    assert "ran small (70.0 s)  1 of 4 steps, about 2 min left" in lines
    assert "executed claims.ipynb (6.0 s)  2 of 4 steps, less than a minute left" in lines
    assert "ran large (9.0 s)  3 of 4 steps, less than a minute left" in lines
    assert sum("2 of 4" in line for line in lines) == 2  # what was not due does not count


def test_that_a_job_begins_is_heard_and_not_said(snakemake, capfd):
    snakemake(DUE, "running small, large\nrunning out of memory")
    build()
    assert capfd.readouterr().out.splitlines() == ["running out of memory", "a warning"]


def test_what_steps_took_is_kept_for_the_next_build(snakemake, capfd):
    snakemake(DUE, "ran small (240.0 s)\nran large (360.0 s)")
    build()
    snakemake(DUE, "executed claims.ipynb (1.0 s)\nran small (300.0 s)")
    capfd.readouterr()
    build()
    # At today's pace, of one step in two: 300 s of small, 360 s of large, one after the other.
    assert "executed claims.ipynb (1.0 s)  1 of 4 steps, about 1" in capfd.readouterr().out
    kept = json.loads((store.PROJECT / "build" / ".mine.seconds.json").read_text())
    assert kept == {"small": 300.0, "large": 360.0, "claims.ipynb": 1.0}


def test_its_status_is_snakemakes(snakemake, capfd):
    snakemake(DUE, "boom", status=3)
    assert build() == 3
    assert "boom" in capfd.readouterr().out


def test_what_is_wrong_before_anything_runs_is_said(snakemake, capfd):
    snakemake("MissingInputException: no such notebook", said="never", dry=1)
    with pytest.raises(RuntimeError, match="no such notebook"):
        build()
    assert capfd.readouterr() == ("", "")


def test_a_snakemake_that_stops_without_a_word_says_where_to_look(snakemake, capfd):
    snakemake(DUE, status=1)
    assert build() == 1
    assert str(store.PROJECT / ".snakemake" / "log") in capfd.readouterr().out


def test_two_builds_of_a_study_at_once_are_one_too_many(snakemake, capfd):
    snakemake(DUE, "ran small (1.0 s)")
    with workflow().alone(), pytest.raises(RuntimeError, match="study mine is being built here already"):
        build()
    assert build() == 0


def test_a_lock_of_a_killed_build_is_nobodys(snakemake):
    snakemake(DUE, "ran small (1.0 s)")
    hold = "import os, pathlib, signal\nfrom brainalign import store\nfrom brainalign.cli import engine\n"
    hold += f"store.PROJECT = pathlib.Path({str(store.PROJECT)!r})\n"
    hold += "with engine.Workflow({'name': 'mine'}, store.PROJECT, 2).alone(): os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", hold]).returncode == -signal.SIGKILL
    assert build() == 0


def test_results_are_reached_by_a_plain_name(snakemake, tmp_path):
    snakemake("")
    link = tmp_path / "build" / "mine" / "results"
    for folder in (tmp_path / "kept; $(id)", tmp_path.parent / f"{tmp_path.name} elsewhere", tmp_path / "kept"):
        workflow(folder).run({}, {})
        (folder / "done").touch()
        assert (link / "done").exists() and link.resolve() == folder
        # Of two folders that are moved together, one goes on leading to the other.
        assert link.readlink().is_absolute() != folder.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("stale", "due"),
    [({"base", "tuned"}, [("base",), ("tuned",)]), ({"base"}, [("base",)]), ({"tuned"}, [("tuned",)]), (set(), [])],
)
def test_what_is_made_from_another_model_is_due_if_it_is_stale_itself(tmp_path, monkeypatch, stale, due):
    """The real Snakemake and Snakefile: it overlooks what is stale below an ancient input that is made anew."""
    monkeypatch.setattr(store, "PROJECT", tmp_path)
    (tmp_path / "workflow").symlink_to(engine.PLUGINS.parent)
    (tmp_path / "library.json").write_text("{}")
    for model in ("base", "tuned"):
        folder = tmp_path / "results" / model
        folder.mkdir(parents=True)
        for name, time in (("done.json", 1000), ("wanted.json", 2000 if model in stale else 1)):
            (folder / name).write_text(f"{model} {time}")
            os.utime(folder / name, (time, time))
    config = {"study": "mine", "name": "mine", "library": "library.json", "batches": [["base"], ["tuned"]]}
    config |= {"needs": [], "notebook": None, "bases": {"tuned": "base"}, "due": sorted(stale), "shown": {}}
    targets = [f"build/mine/results/{model}/done.json" for model in ("base", "tuned")]
    assert sorted(engine.Workflow(config, tmp_path / "results", 2, targets=targets).due()) == due


def test_batches_are_started_in_their_order(tmp_path, monkeypatch):
    """The real Snakemake and Snakefile, with a command that only says which models it was given."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "snakemake").symlink_to(engine.BINARIES / "snakemake")
    (binaries / "brainalign").write_text(
        '#!/bin/sh\nshift 2\necho "$1" >> started\ntouch "build/mine/results/$1/done.json"\n'
    )
    (binaries / "brainalign").chmod(0o755)
    monkeypatch.setattr(engine, "BINARIES", binaries)
    monkeypatch.setattr(store, "PROJECT", tmp_path)
    (tmp_path / "workflow").symlink_to(engine.PLUGINS.parent)
    (tmp_path / "library.json").write_text("{}")
    models = ["long", "middle", "short", "tuned", "last"]
    for model in models:
        (tmp_path / "results" / model).mkdir(parents=True)
        (tmp_path / "results" / model / "wanted.json").touch()
    config = {"study": "mine", "name": "mine", "library": "library.json", "batches": [[model] for model in models]}
    config |= {"needs": [], "notebook": None, "bases": {}, "due": models, "shown": {}}
    targets = [f"build/mine/results/{model}/done.json" for model in sorted(models)]
    assert engine.Workflow(config, tmp_path / "results", 1, targets=targets).run({}, {}) == 0
    assert (tmp_path / "started").read_text().split() == models
