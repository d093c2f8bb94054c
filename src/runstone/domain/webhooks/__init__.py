"""Webhooks: who wants to be told of what happens, and telling them.

A *webhook* is an address that belongs to a namespace, to one project of it, or to the whole store. What happens is read from the change
log as :class:`Event` values. A dialect's :class:`Channel` words them: it says what of an event is told, in the names and bodies of its
own clients, and signs the requests. One process of all that serve a store reads the log on from where it stopped and sends
(:class:`runstone.domain.webhooks.courier.Courier`): everything at least once, also after a restart, a message under one id however
often it is sent.

To build on it: ``hooks.create`` an address with your channel's name; give the dialect a ``channels`` attribute with the channel; its
``tell`` answers a :class:`Told` for each message, to all webhooks that subscribe to its name, or to those it names. ``queue.enqueue``
sends a message that no event is behind.
"""

from runstone.domain.webhooks.channels import Channel as Channel
from runstone.domain.webhooks.channels import Told as Told
from runstone.domain.webhooks.events import Event as Event
from runstone.domain.webhooks.hooks import WebhookInfo as WebhookInfo
