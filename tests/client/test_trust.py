"""What is relied on: signed plans with an end, several servers, and what becomes of bytes that come damaged."""

import time

import msgspec
import pytest
from hostile import Origin, answer, plan_body, planned

from runstone.client import trust
from runstone.client.fetch import StaleWarning, fetch
from runstone.client.remote import Remote
from runstone.errors import Corrupt, Invalid, Unreachable
from runstone.testing.served import served
from runstone.testing.store_contract import write

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def log_key(remote):
    return remote.log_key()


def test_a_signed_plan_is_taken_under_its_key_only(bring, whole, log_key, remote, tmp_path):
    assert whole(bring(log_key=log_key).path)
    assert whole(bring(log_key=log_key).path)  # by a 304
    with (
        served(tmp_path / "other") as other,
        Remote(other.url) as stranger,
        pytest.raises(Corrupt, match="not signed by"),
    ):
        bring(log_key=stranger.log_key(), cache=tmp_path / "fresh")
    with pytest.raises(Invalid, match="not the key of a log"):
        bring(log_key="nonsense")


def test_who_only_passes_on_can_pass_on_no_other_plan(server, remote, model, log_key, tmp_path):
    """A mirror that answers one name with the plan and the signature of another, or with files of its own."""
    remote.put("demo/model", write(tmp_path / "m", {"a": b"1"}), aliases=["other"])
    real = {}

    def script(target, headers):
        return answer(200, real["body"], X_Runstone_Signed=real["signed"])

    def asked(name):
        path = f"/api/v1/collections/local/demo/model/versions/{name}/plan"
        response = remote._http.request("GET", path, headers={"Accept": "application/msgpack"})
        real["signed"] = response.headers["x-runstone-signed"]
        real["body"] = remote._http.body_of(response)

    with Origin(script) as mirror:
        options = {"url": mirror.url, "cache": tmp_path / "cache", "log_key": log_key, "retries": 0}
        asked("other")
        with pytest.raises(Corrupt, match="signed that local/demo/model@other is"):
            fetch("local/demo/model@prod", **options)
        real["body"] = plan_body(planned("a", b"2"))
        with pytest.raises(Corrupt):
            fetch("local/demo/model@other", **options)
        real["signed"] = ""
        with pytest.raises(Corrupt, match="is not signed"):
            fetch("local/demo/model@other", **options)


@pytest.mark.parametrize("harm", ["swap", "cut", "junk"])
def test_files_that_were_not_signed(remote, log_key, harm):
    path = "/api/v1/collections/local/demo/model/versions/prod/plan"
    response = remote._http.request("GET", path, headers={"Accept": "application/msgpack"})
    signed = response.headers["x-runstone-signed"]
    from runstone.client import plan as plans
    from runstone.client.plans import Goods

    goods = Goods.of("", plans.read(remote._http.body_of(response)), signed)
    name = "local/demo/model@prod"
    assert trust.verify(signed, log_key, name, goods.plan, goods.roots).name == name
    if harm == "swap":
        goods = msgspec.structs.replace(goods, roots=goods.roots[::-1])
    signed = {"swap": signed, "cut": signed[:-8], "junk": "AAAA"}[harm]
    with pytest.raises(Corrupt):
        trust.verify(signed, log_key, name, goods.plan, goods.roots)


def test_the_last_good_version_is_relied_on_within_its_grace(tmp_path):
    with served(tmp_path / "data") as server, Remote(server.url, cache=tmp_path / "put") as remote:
        remote.put("demo/model", write(tmp_path / "m", {"a": b"1"}), aliases=["prod"])
        key = remote.log_key()
        options = {"url": server.url, "cache": tmp_path / "cache", "retries": 0, "log_key": key}
        fetch("local/demo/model@prod", **options)
    with pytest.warns(StaleWarning):
        assert fetch("local/demo/model@prod", **options).stale


def test_no_version_is_relied_on_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNSTONE_PLAN_GRACE_SECONDS", "1")
    with served(tmp_path / "data") as server, Remote(server.url, cache=tmp_path / "put") as remote:
        remote.put("demo/model", write(tmp_path / "m", {"a": b"1"}), aliases=["prod"])
        options = {"url": server.url, "cache": tmp_path / "cache", "retries": 0}
        fetch("local/demo/model@prod", **options)
        ends = time.time() + 2
    while time.time() < ends:
        time.sleep(0.05)
    with pytest.raises(Unreachable, match="could be relied on until"):
        fetch("local/demo/model@prod", **options)


def test_servers_are_tried_in_order(bring, relay, server, whole, tmp_path):
    found = bring(url=[NOBODY, relay.url], cache=tmp_path / "one", retries=0)
    assert whole(found.path) and relay.body > 0
    found = bring(url=f"{NOBODY}, {server.url}", cache=tmp_path / "two", retries=0)
    assert whole(found.path) and not found.stale
    relay.refuse = True
    relay.hang_up()
    with pytest.warns(StaleWarning):
        assert bring(url=[NOBODY, relay.url], cache=tmp_path / "one", retries=0).stale


def test_a_server_that_is_lost_amid_a_fetch_is_replaced(bring, relay, server, whole):
    relay.cut_after = 2 << 20
    relay.refuse_when_cut = True

    def lose(done, total):
        if relay.body > 1 << 20:
            relay.refuse = True
            relay.hang_up()

    found = bring(url=[relay.url, server.url], progress=lose, retries=1)
    assert whole(found.path) and not found.stale


def test_damage_that_one_server_sends_is_brought_from_another(bring, relay, server, whole):
    relay.flip = [5_000_000, 1000]
    found = bring(url=[relay.url, server.url])
    assert whole(found.path) and relay.flipped >= 4


def test_a_server_is_told_of_damage_and_looks_itself(bring, relay, remote, whole):
    relay.flip = [3_000_000, 1]
    assert whole(bring().path)
    assert sum("POST" in asked and asked.endswith("/damage") for asked in relay.requests) == 1
    assert remote.version("local/demo/model@prod").state == "live"


def test_rot_that_a_client_finds_is_withdrawn(tmp_path):
    """Bytes that the server checked, and that rotted after: it hears it from the client, and serves them no more."""
    data = tmp_path / "data"
    with served(data) as server, Remote(server.url, cache=tmp_path / "put") as remote:
        remote.put("demo/model", write(tmp_path / "m", {"a": b"x" * 3_000_000}), aliases=["prod"])
        remote.open_file("local/demo/model@prod", "a").read(0, 10)
        (pack,) = data.glob("packs/??/*.pack")
        told = {"path": "a", "start": 0, "stop": 1_000_000}
        path = "/api/v1/collections/local/demo/model/versions/1/damage"
        assert remote._http.call("POST", path, dict, value=told) == {"whole": True}
        with pack.open("r+b") as file:
            file.seek(pack.read_bytes().index(b"x" * 4096) + 500)
            file.write(b"rot")
        assert remote._http.call("POST", path, dict, value=told) == {"whole": False}
        assert remote.version("local/demo/model@v1").state == "quarantined"
        with pytest.raises(Invalid, match="no part of"):
            remote.put("demo/other", write(tmp_path / "o", {"a": b"y"}))
            remote._http.call("POST", path.replace("model", "other"), dict, value=told)
