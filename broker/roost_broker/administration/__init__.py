"""What an admin may do: the acts behind the admin API, and behind `Broker.admin` of an embedded broker.

A class for each noun, whose methods are the acts. An act takes what stands in the path of its route, then the query,
then the body; one that changes something is told last who asks, for those who are affected and for the audit log.
Every act raises `NotDone` with the reason when it cannot be done, and `ReadFailed` when the store cannot be read. Safe
to cancel: a change is then done or not, but whole.
"""

from roost_broker.administration.acts import NotDone
from roost_broker.administration.house import Administration
from roost_broker.store import ReadFailed

__all__ = ["Administration", "NotDone", "ReadFailed"]
