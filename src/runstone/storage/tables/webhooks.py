"""What is done when something happens: automations, webhooks, and the messages under way."""

from __future__ import annotations

from runstone.storage.tables.table import Record, local_table, state_table


class Automation(Record, frozen=True):
    """What is done when something happens in a namespace, project or collection (``scope``, with its id ``subject``).

    ``event`` and ``filter`` (MessagePack) say when; ``action`` is nothing, webhook or notification, to ``webhook``, with ``message``
    (a MessagePack map).
    """

    id: int
    namespace: int
    scope: str
    subject: int
    name: str
    created: int
    by: str
    updated: int
    event: str
    filter: bytes
    action: str
    webhook: int
    message: bytes
    description: str = ""
    enabled: bool = True


class Webhook(Record, frozen=True):
    """Where to tell of what happens in a namespace (0: in all), or in one project of it.

    ``channel`` names the dialect that words the messages, ``events`` are what is told, in its words; ``secret`` is encrypted.
    """

    id: int
    namespace: int
    project: int
    channel: str
    name: str
    url: str
    events: tuple[str, ...]
    created: int
    by: str
    updated: int
    description: str = ""
    secret: bytes = b""
    enabled: bool = True


class Delivery(Record, frozen=True):
    """A message to a webhook: waiting (to be sent at ``due``), delivered or failed, and how the last attempt ended."""

    id: str
    event: str
    body: bytes
    created: int
    state: str = "waiting"
    due: int = 0
    attempts: int = 0
    tried: int = 0
    status: int = 0
    answer: str = ""


AUTOMATIONS = state_table(119, "automations", "id:u64", Automation)
WEBHOOKS = state_table(140, "webhooks", "id:u64", Webhook)
DELIVERIES = local_table(141, "deliveries", "webhook:u64 number:u64", Delivery)
DELIVERIES_DUE = local_table(142, "deliveries_due", "due:u64 webhook:u64 number:u64", int)
TOLD = local_table(143, "told", "zero:u8", int)
