"""Messages on their way: put down with the place in the log that they come from, sent, sent again, and remembered for a while."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.webhooks import hooks
from runstone.domain.webhooks.channels import Channel, Told
from runstone.domain.webhooks.events import Event
from runstone.errors import Invalid, TooLarge, Unreachable
from runstone.storage.chunks import transact
from runstone.storage.index import Txn, View
from runstone.storage.tables import DELIVERIES, DELIVERIES_DUE, TOLD, WEBHOOKS, Delivery, Webhook

if TYPE_CHECKING:
    from runstone.domain.webhooks.sending import Answer

State = Literal["waiting", "delivered", "failed"]
MAX_BODY = 256 << 10
#: Of each webhook, so many messages are kept, sent or not; one more pushes the oldest out.
KEPT = 1000
#: A message is tried so often: after 1, 2, 4, … seconds and then every hour, for about half a day.
ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE = 20, 1.0, 3600.0


class DeliveryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a webhook, and how its last attempt ended; times are in microseconds, 0 for not yet."""

    number: int
    id: str
    event: str
    body: str
    state: State
    created: int
    due: int
    tried: int
    attempts: int
    status: int
    answer: str


class Due(NamedTuple):
    """A message that is to be sent now."""

    webhook: Webhook
    number: int
    delivery: Delivery


def now() -> int:
    """The time in microseconds since 1970. Asking for it loads nothing, which the store's own clock does."""
    return time.time_ns() // 1000


def enqueue(store: Store, webhook: int, event: str, body: bytes) -> str:
    """Puts down a message to a webhook, for the process that delivers; its id. Who may say so is the caller's to decide."""
    _require_short(body)
    return transact(store.index, lambda txn: _add(txn, webhook, event, body, now()))


def take_in(store: Store, told: Iterable[tuple[Event, str, Told]], last: int) -> int:
    """Puts down what is told of events (each with the name of its channel), and that the log is read up to entry ``last``; how many.

    In one transaction, so that nothing is lost or put down twice.
    """
    messages = list(told)

    def change(txn: Txn) -> int:
        moment, added = now(), 0
        subscribed = [hook for _, hook in txn.scan(WEBHOOKS) if hook.enabled]
        for event, channel, message in messages:
            for hook in subscribed:
                if _is_for(hook, event, channel, message):
                    _add(txn, hook.id, message.event, message.body, moment)
                    added += 1
        txn.put(TOLD, 0, last)
        return added

    return transact(store.index, change)


def read_up_to(view: View) -> int:
    """The last log entry whose events were put down; -1 for none."""
    found = view.get(TOLD, 0)
    return -1 if found is None else found


def due(view: View, by: int) -> tuple[list[Due], int]:
    """The first message of each webhook that is to be sent by ``by``, and when there is more to do (0: nothing is waiting)."""
    found: dict[int, Due] = {}
    for (when, webhook, number), _ in view.scan(DELIVERIES_DUE):
        if when > by:
            return list(found.values()), when
        if webhook not in found and (delivery := view.get(DELIVERIES, webhook, number)):
            found[webhook] = Due(view.get(WEBHOOKS, webhook) or _gone(webhook), number, delivery)
    return list(found.values()), 0


def due_to(view: View, webhook: int, by: int) -> Due | None:
    """The oldest message to one webhook that is to be sent by ``by``."""
    hook = view.get(WEBHOOKS, webhook)
    for (_, number), delivery in view.scan(DELIVERIES, webhook):
        if hook is not None and delivery.state == "waiting" and delivery.due <= by:
            return Due(hook, number, delivery)
    return None


def send(store: Store, message: Due, channel: Channel | None) -> Delivery:
    """Sends a message and writes down how that ended: done, failed for good, or when it is to be sent again."""
    hook, sent = message.webhook, message.delivery
    try:
        if channel is None or not hook.enabled:
            raise Invalid("the webhook was disabled or taken away")
        answer = attempt(store, hook, channel, sent.id, sent.body)
        state: State = "delivered" if answer.status < 300 else "failed"
        ended = replace(sent, state=state, status=answer.status, answer=answer.body)
        again = answer.status == 429 or answer.status >= 500
        pause = answer.retry_after
    except (Invalid, Unreachable) as error:
        ended = replace(sent, state="failed", status=0, answer=error.message)
        again, pause = isinstance(error, Unreachable), 0.0
    moment = now()
    ended = replace(ended, attempts=sent.attempts + 1, tried=moment, due=0)
    if again and ended.attempts < ATTEMPTS:
        pause = max(min(FIRST_PAUSE * 2**sent.attempts, LONGEST_PAUSE) * random.uniform(1, 1.25), pause)
        ended = replace(ended, state="waiting", due=moment + int(pause * 1e6))
    transact(store.index, lambda txn: _settle(txn, hook.id, message.number, ended))
    return ended


