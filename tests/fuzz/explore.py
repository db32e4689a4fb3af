"""One target under atheris: cases that reach new places in our code are kept, and changed further.

`python -m fuzz.explore TARGET [options and folders of libFuzzer]`. Each finding is told in a line and its input kept
in the target's corpus, the first for each place that it came out of; then the search goes on. Changes are libFuzzer's
own and ours (`cases`) in turn, since what msgspec and SQLite do is in C, where atheris does not see.
"""

import sys
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__ == "__main__":
    import atheris

from fuzz.cases import mutated

if TYPE_CHECKING:
    from fuzz.target import Finding, Target

INSTRUMENTED = ["fuzz", "roost_protocol", "roost_broker", "roost_admin", "roost", "h11", "wsproto", "tomllib"]
"""Where a new place counts."""

FINDINGS_MAX = 20
"""Past it, more is not looked for: somebody has enough to do."""

FINDING = "FINDING"
"""What the line of a finding begins with."""


class Search:
    """What `target` is given, and what came of it."""

    def __init__(self, target: "Target", known: list[bytes]) -> None:
        self._target = target
        self._known = known
        self._places: set[tuple[str, str, int]] = set()

    def one(self, data: bytes) -> None:
        """Give it a case."""
        from fuzz.target import attempt

        finding = attempt(self._target, data)
        if finding is not None and _place(finding) not in self._places:
            self._places.add(_place(finding))
            self._keep(finding)

    def _keep(self, finding: "Finding") -> None:
        folder = self._target.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / finding.file_name).write_bytes(finding.data)
        first = str(finding.error).partition("\n")[0][:200]
        sys.stdout.write(f"{FINDING} {finding.file_name} {type(finding.error).__name__}: {first}\n{finding.told()}\n")
        sys.stdout.flush()
        if len(self._places) >= FINDINGS_MAX:
            raise finding.error

    def change(self, data: bytes, size_max: int, seed: int) -> bytes:
        """Another case out of one."""
        if seed % 2:
            return bytes(atheris.Mutate(data, size_max))
        words = self._target.tokens or (b"\0",)
        return mutated(Random(seed), data, self._known, words)[:size_max]  # noqa: S311 - for cases, not for secrets


def _place(finding: "Finding") -> tuple[str, str, int]:
    """What raised, and where: two inputs for one place tell no more than one."""
    cause = finding.error.__cause__ or finding.error
    trace = cause.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ("", 0) if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return type(cause).__name__, *where


def main() -> None:
    """Run until libFuzzer has enough; see the module."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=INSTRUMENTED):
        target: Target = import_module(f"fuzz.{name}").TARGET
    search = Search(target, target.corpus())
    # libFuzzer starts itself again, by what it takes for its own name, to merge.
    myself = f"{sys.executable} -m fuzz.explore {name}"
    atheris.Setup([myself, f"-max_len={target.bytes_max}", *options], search.one, custom_mutator=search.change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
