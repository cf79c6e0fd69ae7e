"""Every command on the page "Re-run it" is run as it stands there, where its books are built already."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import slurm
from books import BIN, MIRROR, ROOT, STUDIES, Project, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror of the public data: set BRAINALIGN_MIRROR"),
]

PAGE = ROOT / "book" / "rerun.md"
TABLE = """\
stimulus_id,text,passage,position,story,left,right
s1,Once upon a time,p1,1,tale,0.1,0.4
s2,there was a girl.,p1,2,tale,0.3,-0.2
s3,She had a ball.,p1,3,tale,-0.5,0.2
"""
CLUSTER = "slurm"  # a command with it asks a scheduler, also where there is nothing left to do


def commands() -> list[str]:
    """Lines of the page's blocks of shell commands; a line that ends in a backslash goes on."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture(scope="module")
def shell(library, tmp_path_factory):
    """A shell in a copy of the checkout and its books, with an environment that counts as installed."""
    for study in STUDIES:
        library(study)
    project = Project.copy_built(tmp_path_factory.mktemp("rerun"))
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "bin").symlink_to(BIN)
    (project.root / ".venv" / "installed").touch()
    (project.root / "my-recording.csv").write_text(TABLE, encoding="utf-8")
    shutil.copytree(project.root / ".store" / "results", project.root / "results-of-the-cluster")
    own = {
        "PYTHONPATH": str(project.root),
        "BRAINALIGN_MIRROR": str(MIRROR),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }

    # With the loopback of a machine, which a namespace without a network lacks: a notebook's kernel is behind it.
    def run(command: str, surroundings: dict[str, str]) -> subprocess.CompletedProcess:
        words = [shutil.which("bash"), "-c", command.replace("/path/to/the/mirror", str(MIRROR))]
        together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(words, cwd=project.root, env=environment() | own | surroundings, **together)

    return run


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """What commands need around them for a SLURM that answers."""
    if why := slurm.missing():
        pytest.skip(f"no SLURM here: {why}")
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as surroundings:
        path = f"{BIN}{os.pathsep}{surroundings['PATH']}"
        yield surroundings | {"PATH": path}


def test_the_page_has_commands():
    assert len(commands()) > 10
    assert Path(sys.executable).parent == BIN


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_page_runs(command, shell, request):
    done = shell(command, request.getfixturevalue("scheduler") if CLUSTER in command else {})
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}"