def attempt(store: Store, hook: Webhook, channel: Channel, delivery: str, body: bytes) -> Answer:
    """Sends a message once, signed now, and answers what came back."""
    from runstone.domain.webhooks import sending  # TLS and HTTP are loaded by the first message

    secret = hooks.unseal(store, hook.secret)
    headers = channel.headers(delivery, secret, body, now() // 1_000_000)
    return sending.post(store, hook.url, body, headers)


def test(store: Store, ctx: Context, webhook: int, channel: Channel, body: bytes) -> Answer:
    """Sends a body to a webhook at once and once, whether it is enabled or not. Raises as :func:`sending.post` does."""
    _require_short(body)
    with store.index.read() as view:
        hook = hooks.find(store, view, ctx, webhook)
    return attempt(store, hook, channel, str(uuid.uuid4()), body)


def listed(
    store: Store, ctx: Context, webhook: int, *, before: int = 0, limit: int = 100
) -> list[DeliveryInfo]:
    """The messages to a webhook that are remembered, newest first, from just below number ``before``."""
    found: list[DeliveryInfo] = []
    with store.index.read() as view:
        hook = hooks.find(store, view, ctx, webhook)
        start = (hook.id, before) if before else None
        for (_, number), row in view.scan(DELIVERIES, hook.id, after=start, reverse=True):
            if len(found) == limit:
                break
            values = {name: getattr(row, name) for name in row.__struct_fields__}
            values["body"] = row.body.decode("utf-8", "replace")
            found.append(DeliveryInfo(number=number, **values))
    return found


def forget(store: Store) -> int:
    """Takes away the messages of webhooks that are not there any more; of how many webhooks."""
    with store.index.read() as view:
        gone, last = [], 0
        while row := next(view.scan(DELIVERIES, after=(last, (1 << 64) - 1) if last else None), None):
            last = row[0][0]
            if view.get(WEBHOOKS, last) is None:
                gone.append(last)
    for webhook in gone:
        transact(store.index, lambda txn, webhook=webhook: _clear(txn, webhook, 0))  # type: ignore[misc]
    return len(gone)


def _is_for(hook: Webhook, event: Event, channel: str, message: Told) -> bool:
    # An event is older than a webhook that was made by a later log entry: its id is that entry's number and one.
    if hook.channel != channel or event.seq < hook.id:
        return False
    if message.to is not None:
        return hook.id in message.to
    return message.event in hook.events and hooks.covers(hook, event.namespace, event.project)


def _add(txn: Txn, webhook: int, event: str, body: bytes, moment: int) -> str:
    last = txn.last(DELIVERIES, webhook)
    number = last[0][1] + 1 if last else 1
    made = Delivery(str(uuid.uuid4()), event, body, moment, due=moment)
    txn.put(DELIVERIES, webhook, number, made)
    txn.put(DELIVERIES_DUE, moment, webhook, number, 1)
    _clear(txn, webhook, KEPT)
    return made.id


def _settle(txn: Txn, webhook: int, number: int, ended: Delivery) -> None:
    row = txn.get(DELIVERIES, webhook, number)
    if row is None:  # pushed out meanwhile
        return
    txn.delete(DELIVERIES_DUE, row.due, webhook, number)
    txn.put(DELIVERIES, webhook, number, ended)
    if ended.state == "waiting":
        txn.put(DELIVERIES_DUE, ended.due, webhook, number, 1)


def _clear(txn: Txn, webhook: int, keep: int) -> None:
    """Takes away the oldest messages of a webhook but for ``keep``."""
    last = txn.last(DELIVERIES, webhook)
    before = last[0][1] - keep if last else 0
    doomed = []
    for (_, number), row in txn.scan(DELIVERIES, webhook):
        if number > before:
            break
        doomed.append((number, row))
    for number, row in doomed:
        txn.delete(DELIVERIES, webhook, number)
        txn.delete(DELIVERIES_DUE, row.due, webhook, number)


def _gone(webhook: int) -> Webhook:
    return Webhook(webhook, 0, 0, "", "", "", (), 0, "", 0, enabled=False)


def _require_short(body: bytes) -> None:
    if len(body) > MAX_BODY:
        raise TooLarge(f"a message of {len(body)} bytes is over the limit of {MAX_BODY}")
