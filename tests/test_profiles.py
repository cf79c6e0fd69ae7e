"""Profiles: found by name or path, and what is wrong with a cluster is said before anything is handed in."""

from contextlib import nullcontext

import pytest

from brainalign import cli
from brainalign.cli import profiles

SINFO = """#!/bin/sh
echo gpu
echo long
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Put an sbatch and a sinfo on the path, and nothing else."""

    def make(sinfo: str) -> None:
        for name, text in {"sbatch": "#!/bin/sh\n", "sinfo": sinfo}.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    return make


def test_the_projects_profiles_are_found_by_name():
    assert profiles.names() == ["local", "slurm"]
    assert not profiles.load("local").remote
    assert profiles.load("slurm").slurm and profiles.load("slurm").remote


def test_a_profile_of_ones_own_is_found_by_its_path(tmp_path):
    (tmp_path / "config.yaml").write_text("executor: cluster-generic\ndefault-resources: {mem_mb: 5}\n")
    found = profiles.load(str(tmp_path))
    assert found.remote and not found.slurm and found.resources() == {"mem_mb": 5}


@pytest.mark.parametrize("settings", ["- executor", "", "default-resources: [mem_mb=5]"])
def test_a_profile_that_is_none_is_named(tmp_path, settings):
    (tmp_path / "config.yaml").write_text(settings)
    with pytest.raises(ValueError, match=r"config\.yaml: write options of Snakemake"):
        profiles.load(str(tmp_path))


def test_a_profile_that_does_not_exist_suggests_one(capsys):
    assert cli.main(["book", "printed", "--profile", "slrm"]) == 1
    assert "unknown profile 'slrm'. Did you mean slurm?" in capsys.readouterr().err


def test_what_is_given_wins_over_the_environment_and_the_profile(monkeypatch):
    profile = profiles.Profile(profiles.FOLDER, {"default-resources": {"slurm_partition": "a", "runtime": 5}})
    monkeypatch.delenv("SBATCH_ACCOUNT", raising=False)
    monkeypatch.delenv("SBATCH_PARTITION", raising=False)
    assert profile.resources() == {"slurm_partition": "a", "runtime": 5}
    monkeypatch.setenv("SBATCH_PARTITION", "b")
    assert profile.resources()["slurm_partition"] == "b"
    assert profile.resources("c", "lab") == {"slurm_partition": "c", "slurm_account": "lab", "runtime": 5}


def test_a_machine_without_slurm_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["run", "printed", "--profile", "slurm"]) == 1
    assert "no sbatch on the PATH" in capsys.readouterr().err


def test_a_partition_that_does_not_exist_suggests_one(cluster):
    cluster(SINFO)
    profiles.check({"slurm_partition": "gpu,long"})
    profiles.check({})
    with pytest.raises(LookupError, match=r"unknown partition of SLURM 'gpus'\. Did you mean gpu"):
        profiles.check({"slurm_partition": "gpus"})


@pytest.mark.parametrize(
    ("checkout", "python", "lacking"),
    [
        ("/a place; 'here'", "/bin/python", None),
        ("/a/$(id)", "/bin/python", r"path of the checkout as it is, /a/\$\(id\)\. Move it"),
        ('/a/"b', "/bin/python", "the checkout"),
        ("/a", "/a place/bin/python", "path of Python as it is, /a place/bin/python"),
    ],
)
def test_a_place_that_a_shell_would_read_is_named(checkout, python, lacking, monkeypatch):
    monkeypatch.setattr(profiles.store, "PROJECT", checkout)
    monkeypatch.setattr(profiles.sys, "executable", python)
    with pytest.raises(ValueError, match=lacking) if lacking else nullcontext():
        profiles.check_place()


def test_what_slurm_complains_of_is_passed_on(cluster):
    cluster("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    with pytest.raises(OSError, match="SLURM does not answer: Unable to contact slurm controller"):
        profiles.check({})
