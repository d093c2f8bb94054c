"""Webhooks told by a real courier to a real HTTP server on loopback."""

import json
import socket
import threading
import time

import pytest

from runstone.domain import aliases, labels
from runstone.domain.context import LOCAL, Context
from runstone.domain.webhooks import Told, addresses, events, hooks, queue, sending
from runstone.domain.webhooks.courier import Courier
from runstone.errors import Invalid, Missing, Unreachable
from runstone.storage.tables import LOG_PAYLOADS
from runstone.testing.receiver import Receiver
from runstone.types import FileEntry

CTX = Context(principal=LOCAL)
ENTRY = FileEntry(path="a", size=1, url="https://example.org/a", etag="1")


class Words:
    """A channel that tells everything as it is."""

    name = "words"
    kinds = frozenset().union(*(told for told, _ in events._TELLERS.values()))

    def tell(self, store, event):
        body = {"kind": event.kind, "version": event.version, **{k: str(v) for k, v in event.detail.items()}}
        return [Told(event.kind, json.dumps(body).encode())]

    def headers(self, delivery, secret, body, now):
        return {"X-Id": delivery, "X-Secret": secret}


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def store(library):
    library.store.private_webhooks = True
    library.create_project("p")
    return library.store


@pytest.fixture
def courier(store):
    made = Courier(store, lambda: [Words()])
    yield made
    made.close()


def subscribe(store, url, *told, place="local", **options):
    return hooks.create(store, CTX, place, channel="words", name="h", url=url, events=told, **options)


