"""examples/README.md: made from results that fit the lessons as they are."""

import json

import gallery
import pytest
from conftest import EXAMPLES

RESULTS = EXAMPLES / "results"


def test_the_page_is_what_the_results_say():
    assert (EXAMPLES / "README.md").read_text(encoding="utf-8") == gallery.page(RESULTS)


@pytest.mark.parametrize("name", gallery.LESSONS)
def test_the_result_is_of_a_full_run_of_the_lesson_as_it_is(name, run_lesson):
    result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert result["settings"]["quick"] is False
    assert result["settings"]["seeds"] >= 10
    now = run_lesson(name).outcome.claims
    for then, claim in zip(result["claims"], now, strict=True):
        assert (then["text"], then["source"]) == (claim.text, claim.source)
        assert then["holds"] is not None  # a full run judges everything
        assert then["holds"] or not then["should_hold"]


def test_one_lesson_can_be_run_and_the_others_stay(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    gallery.main(["--quick", "--only", "lesson01_neuron", "--out", str(tmp_path / "page")])
    gallery.main(["--quick", "--only", "lesson02_backprop", "--out", str(tmp_path / "page")])
    page = (tmp_path / "page" / "README.md").read_text(encoding="utf-8")
    assert page.index("(lesson01_neuron.py)") < page.index("(lesson02_backprop.py)")
    assert (tmp_path / "page" / "results" / "lesson01_neuron.svg").exists()
    assert "∂c/∂a = 4" in capfd.readouterr().out


def test_an_unknown_lesson_is_refused(capsys):
    with pytest.raises(SystemExit):
        gallery.main(["--only", "lesson99_magic"])
    assert "no lesson lesson99_magic" in capsys.readouterr().err
