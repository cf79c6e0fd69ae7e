"""What all tests share: a store of their own, the mirror where there is one, and the claims, checked once."""

import os
from pathlib import Path

import pandas as pd
import pytest

# Before anything imports pyplot: no test opens a window.
os.environ["MPLBACKEND"] = "Agg"
# Before anything imports numpy or torch: workers beside each other have a thread each, not all of them all cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["books"]
# Modules that take longest, in order: others fill what they leave.
LONGEST = [
    *(
        "test_true_shapes",
        "test_real_model",
        "test_browser",
        "test_killed",
        "test_tuning",
        "test_cluster",
        "test_rerun",
    ),  # slow ones
    *("test_stories260k", "test_validation", "test_ceiling", "test_capability", "test_gram", "test_claims"),
]
ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    """Take an option of the tests in a browser."""
    parser.addoption("--screenshots", metavar="FOLDER", help="take pictures of the pages that a browser visits")


@pytest.fixture(autouse=True)
def own_store(request, tmp_path, monkeypatch):
    """Keep every test away from the caller's store, and from the mirror unless it asks for `mirror`."""
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "store"))
    if "mirror" not in request.fixturenames:
        monkeypatch.delenv("BRAINALIGN_MIRROR", raising=False)


@pytest.fixture(scope="module")
def module_store(tmp_path_factory):
    """A folder for `one_store`."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def one_store(own_store, module_store, monkeypatch):
    """One store for all tests of a module: what takes long is computed by the first that asks."""
    monkeypatch.setenv("BRAINALIGN_STORE", str(module_store))


@pytest.fixture
def mirror(monkeypatch):
    """Folder with the real files: the caller's mirror, or the one beside the checkout."""
    beside = ROOT.parent / "shared" / "mirror"
    folder = os.environ.get("BRAINALIGN_MIRROR") or (str(beside) if beside.is_dir() else None)
    if folder is None:
        pytest.skip("no mirror: set BRAINALIGN_MIRROR")
    monkeypatch.setenv("BRAINALIGN_MIRROR", folder)
    return Path(folder)


@pytest.fixture
def write(tmp_path):
    """Write settings of a study to a file, and load it."""
    from brainalign import study as studies

    def put(settings: str) -> studies.Study:
        path = tmp_path / "mine.yaml"
        path.write_text("title: Mine\nevidence: people\n" + settings, encoding="utf-8")
        return studies.load(str(path))

    return put


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def causal(request, tmp_path_factory):
    """Tiny causal networks with random weights, each in turn."""
    import tiny

    from brainalign import llm

    return llm.load(getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    """A tiny encoder-decoder with random weights."""
    import tiny

    from brainalign import llm

    return llm.load(tiny.t5(tmp_path_factory.mktemp("t5")))


@pytest.fixture
def book_style():
    """The book's style of figures for a test alone, and no figure left open."""
    from matplotlib import pyplot as plt

    from brainalign.paper import figures

    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


@pytest.fixture(scope="session")
def checked():
    """Every claim held against the printed tables, as the printed study does; takes seconds."""
    from brainalign.paper import claims

    return claims.check_all(pd.DataFrame())


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items):
    """Keep tests that share what takes long to make in one worker, and begin with what takes longest."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def _group(item) -> str:
    """What a test shares with others: a book that was built, claims that were checked, or what its module makes."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "book" in parameters:
        return f"book of {parameters['book']}"
    return "claims" if "checked" in item.fixturenames else item.path.stem


@pytest.fixture
def put(tmp_path):
    """Write a file of one's own."""

    def written(content, name="mine.csv"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return written
