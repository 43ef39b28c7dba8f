"""The benchmark harness measures fairly and hides nobody."""

import math
import time

import numpy as np
import pytest

from tests.benchmarks import __main__ as runner
from tests.benchmarks import harness
from tests.benchmarks.__main__ import topics
from tests.benchmarks.harness import OURS, Row, compare, optional
from tests.benchmarks.report import TITLES, console_table, summary, write_rst


@pytest.fixture(autouse=True)
def quick():
    harness.set_quick(True)
    yield
    harness.set_quick(False)


def missing():
    import no_such_package  # noqa: F401


def slow(x):
    time.sleep(0.02)
    return x


def rows(**options):
    x = np.arange(1.0, 5.0)
    peers = {
        "twice as slow": lambda: slow(slow(x)),
        "wrong": lambda: x + 1,
        "fails": lambda: 1 / 0,
        "missing": optional(missing),
    }
    return {r.name: r for r in compare("case", lambda: slow(x), peers, reference=x, **options)}


def test_ratio_and_gate_come_from_the_fastest_peer_with_a_right_result():
    found = rows(gate=1.2)
    assert found["twice as slow"].ratio > 1.2  # 2, and sleeping takes longer on a busy machine
    assert found[OURS].gate_peer == "twice as slow"
    assert found[OURS].met


def test_wrong_failing_and_missing_peers_are_rows_that_say_so():
    found = rows()
    assert "wrong result" in found["wrong"].note
    assert "ZeroDivisionError" in found["fails"].note
    assert found["missing"].note == "not installed: no_such_package"
    assert math.isnan(found["fails"].seconds_min)


def test_errors_are_relative_to_the_reference():
    found = rows()
    assert found[OURS].error == 0.0
    assert found["wrong"].error == pytest.approx(0.25)


def test_a_gate_without_its_peer_is_neither_met_nor_missed():
    assert rows(gate=1.0, gate_peer="missing")[OURS].met is None


def test_a_wrong_result_of_our_own_misses_its_gate():
    x = np.arange(1.0, 5.0)
    found = compare("case", lambda: x + 1e-3, {"peer": lambda: slow(x)}, reference=x, gate=1.0)
    assert found[0].met is False
    assert "wrong result" in found[0].note
    assert compare("case", lambda: x + 1e-3, {"peer": lambda: slow(x)}, reference=x, gate=1.0, rtol=1e-2)[0].met


def test_every_result_has_its_score():
    found = rows(score=("first entry", lambda result: result[0]))
    assert (found[OURS].score, found["wrong"].score) == (1.0, 2.0)
    assert math.isnan(found["fails"].score)
    assert "first entry 2" in console_table("title", list(found.values()))


def test_rounds_and_long_first_calls(monkeypatch):
    harness.set_quick(False)
    calls = []
    compare("case", lambda: calls.append(time.sleep(2e-3)) or 1.0, {}, budget=0.0, rounds=3)
    assert len(calls) == 5  # first, warm-up, three samples
    calls.clear()
    monkeypatch.setattr(harness, "LONG_CALL", 1e-3)
    compare("case", lambda: calls.append(time.sleep(2e-3)) or 1.0, {}, budget=0.0, rounds=1)
    assert len(calls) == 2


def test_share_of_the_gemm_peak_is_a_ratio_of_rates(monkeypatch):
    def measured(runners, budget, rounds=5):
        for one, seconds in zip(runners, (8.0, 2.0), strict=True):
            one.samples = [seconds]

    monkeypatch.setattr(harness, "_measure", measured)
    n = 256  # in a quick run
    ours = harness.share_of_gemm("case", lambda: 0.0, 4.0 * n**3, 0.5)[0]
    assert ours.share_gemm == ours.gate_ratio == pytest.approx(0.5)
    assert ours.met
    assert not harness.share_of_gemm("case", lambda: 0.0, 3.9 * n**3, 0.5)[0].met


def test_shares_of_the_limits():
    row = rows(flops=1e6, bytes_moved=1e6)[OURS]
    assert 0 < row.share_gemm < 1
    assert 0 < row.share_copy < 1


@pytest.mark.parametrize("result", [np.ones(3), (np.ones(1), np.ones(2)), [1.0, 1.0, 1.0]])
def test_results_of_any_form_are_compared(result):
    assert harness.relative_error(result, np.ones(3)) == 0.0
    assert harness.relative_error(np.ones(2), np.ones(3)) == math.inf


def test_the_page_and_the_table_show_everybody(tmp_path):
    found = list(rows(gate=1.0).values())
    write_rst(tmp_path / "page.rst", {1: found}, {1: {"gemm": 1e9, "copy": 1e9}})
    page = (tmp_path / "page.rst").read_text(encoding="utf-8")
    table = console_table("title", found)
    for row in found:
        assert row.name in page
        assert row.name in table
    assert "- score" not in page  # a column in which nobody has anything
    assert "Met: 1 of 1 with 1 thread." in page
    assert "1 of 1 gates met" in summary({1: found})
    missed = Row("slow case", OURS, "float64", 1, gate=2.0, gate_ratio=1.0, gate_peer="peer")
    assert "missed: slow case" in summary({1: [missed]})


def test_a_topic_that_fails_is_named_and_does_not_stop_the_others(tmp_path, monkeypatch, capfd):
    finished = {"rows": [Row("case", OURS, "float64", 1).to_dict()], "limits": {"gemm": 1e9, "copy": 2e9}}
    monkeypatch.setattr(runner, "run_worker", lambda topic, n, args, folder: finished if topic == "tensor" else None)
    assert runner.main(["--only", "kernels", "tensor", "--write", str(tmp_path / "page.rst")]) == 1
    assert "files that failed: kernels (1 thread)" in capfd.readouterr().out
    assert "copy 2 GB/s" in (tmp_path / "page.rst").read_text(encoding="utf-8")


def test_the_page_has_a_section_for_every_topic(tmp_path):
    found = [Row(f"case {t}", OURS, "float64", 1, topic=t) for t in topics()]
    write_rst(tmp_path / "page.rst", {1: found}, {1: {"gemm": 1e9, "copy": 1e9}})
    page = (tmp_path / "page.rst").read_text(encoding="utf-8")
    for topic in topics():
        assert f"{TITLES[topic]}\n{'-' * len(TITLES[topic])}" in page


def test_every_benchmark_file_has_rows():
    for topic in topics():
        source = (harness.__file__).replace("harness.py", f"bench_{topic}.py")
        with open(source, encoding="utf-8") as f:
            assert "def rows(*, quick: bool = False" in f.read(), topic
