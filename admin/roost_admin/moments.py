"""Moments on the command line: `10m` ago, or a date and time."""

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO = re.compile(r"(\d{1,9})([smhd])")


if TYPE_CHECKING:
    _Type = click.ParamType[int]
else:  # older versions of click have no type arguments
    _Type = click.ParamType


class Moment(_Type):
    """`90s`, `10m`, `2h`, `3d` ago, or ISO 8601 (`2026-11-24T12:30`, in local time unless it says another): Unix ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        if isinstance(value, int):
            return value
        ago = _AGO.fullmatch(value)
        if ago:
            return max(0, int(time.time() * 1000) - int(ago[1]) * _UNITS_MS[ago[2]])
        try:
            return max(0, int(datetime.fromisoformat(value).timestamp() * 1000))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: 90s, 10m, 2h or 3d ago, or 2026-11-24T12:30", param, ctx)
