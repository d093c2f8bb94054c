"""The pages of keys, users and teams."""

from playwright.sync_api import expect

import runstone
from runstone.domain import keys
from runstone.domain.context import LOCAL, Context


def signed_in(watched, server, key):
    page = watched.page()
    page.goto(f"{server.url}/-/keys")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="API keys")).to_be_visible()
    return page


def test_a_key_is_made_shown_once_used_and_ended(watched, start, accessible):
    server = start(auth="on")
    watched.expected = ["401"]
    page = signed_in(
        watched, server, keys.create(server.store, Context(principal=LOCAL), "local", "first").key
    )
    page.get_by_role("button", name="New key").click()
    page.get_by_label("What it is for").fill("laptop")
    page.get_by_label("What it may do").select_option("reader")
    accessible(page)
    page.get_by_role("button", name="Make the key").click()
    made = page.locator(".snippet pre").inner_text()
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("row", name="laptop")).to_contain_text("act as a reader")
    assert made not in page.content()
    with runstone.connect(server.url, key=made) as store:
        assert store.whoami().name == "local"
    page.get_by_role("button", name="End laptop").click()
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_role("row", name="laptop")).to_contain_text("ended")
    accessible(page)
    page.get_by_role("button", name="End first").click()
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_users_are_made_and_shut_out(page, server, store, accessible):
    page.goto(f"{server.url}/-/users")
    page.get_by_role("button", name="New user").click()
    page.get_by_label("Name", exact=True).fill("ann")
    page.get_by_label("Full name").fill("Ann <i>Lee</i>")
    page.get_by_role("button", name="Make the user").click()
    expect(page.get_by_role("row", name="ann")).to_contain_text("Ann <i>Lee</i>")
    page.get_by_role("button", name="What to do with ann").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("row", name="ann")).to_contain_text("disabled")
    assert store.user("ann").disabled
    accessible(page)


def test_teams_and_who_belongs_to_them(page, server, store, accessible):
    store.create_user("ann")
    page.goto(f"{server.url}/-/teams")
    page.get_by_role("button", name="New team").click()
    page.get_by_label("Name", exact=True).fill("lab")
    page.get_by_role("button", name="Make it").click()
    members = page.locator("section[aria-label='Members of lab']")
    members.get_by_label("User to add").fill("ann")
    page.keyboard.press("Enter")
    expect(members.get_by_label("Role of ann")).to_have_value("member")
    members.get_by_label("Role of ann").select_option("owner")
    expect(members.get_by_label("Role of ann")).to_have_value("owner")
    page.reload()
    expect(members.get_by_label("Role of ann")).to_have_value("owner")
    accessible(page)
    members.get_by_role("button", name="Remove ann").click()
    expect(members.get_by_label("Role of ann")).to_have_count(0)
    assert "ann" not in {member.user for member in store.members("lab")}
