"""What is known is replayed, and some cases are drawn: nothing comes out of a target but what it says."""

from itertools import islice

import pytest

from fuzz.cases import cases
from fuzz.defects import DEFECTS, found
from fuzz.table import TARGETS
from fuzz.target import CORPUS, Target, attempt
from fuzz.weighing import weigh

DRAWN = {
    "codec_binary": 100_000,
    "codec_json": 20_000,
    "connection": 20_000,
    "records": 20_000,
    "import_file": 10_000,
    "state_file": 300,
    "configuration": 200,
    "store_rows": 150,
    "broker_connection": 100,
    "web_socket": 80,
    "http_request": 60,
    "admin_api": 80,
}
"""Cases of each: all of this file takes less than 40 s. `make fuzz` has ten minutes."""

WEIGHED = 40
"""Cases drawn that are weighed, which takes ten times as long."""

SEED = 20_261_124

CORPUS_BYTES_MAX = 1_000_000

SLOW = ("broker_connection", "web_socket", "http_request", "admin_api", "store_rows")
"""Targets with a whole broker or store for each case: a quarter of the cases drawn are weighed."""

PARTLY = ("admin_api", "store_rows")
"""Of what is known, about `WEIGHED` are weighed: these are not for strangers."""

targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@targets
def test_what_is_known_is_stood(target: Target) -> None:
    for data in target.corpus():
        finding = attempt(target, data)
        assert finding is None, finding.told()


@targets
def test_cases_out_of_a_seed_are_stood(target: Target) -> None:
    drawn = cases(SEED, target.corpus(), target.tokens, target.bytes_max)
    for data in islice(drawn, DRAWN[target.name]):
        finding = attempt(target, data)
        assert finding is None, finding.told()


@targets
def test_no_case_takes_more_memory_than_it_has_bytes_and_a_constant(target: Target) -> None:
    corpus = target.corpus()
    drawn = islice(cases(SEED, corpus, target.tokens, target.bytes_max), WEIGHED // (4 if target.name in SLOW else 1))
    weighed = corpus[:: max(1, len(corpus) // WEIGHED)] if target.name in PARTLY else corpus
    weigh(target.one, corpus[0], target.documented)  # what is made once is made
    for data in (*weighed, *drawn):
        peak = weigh(target.one, data, target.documented)
        assert peak <= target.memory.bound(data), f"{peak} bytes for {len(data)}: {data[:200]!r}"


@targets
def test_a_check_that_is_missing_is_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    DEFECTS[target.name].put_in(monkeypatch)
    assert found(target) is not None, DEFECTS[target.name].title


def test_every_target_is_drawn_for_and_has_its_defect() -> None:
    assert set(DRAWN) == set(TARGETS) == set(DEFECTS)


def test_every_folder_of_the_corpus_is_that_of_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


def test_the_corpus_is_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(sizes) < CORPUS_BYTES_MAX
