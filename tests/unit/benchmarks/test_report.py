"""Ratios, verdicts and the table of a run."""

from benchmarks.load import Result
from benchmarks.measure import FLOOR, Measured, Series, Storm
from benchmarks.report import Report, table
from benchmarks.servers import Weight
from benchmarks.works import MEMORY_BUDGET, Work

WORK = Work("record", "one record", 0.45, 32)


def result(rate: int, busy: float = 1.0) -> Result:
    return Result(requests=rate, seconds=1.0, bytes=rate * 100, p50=1.0, p99=2.0, slowest=3.0, busy=busy)


def measured(ramet: list[int], *, peer: bool = True) -> Measured:
    series = {FLOOR: Series([result(1000), result(4000), result(2000)]), "Ramet": Series([result(n) for n in ramet])}
    if peer:
        series["peer"] = Series([result(100), result(50), result(200)])
    return Measured(WORK, 400, series)


def test_a_ratio_is_that_of_the_medians_and_the_spread_that_of_the_rounds() -> None:
    one = measured([500, 1600, 1200])
    assert one.ratio("Ramet") == 0.6
    assert one.ratio("Ramet", "peer") == 12
    assert one.spread("Ramet") == (0.4, 0.6)


def test_cost_is_processor_time_for_each_request() -> None:
    assert Series([result(1000, busy=0.5), result(2000, busy=0.5), result(500, busy=0.5)]).cost == 500


def test_a_ratio_below_its_budget_is_a_miss_and_one_at_its_budget_is_not() -> None:
    below, at = Report("Ramet", [measured([800, 800, 800])]), Report("Ramet", [measured([900, 900, 900])])
    assert below.misses() == ["record: 40.0% of the floor, less than 45%"]
    assert "BELOW BUDGET  record" in below.text()
    assert "45% MISSED" in below.text()
    assert at.misses() == []
    assert at.text().endswith("every budget holds")
    assert "MISSED" not in at.text()


def test_memory_is_held_against_what_is_shared_once_and_only_for_the_subject() -> None:
    over, under = MEMORY_BUDGET + 1_000_000, MEMORY_BUDGET - 1_000_000
    assert Report("Ramet", idle={"Ramet": Weight(2, over + 1, over)}).misses() == [
        "memory: 91.0 MB idle, more than 90.0 MB"
    ]
    assert Report("Ramet", idle={"Ramet": Weight(2, over, under), "peer": Weight(1, over, over)}).misses() == []


def test_the_table_prints_both_rates_and_the_ratio() -> None:
    row = Report("Ramet", [measured([500, 1600, 1200])]).text().splitlines()[2]
    assert row.startswith("one record, 32 clients, 400 B")
    assert "  2,000  " in row
    assert "  1,200  60.0%  40% to 60%  45% holds  " in row
    assert "  100  " in row
    assert " 12.0 " in row


def test_without_a_peer_there_are_dashes_and_no_further_number() -> None:
    row = Report("Ramet", [measured([1000, 1000, 1000], peer=False)]).text().splitlines()[2]
    assert row.count("  - ") == 3


def test_a_storm_tells_what_reads_keep() -> None:
    storm = Storm(Series([result(1000)]), Series([result(800)]), Series([result(40)]))
    row = Report("Ramet", storms={"Ramet": storm}).text().splitlines()[3]
    assert row.split() == ["Ramet", "1,000", "800", "80%", "1.00", "/", "2.00", "1.00", "/", "2.00", "40"]


def test_the_document_holds_every_round() -> None:
    document = Report("Ramet", [measured([500, 1600, 1200])]).document()
    work = document["works"]["record"]
    assert [one["rate"] for one in work["series"]["Ramet"]["rounds"]] == [500, 1600, 1200]
    assert (work["ratio"], work["budget"], document["misses"]) == (0.6, 0.45, [])


def test_columns_are_as_wide_as_they_need() -> None:
    assert table([("a", "b"), ("long", "1"), ("x", "1000")]).splitlines() == [
        "a        b",
        "----------",
        "long     1",
        "x     1000",
    ]
