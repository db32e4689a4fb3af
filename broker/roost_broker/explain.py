"""How a device stands to one entry of its inbox: a fold over the journal's records, and what is true now.

Pure: no store, no clock. `DeviceStory` takes the records of a user in the order of their numbers, then `explained` is
asked for the verdict. The rules are those of the journal: a number was pushed after the last moment at which its
session was known to be before it, and by the first at which it was known to be past it.
"""

from msgspec import Struct

from roost_broker.store.journal import (
    AnyEvent,
    BrokerStarted,
    DeviceForgotten,
    GapTold,
    Progress,
    SessionClosed,
    SessionOpened,
)
from roost_protocol.admin.explain import DeviceExplained, Step, Verdict, What
from roost_protocol.frames import GapReason
from roost_protocol.reasons import Reason


class Now(Struct, frozen=True, kw_only=True):
    """What is true of a device now. `cursor` is None if it is not known any more; the others if it has no session."""

    cursor: int | None
    last_seen: int = 0
    position: int | None = None
    acknowledged: int | None = None
    window_full: bool = False
    floor: int
    floor_reason: GapReason | None


class _Session:
    """A session as far as the records tell: by `at`, `pushed` and `acknowledged` were the last numbers that were."""

    def __init__(self, epoch: int, at: int | None, pushed: int, acknowledged: int) -> None:
        self.epoch = epoch
        self.at = at
        self.pushed = pushed
        self.acknowledged = acknowledged
        self.skips = False
        """The entry lies in a gap that this session was told of."""
        self.ended = False


