"""Every bound of the client: its name, unit and reason. Bounds of the wire are in `roost_protocol.limits`."""

from roost_protocol.limits import KIB, MIB

CONNECT_TIMEOUT_S = 10.0
"""Seconds to open a connection: a lost SYN is sent again after 1, 3 and 7 seconds, so one more gets its chance."""

LOGIN_TIMEOUT_S = 15.0
"""Seconds from CONNECT to CONNACK: half as long again as a broker allows itself (`docs/protocol.md`, "States")."""

WRITE_TIMEOUT_S = 30.0
"""Seconds without the broker taking a byte before the connection counts as lost; a busy broker may rest a while."""

CLOSE_TIMEOUT_S = 2.0
"""Seconds to say goodbye when a session is left, whatever the network does."""

READ_BYTES = 64 * KIB
"""Bytes of one read; bounds the work between two checkpoints."""

WRITE_BYTES = 256 * KIB
"""Bytes of publishes in one write, which is also one transaction of the state file."""

BUFFERS = 2
"""Windows of entries that may wait for the application: the broker fills one on each connection, and what waits at a
reconnect is cut back to one."""

EPHEMERAL_WAITING_MAX = 256
"""Ephemeral messages that wait for the application; past it the oldest goes: an old signal is worth nothing."""

PRESENCE_WAITING_MAX = 4_096
"""Changes of presence that wait for the application, one for each (user, terminal type); past it the oldest goes."""

EPHEMERAL_OUTGOING_MAX = 64
"""Ephemeral messages that wait to be sent; past it the sender waits."""

ECHO_BODIES_MAX = 1_024
"""Bodies of settled publishes kept until their entry comes back; one that is gone by then is fetched."""

ECHO_BYTES_MAX = 4 * MIB
"""Bytes of those bodies."""

ECHO_FETCH = 50
"""Entries fetched at once to find bodies that were not kept."""

EVENTS_PER_CHECKPOINT = 64
"""Events handed out between two checkpoints while more are waiting: a checkpoint costs more than an event."""

REQUEST_TRIES_MAX = 3
"""Connections on which one request is tried: one that kills its connection must not do so for ever."""

STEADY_S = 60.0
"""Seconds that a connection must have lasted for the back-off to begin anew: one that is dropped at once is no
success (`docs/protocol.md`, "Takeover and reconnecting")."""

VIOLATION_PAUSE_S = 30.0
"""Seconds to stay away, at least, from a broker that broke the protocol: it will most likely do so again."""

RETRY_S_MIN = 0.1
"""Seconds before a refused publish is sent again at the earliest, also if the broker says 0."""
