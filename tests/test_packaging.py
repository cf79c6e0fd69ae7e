"""One lock, for pip, conda and CI alike; and the rules that the whole repository keeps."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import house
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()

# name==version, a marker for what only some platforms need, and why it is there. Nothing else.
PIN = re.compile(r"[a-z0-9-]+==[0-9][a-z0-9.]*( ; [a-z_]+ [^#@/\\]+?)?( +# via [^/\\]+)?")
# What torch brings along for one kind of accelerator depends on the machine, and is left to pip.
ACCELERATOR = re.compile(r"(cuda|nvidia|triton)\b")


def pins() -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in LOCK.splitlines())
    return [Requirement(line) for line in lines if line]


def pinned_here() -> dict[str, Version]:
    """Return what the lock installs on this Python and platform."""
    here = [pin for pin in pins() if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): version_of(pin) for pin in here}


def version_of(pin: Requirement) -> Version:
    (specifier,) = pin.specifier
    return Version(specifier.version)


def direct() -> list[Requirement]:
    return [Requirement(r) for r in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["test"]]


def closure(requirements: list[Requirement]) -> list[Requirement]:
    """Return everything that `requirements` ask for here, they themselves included, as the installed say."""
    found, seen, todo = [], set(), list(requirements)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if ACCELERATOR.match(name):
            continue
        found.append(requirement)
        for extra in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, extra))
            further = map(Requirement, metadata.requires(name) or [])
            todo += [r for r in further if r.marker is None or r.marker.evaluate({"extra": extra})]
    return found


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def lint_imports(root: Path) -> subprocess.CompletedProcess:
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    return run("-c", command, "--no-cache", "--no-logo", cwd=root)


# --- the lock ---------------------------------------------------------------------------------------------


def test_lock_holds_nothing_but_pins():
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_lock_names_no_host_path_hash_or_option():
    comments = "\n".join(line.partition("#")[2] for line in LOCK.splitlines())
    assert re.findall(r"://|--\w+|sha\d+|\b[\w-]+\.(?:org|com|net|io)\b|(?:^|\s)[.~]*/\S+", comments) == []


def test_lock_leaves_accelerators_to_pip():
    assert [pin.name for pin in pins() if ACCELERATOR.match(pin.name)] == []


@pytest.mark.parametrize("requirement", direct(), ids=lambda requirement: requirement.name)
def test_direct_dependency_is_pinned_once(requirement):
    same = [pin for pin in pins() if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    assert len(same) == 1
    assert same[0].marker is None
    assert version_of(same[0]) in requirement.specifier


def test_torch_stays():
    # Another torch may round differently: moving it means looking at every number again.
    assert pinned_here()["torch"] == Version("2.13.0")


def test_lock_is_what_the_project_needs_and_no_more():
    needed, locked = closure(direct()), pinned_here()
    assert {canonicalize_name(requirement.name) for requirement in needed} == set(locked)
    conflicts = [
        str(requirement)
        for requirement in needed
        if not requirement.specifier.contains(locked[canonicalize_name(requirement.name)], prereleases=True)
    ]
    assert conflicts == []


def test_this_environment_is_the_locked_one():
    locked = pinned_here()
    names = [canonicalize_name(requirement.name) for requirement in direct()]
    # A local version, such as +cpu, says how a wheel was built, not what is in it.
    installed = {name: Version(Version(metadata.version(name)).public) for name in names}
    assert installed == {name: locked[name] for name in names}


# --- what must agree with it ------------------------------------------------------------------------------


def test_conda_installs_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert environment["name"] == PROJECT["project"]["name"]
    assert environment["channels"] == ["conda-forge"]
    assert pip == "pip"
    # conda hands these lines to pip as a requirements file beside environment.yml.
    assert from_pip == {"pip": ["-r requirements.lock", "-e ."]}
    name, _, version = python.partition("=")
    assert name == "python"
    assert version in SpecifierSet(PROJECT["project"]["requires-python"])


def test_ci_runs_the_python_of_the_environment():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    workflow = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    (setup,) = [step["with"] for step in steps if step.get("uses", "").startswith("actions/setup-python@")]
    assert f"python={setup['python-version']}" in environment["dependencies"]
    assert setup["cache-dependency-path"] == "requirements.lock"


def test_citation_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {key: citation[key] for key in ("version", "license")} == {
        key: PROJECT["project"][key] for key in ("version", "license")
    }


# --- the house --------------------------------------------------------------------------------------------


def test_modules_import_only_from_floors_below():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_the_guide_has_the_house_as_it_is():
    assert house.drawn() == house.diagram(), "draw it anew: python tests/house.py"


def test_an_import_from_a_floor_above_is_caught(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "brainalign", tmp_path / "brainalign")
    with (tmp_path / "brainalign/store/files.py").open("a") as store:
        store.write("\nimport brainalign.cli\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "brainalign.store is not allowed to import brainalign.cli" in result.stdout


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(command):
    result = run("-m", "ruff", *command, ".")
    assert result.returncode == 0, result.stdout
