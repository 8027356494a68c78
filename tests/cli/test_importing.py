"""``tidegate import litellm``: the file on standard output, and on standard error what it lacks."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from tidegate.cli import cli


def test_the_file_is_printed_and_what_it_lacks(tmp_path: Path) -> None:
    source = tmp_path / "config.yaml"
    source.write_text("model_list:\n- model_name: a\n  litellm_params: {model: openai/b, seed: 7}\n")
    result = CliRunner().invoke(cli, ["import", "litellm", str(source)])
    assert result.exit_code == 0
    assert 'aliases = { a = "b" }' in result.stdout
    assert result.stderr == "not carried over: model_list[0] (a): litellm_params.seed has no counterpart\n"


def test_what_is_no_file_of_litellms_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "config.yaml"
    for text, told in (("{", "is not YAML"), ("a: 1", "model_list"), ("x" * (4 * 1024 * 1024 + 1), "larger than")):
        source.write_text(text)
        result = CliRunner().invoke(cli, ["import", "litellm", str(source)])
        assert result.exit_code == 2
        assert told in result.stderr
    missing = CliRunner().invoke(cli, ["import", "litellm", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 1
    assert "No such file" in missing.stderr
