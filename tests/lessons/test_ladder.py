"""The frame of the lessons: verdicts, exit status, seeds, data."""

import json

import ladder
import numpy as np
import pytest
from data import LOADERS, batches, load, moons, spirals
from ladder import Claim, clearly_above_zero, diagram, each_seed, lesson, mean_sd
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier


def a_lesson(holds, should_hold=True, **options):
    """The command of a lesson with one claim."""

    def run(quick=False, seed=0, seeds=10, **others):
        return {"quick": quick, "seed": seed, "seeds": seeds, "array": np.arange(3), **others}

    def claims(numbers):
        return [Claim("It is so.", "[X]", "1", "2", holds, should_hold)]

    return lesson(run, claims, lambda numbers: diagram()[0], **options)


def test_only_a_claim_that_should_hold_and_does_not_ends_with_status_1(tmp_path, capsys):
    for no in (False, np.False_):
        with pytest.raises(SystemExit) as error:
            a_lesson(no)(["--out", str(tmp_path)])
        assert error.value.code == 1
    assert "It is so." in capsys.readouterr().out
    assert (tmp_path / "result.json").exists()  # what failed can be looked at
    for holds, should_hold, words in (
        (True, True, "yes"),
        (None, True, "–"),
        (None, False, "–"),
        (False, False, "no (as known)"),
        (True, False, "yes (after all)"),
    ):
        a_lesson(holds, should_hold)(["--out", str(tmp_path)])
        assert words in " ".join(capsys.readouterr().out.split()).replace("│ ", "")


def test_options_reach_the_experiment_and_the_result(tmp_path):
    main = a_lesson(True, depth={"type": int, "default": 2})
    outcome = main(["--quick", "--seed", "5", "--depth", "7", "--out", str(tmp_path)])
    expected = {"quick": True, "seed": 5, "seeds": 2, "depth": 7}
    assert expected.items() <= outcome.numbers.items()
    saved = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert saved["settings"] == expected
    assert saved["numbers"]["array"] == [0, 1, 2]
    assert a_lesson(True)(["--out", str(tmp_path)]).numbers["seeds"] == ladder.ENOUGH_SEEDS


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--seed", "-1"], ["--seeds", "x"], ["--no"]])
def test_wrong_options_are_refused_before_anything_runs(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        a_lesson(True)([*words, "--out", str(tmp_path / "out")])
    assert error.value.code == 2
    assert words[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("resumes", [False, True])
def test_ctrl_c_is_one_line(resumes, tmp_path, capsys):
    def stopped(quick=False, seed=0, seeds=10):
        raise KeyboardInterrupt

    def stopped_and_saved(out, quick=False, seed=0, seeds=10):
        raise KeyboardInterrupt

    run = stopped_and_saved if resumes else stopped
    with pytest.raises(SystemExit) as error:
        lesson(run, None, None)(["--out", str(tmp_path)])
    assert error.value.code == 130
    words = "Stopped. The same command goes on.\n" if resumes else "Stopped.\n"
    assert capsys.readouterr().err == words


def test_an_output_folder_that_cannot_be_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        a_lesson(True)(["--out", str(tmp_path / "file" / "out")])
    assert "cannot make this folder" in capsys.readouterr().err


def test_differences_are_clear_when_students_t_says_so():
    rng = np.random.default_rng(0)
    verdicts = set()
    for _ in range(200):
        differences = rng.normal(0.8, 1, 10)
        p = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
        clear = clearly_above_zero(differences)
        assert clear == (p < stats.t.sf(3, 9))
        verdicts.add(clear)
    assert verdicts == {True, False}
    assert stats.t.sf(3, 9) == pytest.approx(0.0075, abs=5e-5)  # as its docstring says
    assert clearly_above_zero([5.0] * 9) is None
    assert clearly_above_zero([5.0] * 10) is True
    assert clearly_above_zero([0.0] * 10) is False


def test_mean_and_deviation():
    assert mean_sd([1, 2, 3]) == "2.000 ± 1.000"
    assert mean_sd([1.25], 1) == "1.2"


def square(seed, factor):
    return factor * seed**2


def test_seeds_come_in_order_however_they_are_run():
    assert each_seed(square, 3, 2, 10) == [90, 160]
    assert each_seed(square, 0, 5, 2) == [0, 2, 8, 18, 32]  # in processes


@pytest.mark.parametrize("name", LOADERS)
def test_splits_are_disjoint_and_standardised_by_the_training_part(name):
    data = load(name, seed=3, dtype=np.float64)
    x, y = LOADERS[name](return_X_y=True)
    raw = x[:, x.std(axis=0) > 0]
    parts = data.x, data.x_validation, data.x_test
    assert [round(10 * len(part) / len(x)) for part in parts] == [6, 2, 2]
    rows = np.concatenate(parts)
    assert len(np.unique(rows, axis=0)) == len(np.unique(raw, axis=0))  # all are there
    np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=1e-12)
    spread = data.x.std() if name == "digits" else data.x.std(axis=0)
    assert np.all(np.abs(spread - 1) < 0.5 if name == "digits" else np.abs(spread - 1) < 1e-12)
    assert sorted(np.concatenate([data.y, data.y_validation, data.y_test])) == sorted(y)
    again, other = load(name, seed=3, dtype=np.float64), load(name, seed=4, dtype=np.float64)
    np.testing.assert_array_equal(data.x_test, again.x_test)
    assert not np.array_equal(data.x_test, other.x_test)


def test_fewer_training_examples_leave_the_other_parts_as_they_are():
    whole, few = load("digits", seed=0), load("digits", seed=0, train=200)
    assert len(few.x) == 200
    assert few.x.dtype == np.float32
    np.testing.assert_array_equal(np.bincount(few.y) >= 18, True)
    np.testing.assert_array_equal(few.y_test, whole.y_test)


@pytest.mark.parametrize("toy", [moons, spirals])
def test_toys_can_be_learned_and_not_by_a_line(toy):
    x, y = toy(600, 0.05, seed=0)
    assert x.dtype == np.float32
    assert x.shape == (600, 2)
    assert KNeighborsClassifier(5).fit(x[:300], y[:300]).score(x[300:], y[300:]) > 0.95
    line, *_ = np.linalg.lstsq(np.c_[x, np.ones(600)], 2.0 * y - 1, rcond=None)
    assert np.mean((np.c_[x, np.ones(600)] @ line > 0) == y) < 0.92


def test_batches_are_an_epoch():
    parts = list(batches(103, 10, np.random.default_rng(0)))
    assert sorted(np.concatenate(parts)) == list(range(103))
    assert {len(part) for part in parts} == {10, 11}
