"""The commands of ``docs/plugins.md``, as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def guide(repository: Path) -> str:
    return (repository / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_guide_runs(guide: str, repository: Path, tmp_path: Path) -> None:
    commands = [text for language, text in BLOCK.findall(guide) if language == "bash"]
    assert sum("plugins new" in text for text in commands) == 3
    # pip installs to a place of its own, from the files that are here.
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{repository}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AUTOML_TRANSFER_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_TARGET": str(tmp_path / "site"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of `build_isolation`
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(text: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    # Only `pip install` has a target.
    said = [run(text.replace("pip wheel", "env -u PIP_TARGET pip wheel")) for text in commands]
    backbone, published, head, modality = said
    assert "21 of 21 checks held" in backbone and re.search(r"acme/net +[a-z]+ +frozen", backbone)
    assert "package:automl_transfer_acme/weights.safetensors" in backbone
    assert "22 passed" in published
    assert "11 of 11 checks held" in head and re.search(r"extra/layer +frozen", head)
    assert "18 of 18 checks held" in modality and "Use audio/net with" in modality
    assert re.search(r"0\.wav +(high|low|middle)", modality)
    # Uninstalled, its study keeps all its trials.
    studies = sorted(path.name for path in (tmp_path / "studies").glob("images-*"))

    def rankings() -> list[object]:
        shown = [json.loads(run(f"automl-transfer show {name} --json")) for name in studies]
        return [one["recommendation"]["ranking"] for one in shown]

    before = rankings()
    for path in (tmp_path / "site").glob("automl_transfer_acme*"):
        shutil.rmtree(path)
    assert len(before) == 2 and rankings() == before
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [
        "automl_transfer_acme-0.1.0-py3-none-any.whl"
    ]


def test_the_python_of_the_guide_is_python(guide: str) -> None:
    found = [text for language, text in BLOCK.findall(guide) if language == "python"]
    assert found
    for text in found:
        names: dict[str, object] = {}
        exec(compile(text, "docs/plugins.md", "exec"), names)
        assert "TestNet" in names
