"""The table of goals: what each workload has to reach, judged on the runs and the floor of one run of the suite.

Only ratios taken in one run count: against a peer on the same machine in the same minutes, or against the floor of the
same folder. A figure is the median over the rounds that count. A goal without such a round is not judged: not met.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from roost_benchmarks.result import Goal, Run

KIB: Final = 1024
MIB: Final = 1024 * KIB

PAIRS_AT_MOST: Final = {"pairs": 20, "window": 64}
PAIRS_ALONE: Final = {"pairs": 1, "window": 1}
RATE: Final = {"rate_per_s": 2_000}

ONLY: Final = " --only "
"""In a command of the suite, before the part of it that is run."""

FEW_ENTRIES: Final = 10_000
MANY_ENTRIES: Final = 10_000_000


class Missing(Exception):
    """Something that a goal needs was not measured, or does not count. The message says what."""


class Evidence(NamedTuple):
    """What goals are judged on."""

    runs: Sequence[Run]
    floor: Mapping[str, float]

    def find(self, workload: str, broker: str = "roost", /, **options: Any) -> list[Run]:
        """The runs that count, of this workload and broker and with these options. Raises Missing."""
        found = [run for run in self.runs if run.workload == workload and run.broker == broker and _has(run, options)]
        if not found:
            wanted = " ".join(f"{name}={value}" for name, value in options.items())
            raise Missing(f"not measured: {workload} of {broker} {wanted}".rstrip())
        counting = [run for run in found if run.counts]
        if not counting:
            raise Missing(f"does not count: {found[0].refusal}")
        return counting

    def figure(self, name: str, workload: str, broker: str = "roost", /, **options: Any) -> float:
        """The median of a figure. Raises Missing."""
        return _median(name, [run.figures.get(name) for run in self.find(workload, broker, **options)])

    def latency_ms(self, percentile: str, workload: str, broker: str = "roost", /, **options: Any) -> float:
        """The median of a percentile. Raises Missing."""
        runs = self.find(workload, broker, **options)
        return _median(percentile, [(run.latency_ms or {}).get(percentile) for run in runs])

    def floor_of(self, name: str, workload: str, /, **options: Any) -> float:
        """A figure of the floor in the minute of these runs, or that of the whole suite. Raises Missing."""
        beside = [run.floor[name] for run in self.find(workload, **options) if name in run.floor]
        if beside:
            return median(beside)
        if name not in self.floor:
            raise Missing(f"not measured: {name} of the floor")
        return self.floor[name]

    def commands(self, workload: str, broker: str = "roost", /, **options: Any) -> str:
        """The command that gives a figure; nothing if it was not measured."""
        runs = (run for run in self.runs if run.workload == workload and run.broker == broker and _has(run, options))
        return next((run.command for run in runs if run.command), "")


class Verdict(NamedTuple):
    """What was measured, in words, and whether that is enough."""

    measured: str
    met: bool


class Rule(NamedTuple):
    """One goal. `options` are those of the run whose command gives the figure, `whole`: all of the workload does."""

    workload: str
    goal: str
    judge: Callable[[Evidence], Verdict]
    options: Mapping[str, Any] = {}
    whole: bool = False


def judged(runs: Iterable[Run], floor: Mapping[str, float]) -> list[Goal]:
    """Every goal, in the order of the workloads, with what was measured."""
    evidence = Evidence(list(runs), floor)
    goals = []
    for rule in RULES:
        try:
            measured, met = rule.judge(evidence)
        except Missing as missing:
            measured, met = str(missing), None
        except ZeroDivisionError:
            measured, met = "nothing to compare with: 0 was measured", None
        command = evidence.commands(rule.workload, **rule.options)
        if rule.whole and command:
            command = f"{command.partition(ONLY)[0]}{ONLY}{rule.workload}"
        goals.append(Goal(workload=rule.workload, goal=rule.goal, measured=measured, met=met, command=command))
    return goals


def remarks(runs: Iterable[Run]) -> list[str]:
    """Where a peer is ahead, and why: a sentence for each shape of load."""
    evidence = Evidence(list(runs), {})
    found = []
    for words, workload, options in _SHAPES_TO_COMPARE:
        try:
            ours, theirs = (evidence.latency_ms("p50", workload, name, **options) for name in ("roost", "mosquitto"))
        except Missing:
            continue
        if theirs < ours:
            found.append(
                f"Mosquitto is ahead {words}: p50 {theirs:.2f} ms against {ours:.2f} ms. It acknowledges and delivers "
                "without waiting for the disk; a message of roost is committed with fsync in every inbox first."
            )
    return found


_SHAPES_TO_COMPARE: Final[tuple[tuple[str, str, Mapping[str, Any]], ...]] = (
    ("with one message in flight", "W1", PAIRS_ALONE),
    ("at 500 messages/s", "W2", {"rate_per_s": 500}),
    ("at 2,000 messages/s", "W2", RATE),
    ("at 10,000 messages/s", "W2", {"rate_per_s": 10_000}),
    ("with a group of 1,000 devices", "W3", {}),
)


def _pairs_against_mosquitto(evidence: Evidence) -> Verdict:
    ours = evidence.figure("messages_per_s", "W1", **PAIRS_AT_MOST)
    theirs = evidence.figure("messages_per_s", "W1", "mosquitto", **PAIRS_AT_MOST)
    return Verdict(f"{ours:,.0f}/s = {ours / theirs:.2f} × Mosquitto's {theirs:,.0f}/s", ours >= 2.5 * theirs)


def _pairs_against_prosody(evidence: Evidence) -> Verdict:
    """Against the best that Prosody reached with any window: a larger one does not make it faster."""
    ours = evidence.figure("messages_per_s", "W1", **PAIRS_AT_MOST)
    theirs = max(run.figures.get("messages_per_s", 0.0) for run in evidence.find("W1", "prosody"))
    if not theirs:
        raise Missing("not measured: messages/s of prosody")
    return Verdict(f"{ours:,.0f}/s = {ours / theirs:.1f} × Prosody's best, {theirs:,.0f}/s", ours >= 30 * theirs)


def _pairs_alone(evidence: Evidence) -> Verdict:
    p50, commit = evidence.latency_ms("p50", "W1", **PAIRS_ALONE), evidence.floor_of("commit_1_ms", "W1", **PAIRS_ALONE)
    bound = 1.5 * commit + 0.15
    return Verdict(f"{p50:.2f} ms; commit {commit:.2f} ms, so at most {bound:.2f} ms", p50 <= bound)


def _rate_p50(evidence: Evidence) -> Verdict:
    return _against_commit(evidence, "p50", "commit_1_ms", 2.5)


def _rate_p99(evidence: Evidence) -> Verdict:
    return _against_commit(evidence, "p99", "commit_1_p99_ms", 5)


def _against_commit(evidence: Evidence, percentile: str, floor: str, times: float) -> Verdict:
    ours, commit = evidence.latency_ms(percentile, "W2", **RATE), evidence.floor_of(floor, "W2", **RATE)
    text = f"{ours:.2f} ms = {ours / commit:.1f} × the commit's {percentile}, {commit:.2f} ms"
    return Verdict(text, ours <= times * commit)


def _group_against_floor(evidence: Evidence) -> Verdict:
    ours = evidence.latency_ms("p50", "W3")
    commit, sends = evidence.floor_of("commit_group_ms", "W3"), evidence.floor_of("fan_out_1000_ms", "W3")
    bound = commit + 1.3 * sends
    text = f"{ours:.1f} ms; commit {commit:.1f} ms and 1,000 sends {sends:.1f} ms, so at most {bound:.1f} ms"
    return Verdict(text, ours <= bound)


def _group_against_mosquitto(evidence: Evidence) -> Verdict:
    ours, theirs = evidence.latency_ms("p50", "W3"), evidence.latency_ms("p50", "W3", "mosquitto")
    return Verdict(f"{ours:.1f} ms against {theirs:.1f} ms", ours < theirs)


def _catchup_near(evidence: Evidence) -> Verdict:
    return _catchup(evidence, 0, 300_000)


def _catchup_far(evidence: Evidence) -> Verdict:
    return _catchup(evidence, 50, 50_000)


def _catchup(evidence: Evidence, round_trip_ms: float, least: float) -> Verdict:
    per_s = evidence.figure("entries_per_s", "W4", round_trip_ms=round_trip_ms)
    return Verdict(f"{per_s:,.0f} entries/s", per_s >= least)


def _catchup_memory(evidence: Evidence) -> Verdict:
    grown = max(run.figures.get("memory_growth_bytes", 0.0) for run in evidence.find("W4"))
    return Verdict(f"{grown / MIB:.1f} MiB", grown < 8 * MIB)


def _idle(evidence: Evidence) -> Verdict:
    each = evidence.figure("memory_per_device_bytes", "W5")
    return Verdict(f"{each / KIB:.1f} KiB each", each <= 12 * KIB)


def _storm(evidence: Evidence) -> Verdict:
    per_s = evidence.figure("log_ins_per_s", "W6")
    return Verdict(f"{per_s:,.0f} log-ins/s", per_s >= 2_000)


def _slow(evidence: Evidence) -> Verdict:
    """The median of the ratios of neighbours: the machine drifts more between rounds than within one."""
    p99 = {
        (run.round, run.options["stalled"] > 0): run.latency_ms["p99"]
        for run in evidence.find("W7")
        if run.latency_ms and "stalled" in run.options
    }
    ratios = [p99[number, True] / p99[number, False] for number, stalled in p99 if stalled and (number, False) in p99]
    if not ratios:
        raise Missing("not measured: W7 with and without stalled devices in one round")
    ratio = median(ratios)
    alternations = f"{len(ratios)} alternation{'' if len(ratios) == 1 else 's'}"
    return Verdict(f"{ratio:.2f} ×, median of {alternations} ({min(ratios):.2f} to {max(ratios):.2f})", ratio <= 1.2)


def _size(evidence: Evidence) -> Verdict:
    few = evidence.figure("cost_us_per_message", "W8", entries=FEW_ENTRIES)
    many = evidence.figure("cost_us_per_message", "W8", entries=MANY_ENTRIES)
    return Verdict(f"{many:.1f} µs against {few:.1f} µs = {many / few:.2f} ×", many <= 1.5 * few)


RULES: Final = (
    Rule(
        "W1", "64 × 20: messages/s ≥ 2.5 × Mosquitto's, every message fsynced", _pairs_against_mosquitto, PAIRS_AT_MOST
    ),
    Rule("W1", "64 × 20: messages/s ≥ 30 × Prosody's", _pairs_against_prosody, PAIRS_AT_MOST, whole=True),
    Rule("W1", "1 × 1: p50 ≤ 1.5 × the commit + 0.15 ms", _pairs_alone, PAIRS_ALONE),
    Rule("W2", "2,000/s: p50 ≤ 2.5 × the commit's p50", _rate_p50, RATE),
    Rule("W2", "2,000/s: p99 ≤ 5 × the commit's p99", _rate_p99, RATE),
    Rule("W3", "p50 ≤ the commit + 1.3 × the send floor", _group_against_floor),
    Rule("W3", "p50 ahead of Mosquitto's, although 500 inboxes are stored", _group_against_mosquitto),
    Rule("W4", "≥ 300,000 entries/s to one device on loopback", _catchup_near, {"round_trip_ms": 0}),
    Rule("W4", "≥ 50,000 entries/s over a link with 50 ms round trip", _catchup_far, {"round_trip_ms": 50}),
    Rule("W4", "memory grows by less than 8 MiB", _catchup_memory, whole=True),
    Rule("W5", "≤ 12 KiB for each idle device", _idle),
    Rule("W6", "≥ 2,000 log-ins/s with device tokens", _storm),
    Rule("W7", "p99 of the healthy ≤ 1.2 × that without stalled devices, median", _slow, whole=True),
    Rule("W8", "cost of a message at 10 million entries ≤ 1.5 × that at 10 thousand", _size, whole=True),
)
"""In the order of the workloads."""


def _has(run: Run, options: Mapping[str, Any]) -> bool:
    return all(run.options.get(name) == value for name, value in options.items())


def _median(name: str, values: Sequence[float | None]) -> float:
    there = [value for value in values if value is not None]
    if not there:
        raise Missing(f"not measured: {name}")
    return median(there)
