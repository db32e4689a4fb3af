"""The configuration of a broker that is run on the terms of a plan."""

from roost.simulation.plan import Terms
from roost_broker.config import DAY_MS, Config, PasswordConfig, RetentionConfig
from roost_protocol.limits import Limits

CHEAP_PASSWORDS = PasswordConfig(memory_kib=8, passes=1)
"""The least that argon2 allows: nothing here is worth guarding, and time is dear."""


def config_of(terms: Terms) -> Config:
    """What `roost serve` would be told."""
    return Config(
        passwords=CHEAP_PASSWORDS,
        drain_s=5,
        retention=RetentionConfig(
            age_days=terms.keep_age_s * 1_000 / DAY_MS,
            count=terms.keep_count,
            bytes=terms.keep_bytes,
            interval_s=terms.trim_interval_s,
            hold_days=terms.hold_s * 1_000 / DAY_MS,
        ),
        limits=Limits(
            tail_entries_max=terms.tail_entries,
            tail_bytes_max=32_768,
            page_entries_max=terms.page_entries,
            page_bytes_max=32_768,
            batch_operations_max=terms.batch_operations,
            queue_operations_max=max(terms.queue_operations, terms.batch_operations),
            publish_max=terms.publish_max,
            trim_slice_max=terms.trim_slice,
            takeovers_max=terms.takeovers_max,
            takeover_window_s=5,
            write_buffer_bytes_max=65_536,
            keepalive_s=terms.keepalive_s,
        ),
    )
