"""The latencies of one run: nanoseconds in, percentiles in milliseconds out, as an HDR histogram.

A run keeps raw nanoseconds in a list while it measures (an append costs nothing) and gives them here at the end with
`record_all`. Everything from there on is the HDR histogram of Gil Tene, three significant digits from 1 ns to one
hour, in its standard encodings: base64 of the compressed form V2, percentile tables (`.hgrm`) and interval logs
(`.hlog`), which HdrHistogram's plotters and viewers in any language read. Needs the package `hdrhistogram`, which comes
with the extra `bench`.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogWriter

LONGEST_NS: Final = 3_600 * 10**9
"""Anything longer counts as an hour: a run does not last as long."""
DIGITS: Final = 3
"""Significant decimal digits: a figure is off by less than a thousandth."""

SHOWN: Final = (50.0, 90.0, 99.0, 99.9)
"""Percentiles that every run ends with, beside the largest."""

_NS_IN_MS: Final = 1_000_000
_SUB_BUCKET_BITS: Final = 11
"""A value's leading bits that 3 digits keep: 2^11 = 2048 sub-buckets, the first power of two over 2 x 10^3."""

CURVE: Final = (
    10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 96.0, 97.0, 98.0, 98.5, 99.0,
    99.2, 99.4, 99.6, 99.7, 99.8, 99.9, 99.95, 99.98, 99.99, 99.999,
)  # fmt: skip
"""Percentiles at which a curve is drawn: closer together towards the tail."""


class Latency:
    """How long things took in one run, or in several that were merged."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, LONGEST_NS, DIGITS)

    def record(self, value_ns: int, count: int = 1) -> None:
        """Count one duration `count` times. Raises ValueError for a negative one."""
        if value_ns < 0:
            raise ValueError(f"a duration of {value_ns} ns: time does not run backwards")
        self._histogram.record_value(min(value_ns, LONGEST_NS), count)

    def record_all(self, values_ns: Iterable[int]) -> Self:
        """Count many durations at once, about 0.2 µs each; returns itself. Raises ValueError for a negative one."""
        # The package takes 2 µs for a value, so that values it cannot tell apart are counted here first.
        for value, count in Counter(map(_bucket, values_ns)).items():
            self.record(value, count)
        return self

    @property
    def count(self) -> int:
        """How many durations there are."""
        return int(self._histogram.get_total_count())

    def percentile_ms(self, percent: float) -> float:
        """The duration that `percent` (0 to 100) of all do not exceed, in ms; 0.0 of none."""
        return float(self._histogram.get_value_at_percentile(percent)) / _NS_IN_MS if self.count else 0.0

    @property
    def max_ms(self) -> float:
        """The longest, in ms; 0.0 of none."""
        return float(self._histogram.get_max_value()) / _NS_IN_MS

    def shown_ms(self) -> dict[str, float]:
        """`p50`, `p90`, `p99`, `p99.9` and `max`, in ms, as `Run.latency_ms` has them."""
        found = self._percentiles_ms(SHOWN)
        return {f"p{percent:g}": round(found[percent], 4) for percent in SHOWN} | {"max": round(self.max_ms, 4)}

    def curve_ms(self) -> list[tuple[float, float]]:
        """(percent, ms) for the drawing of a curve, up to the last percentile that the count supports."""
        found = self._percentiles_ms(CURVE)
        most = 100 - 100 / max(self.count, 1)
        return [(percent, found[percent]) for percent in CURVE if percent <= most]

    def _percentiles_ms(self, percents: Sequence[float]) -> dict[float, float]:
        if not self.count:
            return dict.fromkeys(percents, 0.0)
        found = self._histogram.get_percentile_to_value_dict(list(percents))
        return {percent: float(found[percent]) / _NS_IN_MS for percent in percents}

    def merge(self, other: "Latency") -> None:
        """Add everything that another has counted."""
        if other.count:
            self._histogram.add(other._histogram)

    def encoded(self) -> str:
        """The histogram in the standard form: base64 of HDR V2, compressed. Values are in ns."""
        return str(self._histogram.encode().decode("ascii"))

    @classmethod
    def decoded(cls, text: str) -> Self:
        """The opposite of `encoded`. Raises ValueError for anything else."""
        latency = cls()
        try:
            latency._histogram.decode_and_add(text)
        except Exception as error:  # the package raises a dozen kinds, down to those of zlib and base64
            raise ValueError(f"not an HDR histogram: {text[:40]!r}") from error
        return latency

    def write(self, path: Path, *, tag: str = "", begin_s: float = 0.0, length_s: float = 0.0) -> None:
        """Write `path`: `.hlog` as an interval log with one interval, anything else as a percentile table in ms.

        `tag` names the interval; `begin_s` (Unix time) and `length_s` say when it was. Raises OSError.
        """
        if path.suffix == ".hlog":
            with path.open("w", encoding="ascii") as log:
                writer = HistogramLogWriter(log)
                writer.output_log_format_version()
                writer.output_comment(f"[roost bench{': ' + tag if tag else ''}; values in ns, maxima in ms]")
                writer.output_legend()
                # Its own clock is left out: a start of 0 would be taken for "look into the histogram".
                begin = begin_s or sys.float_info.min
                writer.output_interval_histogram(self._histogram, begin, begin + length_s, float(_NS_IN_MS))
            return
        with path.open("wb") as table:
            self._histogram.output_percentile_distribution(table, _NS_IN_MS)


def _bucket(value_ns: int) -> int:
    """The smallest value that the histogram does not tell from this one."""
    shift = value_ns.bit_length() - _SUB_BUCKET_BITS
    return value_ns >> shift << shift if shift > 0 else value_ns
