"""`make fuzz`: each target in turn, a line for each with its figures, and one for all; status 1 if there were findings.

`python -m fuzz.run [--seconds 600] [TARGET …]`. The time is shared equally. What reached new places is made part of
the corpus, as few and as small inputs as reach them all, and no more than `CORPUS_BYTES_MAX` for each target; what
was a finding is kept there as `crash-…`, and `pytest tests/fuzz` fails until it is none any more.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from time import perf_counter
from typing import NamedTuple

from fuzz.cases import cases
from fuzz.explore import FINDING
from fuzz.table import TARGETS
from fuzz.target import Target, attempt

SECONDS = 600

CORPUS_BYTES_MAX = 48 * 1024
"""For each target: all of them stay below 1 MB."""

ONE_CASE_S = 30
"""A case that takes longer is a finding."""

MERGE_S = 300


class Figures(NamedTuple):
    """What came of one target. `edges` is None without atheris."""

    name: str
    cases: int
    seconds: float
    edges: int | None
    findings: int

    def __str__(self) -> str:
        edges = "-" if self.edges is None else str(self.edges)
        rate = self.cases / max(self.seconds, 0.001)
        return f"{self.name:18} {self.cases:>10,} cases  {rate:>9,.0f}/s  {edges:>6} edges  {self.findings} findings"


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description="Fuzz each target in turn.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"by default all: {', '.join(TARGETS)}")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.targets) - set(TARGETS))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    chosen = [TARGETS[name] for name in asked.targets or TARGETS]
    began = perf_counter()
    figures = []
    for target in chosen:
        each = searched(target, asked.seconds / len(chosen))
        figures.append(each)
        print(each, flush=True)  # noqa: T201 - this is what it is for
    findings = sum(each.findings for each in figures)
    total = sum(each.cases for each in figures)
    print(  # noqa: T201
        f"fuzz: {total:,} cases on {len(figures)} targets in {perf_counter() - began:.0f} s, {findings} findings"
    )
    return 1 if findings else 0


def searched(target: Target, seconds: float) -> Figures:
    """Search one target for so long, with atheris if it is there."""
    if find_spec("atheris") is None:
        return _without_atheris(target, seconds)
    work = Path(mkdtemp(prefix="roost-fuzz-"))
    try:
        return _explored(target, seconds, work)
    finally:
        rmtree(work, ignore_errors=True)


def _without_atheris(target: Target, seconds: float) -> Figures:
    """Cases out of seeds, which know nothing of what they reach."""
    corpus = target.corpus()
    began, count, findings = perf_counter(), 0, 0
    for data in chain(corpus, cases(int(began), corpus, target.tokens, target.bytes_max)):
        if perf_counter() - began >= seconds:
            break
        count += 1
        finding = attempt(target, data)
        if finding is not None:
            findings += 1
            target.folder.mkdir(parents=True, exist_ok=True)
            (target.folder / finding.file_name).write_bytes(finding.data)
            print(f"{FINDING} {finding.file_name}\n{finding.told()}")  # noqa: T201
            break
    return Figures(target.name, count, perf_counter() - began, None, findings)


def _explored(target: Target, seconds: float, work: Path) -> Figures:
    found, seeds = work / "found", work / "seeds"
    found.mkdir()
    target.folder.mkdir(parents=True, exist_ok=True)
    _write_seeds(target, seeds)
    began = perf_counter()
    done = _libfuzzer(
        target,
        f"-max_total_time={max(1, round(seconds))}",
        f"-timeout={ONE_CASE_S}",
        f"-artifact_prefix={target.folder}/crash-",
        "-print_final_stats=1",
        str(found),
        str(seeds),
        str(target.folder),
    )
    took = perf_counter() - began
    findings = done.stdout.count(f"{FINDING} ")
    if done.returncode and not findings:  # it hung, or died
        findings = 1
    if findings:
        print(done.stdout, done.stderr[-4_000:] if done.returncode else "", sep="\n")  # noqa: T201
    _merge(target, seeds, found)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    edges = re.findall(r"cov: (\d+)", done.stderr)
    return Figures(target.name, int(executed[1]) if executed else 0, took, int(edges[-1]) if edges else 0, findings)


def _write_seeds(target: Target, folder: Path) -> None:
    folder.mkdir()
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number:04}").write_bytes(seed[: target.bytes_max])


def _merge(target: Target, seeds: Path, found: Path) -> None:
    """Make the corpus what reaches, beside the seeds, everything that was reached."""
    _libfuzzer(target, "-set_cover_merge=1", str(seeds), str(found), str(target.folder), timeout_s=MERGE_S)
    fresh = sorted((path for path in seeds.iterdir() if not path.name.startswith("seed-")), key=_size)
    if not fresh:
        return  # nothing new, or the merge did not come to its end
    for old in target.folder.iterdir():
        if not old.name.startswith("crash-"):
            old.unlink()
    total = 0
    for path in fresh:
        total += _size(path)
        if total > CORPUS_BYTES_MAX:
            break
        if not path.name.startswith("crash-"):
            (target.folder / path.name[:16]).write_bytes(path.read_bytes())


def _size(path: Path) -> int:
    return path.stat().st_size


def _libfuzzer(target: Target, *options: str, timeout_s: float | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fuzz.explore", target.name, *options]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(late.cmd, 1, "", "")


if __name__ == "__main__":
    sys.exit(main())