class DeviceStory:
    """One device and the entry `seq`, which was stored at `stored` (Unix time, ms; 0 if that is not known)."""

    def __init__(self, device: int, device_id: str, terminal: str, *, seq: int, stored: int) -> None:
        self.device = device
        self.device_id = device_id
        self.terminal = terminal
        self._seq = seq
        self._stored = stored
        self._steps: list[Step] = []
        self._sessions: dict[int, _Session] = {}
        self._acknowledged = False
        self._passed_over = False
        self._lost = False
        self._forgotten = False
        self._left: tuple[int, str] | None = None
        """When the newest session ended, and why; None while it goes on, or if there is none on record."""

    @property
    def settled(self) -> bool:
        """Whether nothing that comes later can change the verdict: the device has acknowledged the entry."""
        return self._acknowledged

    def take(self, event: AnyEvent, broker_stopped: int | None = None) -> None:
        """The next record; with BrokerStarted, when the broker before it was last heard of."""
        match event:
            case BrokerStarted():
                self._cut_off(broker_stopped or event.at)
            case SessionOpened(device=self.device):
                self._open(event)
            case Progress(device=self.device):
                self._moved(event.epoch, event.at, event.pushed, event.acknowledged)
            case SessionClosed(device=self.device):
                self._moved(event.epoch, event.at, event.pushed, event.acknowledged)
                self._close(event)
            case GapTold(device=self.device) if event.first <= self._seq <= event.last:
                self._lost = True
                self._session(event.epoch).skips = True
                text = f"was told that {event.first} to {event.last} are gone (retention by {event.reason})"
                self._step(event.at, "gap told", event.epoch, text)
            case DeviceForgotten(device=self.device):
                self._forgotten = True
                self._step(event.at, "forgotten", None, "was forgotten: it had not been seen for long")

    def explained(self, now: Now) -> DeviceExplained:
        """The verdict, and the steps that lead to it."""
        verdict, text = self._verdict(now)
        left_at = self._left[0] if self._left else now.last_seen
        return DeviceExplained(
            device=self.device_id,
            terminal=self.terminal,
            verdict=verdict,
            since=left_at or None if verdict == "offline" else None,
            text=text,
            steps=tuple(self._steps),
        )

    # --- records ---

    def _open(self, event: SessionOpened) -> None:
        session = _Session(event.epoch, event.at, event.position, event.position)
        self._sessions[event.epoch] = session
        self._left = None
        if event.at < self._stored:  # the session that was open when the entry came, or one before it
            self._steps.clear()
        if event.position < self._seq:
            how = "started over" if event.start_over else "resumed" if event.resumed else "logged in"
            self._lost = self._passed_over = False  # it comes again
            text = f"{how} from {event.address or 'an unknown address'}; delivery after {event.position}"
            self._step(event.at, "logged in", event.epoch, text)
        elif not self._acknowledged:
            self._passed_over = True
            held = f"said it holds {event.last_seq}"
            why = held if event.newest is None else f"asked for the newest {event.newest}"
            self._step(event.at, "passed over", event.epoch, f"logged in and {why}: delivery after {event.position}")

    def _moved(self, epoch: int, at: int, pushed: int, acknowledged: int) -> None:
        session = self._session(epoch)
        since = max(session.at or 0, self._stored) or None
        if session.pushed < self._seq <= pushed and not session.skips:
            self._step(at, "pushed", epoch, "was put on the wire", since)
        if session.acknowledged < self._seq <= acknowledged and not session.skips:
            self._acknowledged = True
            self._step(at, "acknowledged", epoch, "was acknowledged", since)
        session.at, session.pushed, session.acknowledged = at, pushed, acknowledged

    def _session(self, epoch: int) -> _Session:
        """The session; one of which there is no begin was open before the records begin."""
        return self._sessions.setdefault(epoch, _Session(epoch, None, 0, 0))

    def _close(self, event: SessionClosed) -> None:
        self._session(event.epoch).ended = True
        if event.epoch == max(self._sessions):
            self._left = event.at, _why(event)
        if self._acknowledged:
            return
        self._step(event.at, "closed", event.epoch, f"the session ended: {_why(event)}")

    def _cut_off(self, stopped: int) -> None:
        for session in self._sessions.values():
            if session.ended:
                continue
            session.ended = True
            if session.epoch == max(self._sessions):
                self._left = stopped, "the broker stopped without a word"
            if not self._acknowledged:
                text = "the broker stopped without a word; what was pushed or acknowledged since is unknown"
                self._step(stopped, "cut off", session.epoch, text, session.at)

    def _step(self, at: int, what: What, session: int | None, text: str, since: int | None = None) -> None:
        since = since if since is not None and since < at else None
        self._steps.append(Step(at=at, since=since, what=what, session=session, text=text))

    # --- the verdict ---

    def _verdict(self, now: Now) -> tuple[Verdict, str]:
        seq = self._seq
        if self._acknowledged:
            return "acknowledged", "the device has it, and has said so"
        if self._passed_over and (now.position is None or now.position >= seq):
            return "passed over", "at a log-in the device said that it needs only what comes after it"
        if now.cursor is not None and max(now.cursor, now.acknowledged or 0) >= seq:
            return "acknowledged", "its cursor is past the entry; when it said so is not recorded"
        if self._lost:
            return "lost", "retention took it before the device had it, and the device was told"
        if now.position is not None:
            return self._connected(now, now.position)
        return self._disconnected(now)

    def _connected(self, now: Now, position: int) -> tuple[Verdict, str]:
        seq = self._seq
        if position >= seq:
            return "in window", "it is on the wire to the device, which has not acknowledged it yet"
        if now.floor > seq:
            return "lost", f"retention took it (by {now.floor_reason}); the device is about to be told"
        before = seq - position - 1
        why = "the device has not acknowledged what was pushed to it" if now.window_full else "it is being read for it"
        return "waiting", f"{before} entries come before it, and {why}"

    def _disconnected(self, now: Now) -> tuple[Verdict, str]:
        if now.cursor is None or self._forgotten:
            return "unknown", "the device is not known any more"
        if now.floor > self._seq:
            return "lost", f"retention took it (by {now.floor_reason}) before the device came; it will be told"
        why = self._left[1] if self._left else "last seen then; how its session ended is not recorded (yet)"
        return "offline", f"{why}; it gets the entry when it logs in"


def _why(event: SessionClosed) -> str:
    """The end of a session in words."""
    if event.reason is None:
        return "the connection was lost"
    if event.reason == Reason.SUCCESS:
        return event.text or "the device has left"
    by = f" by {event.by}" if event.by else ""
    where = f" from {event.address}" if event.address else ""
    text = f" ({event.text})" if event.text else ""
    return f"{Reason.of(event.reason).phrase}{by}{where}{text}"