def run(courier, until, seconds=20):
    """Lets a courier work until something holds."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "the courier did not get there"
        if not courier.idle():
            courier.work()
        time.sleep(0.01)


def settled(store, hook):
    return all(each.state != "waiting" for each in queue.listed(store, CTX, hook.id))


def test_what_happens_is_told_once_and_in_order(library, store, courier, receiver):
    library.put("p/m", files=[ENTRY])  # before anybody wanted to know
    hook = subscribe(store, receiver.url, "version.created", "alias.set", "label.set", secret="s3cret")
    library.put("p/m", files=[ENTRY], metadata={"a": 1}, aliases=["prod"])
    library.put("p/m", files=[ENTRY], metadata={"a": 1})  # the same version again
    aliases.move(store, CTX, "p/m@v1", "prod")
    labels.label_version(store, CTX, "p/m@v2", {"k": "v"})
    labels.label_version(store, CTX, "p/m@v2", {"k": "v"}, kind="property")
    run(courier, lambda: len(receiver.got) == 4 and settled(store, hook))
    told = [(each["kind"], each["version"]) for each in receiver.bodies()]
    assert told == [("version.created", 2), ("alias.set", 2), ("alias.set", 1), ("label.set", 2)]
    ids = [headers["X-Id"] for headers, _ in receiver.got]
    assert len(set(ids)) == 4 and receiver.got[0][0]["X-Secret"] == "s3cret"
    remembered = queue.listed(store, CTX, hook.id)
    assert [each.id for each in reversed(remembered)] == ids
    assert {(each.state, each.status, each.answer, each.attempts) for each in remembered} == {
        ("delivered", 200, "ok", 1)
    }


def test_a_message_survives_a_restart_and_is_sent_again(library, store, receiver):
    receiver.statuses = [503]
    hook = subscribe(store, receiver.url, "version.created")
    library.put("p/m", files=[ENTRY])
    first = Courier(store, lambda: [Words()])
    run(first, lambda: len(receiver.got) == 1)
    first.close()
    waiting = queue.listed(store, CTX, hook.id)[0]
    assert (waiting.state, waiting.status, waiting.attempts) == ("waiting", 503, 1)
    second = Courier(store, lambda: [Words()])
    run(second, lambda: settled(store, hook))
    second.close()
    assert [headers["X-Id"] for headers, _ in receiver.got] == [waiting.id] * 2
    third = Courier(store, lambda: [Words()])
    third.work()
    third.close()
    assert len(receiver.got) == 2, "what was told is not told again"


@pytest.mark.parametrize(("status", "state"), [(400, "failed"), (302, "failed"), (204, "delivered")])
def test_an_answer_that_will_not_change_ends_it(library, store, courier, receiver, status, state):
    receiver.statuses, receiver.headers = [status], {"Location": receiver.url}
    hook = subscribe(store, receiver.url, "version.created")
    library.put("p/m", files=[ENTRY])
    run(courier, lambda: receiver.got and settled(store, hook))
    assert [each.state for each in queue.listed(store, CTX, hook.id)] == [state]
    assert len(receiver.got) == 1


def test_only_what_lies_in_its_scope_is_told(library, store, courier, receiver):
    library.create_project("q")
    subscribe(store, receiver.url, "collection.created", place="local/p")
    hook = subscribe(store, receiver.url, "collection.created", place="")
    off = subscribe(store, receiver.url, "collection.created", enabled=False)
    library.put("q/other", files=[ENTRY])
    library.put("p/mine", files=[ENTRY])
    run(courier, lambda: len(receiver.got) == 3 and settled(store, hook))
    assert sorted(each["name"] for each in receiver.bodies()) == ["mine", "mine", "other"]
    assert queue.listed(store, CTX, off.id) == []


def test_a_slow_receiver_holds_up_nobody_else(library, store, courier, receiver):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stuck = subscribe(store, f"http://127.0.0.1:{silent.getsockname()[1]}/", "version.created")
        hook = subscribe(store, receiver.url, "version.created")
        for at in range(5):
            library.put("p/m", files=[ENTRY], metadata={"at": at})
        run(courier, lambda: len(receiver.got) == 5 and settled(store, hook))
        assert {each.state for each in queue.listed(store, CTX, stuck.id)} == {"waiting"}


def test_a_request_is_bounded_in_time(store):
    def drip(server):
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
            try:
                while True:
                    peer.sendall(b"X-A: b\r\n")
                    time.sleep(0.05)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(Unreachable, match=r"no answer in 0\.5 s"):
            sending.post(store, url, b"{}", {}, seconds=0.5)
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("https://[64:ff9b::a9fe:a9fe]/", "not a public address"),
        ("https://169.254.169.254/latest", "not a public address"),
        ("https://localhost/", "not a public address"),
        ("https://user:pw@example.org/", "user or password"),
        ("https:///x", "no host"),
        ("https://example.org:99999/", "cannot be read"),
        ("https://exa mple.org/", "ASCII"),
    ],
)
def test_addresses_that_are_not_called(store, url, why):
    store.private_webhooks = False
    with pytest.raises(Invalid, match=why):
        subscribe(store, url, "version.created")


def test_a_name_that_leads_into_the_private_network_is_not_called(store, monkeypatch):
    store.private_webhooks = False
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    with pytest.raises(Invalid, match=r"example.org is 10.1.2.3"):
        addresses.resolve(store, "https://example.org/")


def test_the_secret_is_nowhere_in_the_clear(store):
    hook = subscribe(store, "https://example.org/", secret="a very long secret")
    assert hook.signed and "secret" not in hook.__struct_fields__
    with store.index.read() as view:
        payloads = b"".join(stored.payload for _, stored in view.scan(LOG_PAYLOADS))
        row = hooks.find(store, view, CTX, hook.id)
    assert b"a very long secret" not in payloads + row.secret
    assert hooks.unseal(store, row.secret) == "a very long secret"
    assert not hooks.update(store, CTX, hook.id, secret="").signed


def test_only_who_administers_a_namespace_sees_its_webhooks(people):
    store = people.root.store
    made = hooks.create(store, people.ann.ctx, "lab", channel="words", name="h", url="https://example.org/")
    for other in (people.max, people.ria, people.eve):
        with pytest.raises(Missing, match="no webhook"):
            hooks.get(store, other.ctx, made.id)
        with pytest.raises(Exception, match=r"admin|see"):
            hooks.create(store, other.ctx, "lab", channel="words", name="h", url="https://example.org/")
    hooks.delete(store, people.ann.ctx, made.id)
    assert hooks.list_hooks(store, people.ann.ctx, "lab") == []


def test_what_waits_for_a_webhook_goes_with_it(store, courier):
    hook = subscribe(store, "http://127.0.0.1:1/", "version.created")
    queue.enqueue(store, hook.id, "hello", b"{}")
    hooks.delete(store, CTX, hook.id)
    courier.forget()
    with store.index.read() as view:
        assert queue.due(view, 1 << 60) == ([], 0)


def test_the_oldest_messages_make_room(store, monkeypatch):
    monkeypatch.setattr(queue, "KEPT", 3)
    hook = subscribe(store, "http://127.0.0.1:1/")
    for at in range(5):
        queue.enqueue(store, hook.id, str(at), b"{}")
    assert [each.event for each in queue.listed(store, CTX, hook.id)] == ["4", "3", "2"]
    with store.index.read() as view:
        assert queue.due_to(view, hook.id, 1 << 60).delivery.event == "2"
