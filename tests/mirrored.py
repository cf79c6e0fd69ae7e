"""Files made up for tests, in a mirror, as those that the catalog names of a data set."""

import hashlib

from brainalign import catalog


def publish(tmp_path, monkeypatch, name, contents, **about):
    """Put contents by path into a mirror, and make the catalog name them and nothing else; the mirror's folder."""
    files, mirror = {}, tmp_path / "mirror" / "example.org"
    for path, content in contents.items():
        content = content.encode() if isinstance(content, str) else content
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror / path).write_bytes(content)
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        files[path] = catalog.DataFile(path, f"https://example.org/{path}", digest, None)
    texts = {"title": "", "kind": "", "address": "", "licence": "", "citation": ""}
    data = catalog.Dataset(name, **texts | about, files=files)
    monkeypatch.setattr(catalog, "dataset", lambda _: data)
    monkeypatch.setenv("BRAINALIGN_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "store"))
    return mirror
