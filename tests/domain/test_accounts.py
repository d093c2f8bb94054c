import time

import pytest

from runstone.domain import keys
from runstone.errors import Conflict, Denied, Exists, Invalid, Missing, Unauthenticated
from runstone.types import FileEntry

FILE = [FileEntry(path="a", size=1, url="s3://b/k", etag="e")]


def test_a_new_store_has_its_owner(library):
    assert (library.whoami().name, library.whoami().admin) == ("local", True)
    assert [n.name for n in library.namespaces()] == ["local"]


def test_roles(people):
    people.max.create_project("lab/p")
    people.max.put("lab/p/m", files=FILE, aliases=["prod"])
    assert people.ria.resolve("lab/p/m@prod").version == 1
    with pytest.raises(Denied):
        people.ria.set_alias("lab/p/m@v1", "x")
    with pytest.raises(Denied):
        people.ria.create_project("lab/q")
    with pytest.raises(Denied):
        people.max.set_member("lab", "eve", "reader")
    with pytest.raises(Denied):
        people.max.update_project("lab/p", visibility="public")
    for call in (
        lambda: people.eve.resolve("lab/p/m@prod"),
        lambda: people.eve.project("lab/p"),
        lambda: people.eve.projects("lab"),
        lambda: people.eve.put("lab/p/m", files=FILE),
        lambda: people.nobody.resolve("lab/p/m@prod"),
        lambda: people.eve.members("lab"),
    ):
        with pytest.raises(Missing):
            call()
    people.ann.update_project("lab/p", visibility="public")
    assert people.eve.resolve("lab/p/m@prod").version == 1
    assert [p.name for p in people.eve.projects("lab")] == ["p"]
    with pytest.raises(Denied):
        people.eve.put("lab/p/m", files=FILE)


def test_the_anonymous_principal_is_nobody(people):
    for call in (people.nobody.users, people.nobody.log_key, people.nobody.checkpoint):
        with pytest.raises(Unauthenticated):
            call()
    with pytest.raises(Missing):
        people.nobody.create_project("local/x")
    with pytest.raises(Unauthenticated):
        people.nobody.create_namespace("mine")


def test_administration_takes_an_administrator(people):
    for call in (
        lambda: people.ann.create_user("x"),
        lambda: people.ann.update_user("eve", admin=True),
        lambda: people.ann.log(),
        lambda: people.ann.gc(),
        lambda: people.ann.scrub(),
        lambda: people.ann.verify(),
        lambda: people.ann.keys("max"),
        lambda: people.ann.create_key("max", "k"),
    ):
        with pytest.raises(Denied):
            call()


def test_a_namespace_keeps_an_owner(people):
    with pytest.raises(Conflict, match="last owner"):
        people.ann.remove_member("lab", "ann")
    with pytest.raises(Conflict, match="last owner"):
        people.ann.set_member("lab", "ann", "reader")
    people.ann.set_member("lab", "max", "owner")
    people.max.remove_member("lab", "ann")
    assert [m.user for m in people.max.members("lab")] == ["max", "ria"]
    with pytest.raises(Missing):
        people.ann.members("lab")


def test_names_are_taken_once(people):
    for call in (
        lambda: people.root.create_user("ann"),
        lambda: people.root.create_user("lab"),
        lambda: people.ann.create_namespace("eve"),
    ):
        with pytest.raises(Exists):
            call()
    for name in ("", "a b", "a/b", "-a", "x" * 200, "a..b", "a.git", "ü"):
        with pytest.raises(Invalid):
            people.root.create_user(name)


def test_a_key_stands_for_its_user_until_it_is_revoked(people):
    made = people.ann.create_key("ann", "laptop")
    assert keys.SHAPE.match(made.key) and made.info.hint == made.key[-4:]
    assert keys.authenticate(people.root.store, made.key).name == "ann"
    assert [k.name for k in people.ann.keys("ann")] == ["laptop"]
    people.ann.revoke_key(made.info.id)
    with pytest.raises(Unauthenticated):
        keys.authenticate(people.root.store, made.key)
    assert people.ann.keys("ann")[0].revoked


def test_a_key_is_nowhere_in_the_store(people):
    made = people.root.create_key("ann", "k")
    people.root.close()
    for path in people.root.store.path.rglob("*"):
        if path.is_file():
            assert made.key.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "key", ["", "hf_", "hf_" + "a" * 33, "xx_" + "a" * 48, "hf_" + "a" * 48, "hf_" + "-" * 48]
)
def test_forged_keys_are_refused(people, key):
    with pytest.raises(Unauthenticated):
        keys.authenticate(people.root.store, key)


def test_expired_keys_and_disabled_users_are_refused(people):
    store, now = people.root.store, time.time_ns() // 1000
    expired = people.root.create_key("ann", "k", expires=now - 1)
    with pytest.raises(Unauthenticated, match="expired"):
        keys.authenticate(store, expired.key)
    valid = people.root.create_key("ann", "k", expires=now + 10**9)
    assert keys.authenticate(store, valid.key).name == "ann"
    people.root.update_user("ann", disabled=True)
    with pytest.raises(Unauthenticated, match="disabled"):
        keys.authenticate(store, valid.key)


def test_a_key_may_be_capped_at_a_role(people):
    from runstone.domain.context import Context
    from runstone.library import Library

    people.ann.create_project("lab/p")
    capped = people.ann.create_key("ann", "ci", role="reader")
    reader = Library(people.root.store, Context(principal=keys.authenticate(people.root.store, capped.key)))
    assert reader.project("lab/p").name == "p"
    with pytest.raises(Denied):
        reader.create_project("lab/q")
    with pytest.raises(Denied):
        reader.create_key("ann", "more")


def test_only_admins_and_the_user_itself_see_an_address(people):
    people.root.update_user("ann", email="ann@example.org")
    assert people.ann.user("ann").email == people.root.user("ann").email == "ann@example.org"
    assert people.eve.user("ann").email == ""


def test_namespaces_of_different_regions_share_no_bytes(people, folder):
    people.ann.create_namespace("eu", region="eu-west")
    people.ann.create_namespace("eu2", region="eu-west")
    people.ann.create_namespace("us", region="us-east")
    used = []
    for namespace in ("eu", "eu2", "us"):
        people.ann.put(f"{namespace}/p/m", folder)
        used.append(sum(p.stat().st_blocks * 512 for p in people.root.store.path.rglob("*.pack")))
    assert used[1] == used[0] and used[2] > 1.9 * used[0]


def test_a_collection_does_not_move_to_another_region(people, folder):
    people.ann.create_namespace("eu", region="eu-west")
    people.ann.create_namespace("eu2", region="eu-west")
    people.ann.put("eu/p/m", folder)
    people.ann.create_project("lab/p")
    people.ann.create_project("eu2/p")
    with pytest.raises(Conflict, match="region"):
        people.ann.update_collection("eu/p/m", project="lab/p")
    assert people.ann.update_collection("eu/p/m", project="eu2/p").path == "eu2/p/m"
