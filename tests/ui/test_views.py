"""Saved views: stored, opened, shared by their address, forked; who saves too late is asked what to do."""

import pytest
from playwright.sync_api import expect

import runstone

HOSTILE = "<script>alert(1)</script> 😀"


@pytest.fixture
def project(server, store):
    for number in range(4):
        with store.run("vision", f"r{number}", config={"depth": number}, system=0) as run:
            for step in range(5):
                run.log({"loss": 1 / (step + 1)}, step=step)
    return f"{server.url}/local/vision"


def menu(page, item):
    page.get_by_role("button", name="Saved views").click()
    page.locator(".pop").get_by_role("button", name=item, exact=True).click()


def save_as(page, title, private=False, item="Save as…"):
    menu(page, item)
    page.get_by_label("What it is called").fill(title)
    page.get_by_label("Private: for me alone").set_checked(private)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Saved views")).to_contain_text(title)


def test_a_view_is_saved_changed_and_opened_elsewhere(watched, project, store, accessible):
    page = watched.page()
    page.goto(f"{project}?filter=config.depth+%3E+1")
    expect(page.get_by_text("2 runs", exact=True).first).to_be_visible()
    save_as(page, HOSTILE)
    found = store.documents("vision", kind="view")[0]
    assert (found.title, found.private, found.revision) == (HOSTILE, False, 1)
    accessible(page)
    page.get_by_label("Find panels").fill("los")
    expect(page.get_by_title("It was changed since it was saved")).to_be_visible()
    menu(page, "Save")
    expect(page.get_by_title("It was changed since it was saved")).to_have_count(0)
    spec = store.document("vision", "view", found.name).spec
    assert spec == {"search": "?filter=config.depth+%3E+1&panels=los"}
    other = watched.page()
    other.goto(f"{project}?saved={found.name}")
    expect(other.get_by_text("2 runs", exact=True).first).to_be_visible()
    expect(other.get_by_label("Find panels")).to_have_value("los")
    other.keyboard.press("Control+z")
    expect(other.get_by_text("4 runs", exact=True).first).to_be_visible()


def test_views_are_there_where_the_table_is_alone(page, project, store):
    page.goto(f"{project}/table?filter=config.depth+%3E+1")
    expect(page.get_by_text("2 runs", exact=True).first).to_be_visible()
    save_as(page, "Deep ones")
    (found,) = store.documents("vision", kind="view")
    page.goto(f"{project}/table?saved={found.name}")
    expect(page.get_by_text("2 runs", exact=True).first).to_be_visible()
    expect(page.get_by_role("button", name="Saved views")).to_contain_text("Deep ones")
    page.goto(project)
    expect(page.get_by_role("button", name="Saved views")).to_have_count(1)
    page.get_by_role("button", name="Table only").click()
    expect(page.get_by_role("button", name="Saved views")).to_have_count(1)


def test_forks_defaults_and_deletion(watched, project, store, accessible):
    page = watched.page()
    page.goto(f"{project}?filter=config.depth+%3E+1")
    save_as(page, "Deep")
    save_as(page, "Mine", private=True, item="Fork: save as another…")
    page.get_by_role("button", name="Saved views").click()
    expect(page.locator(".pop .item").filter(has_text="Mine")).to_contain_text("private")
    expect(page.get_by_role("button", name="Default of the project")).to_have_count(0)
    accessible(page)
    page.locator(".pop").get_by_role("button", name="Deep").click()
    expect(page.get_by_role("button", name="Saved views")).to_contain_text("Deep")
    menu(page, "Default of the project")
    expect(page.get_by_text("The project opens with this view")).to_be_visible()
    other = watched.page()
    other.goto(project)
    expect(other.get_by_text("2 runs", exact=True).first).to_be_visible()
    menu(other, "Delete the view")
    expect(other.get_by_role("button", name="Saved views")).to_have_text("Views")
    other.get_by_role("button", name="Undo").click()
    other.get_by_role("button", name="Saved views").click()
    expect(other.locator(".pop").get_by_role("button", name="Deep")).to_be_visible()
    assert {each.title for each in store.documents("vision", kind="view")} == {"Deep", "Mine"}


def test_who_saves_too_late_is_asked(watched, server, project, store):
    watched.expected = ["409"]
    page = watched.page()
    page.goto(project)
    save_as(page, "Ours")
    name = store.documents("vision", kind="view")[0].name
    with runstone.connect(server.url) as colleague:
        colleague.update_document("vision", "view", name, spec={"search": "?filter=config.depth+%3D+3"})
    page.get_by_label("Find panels").fill("loss")
    menu(page, "Save")
    dialog = page.get_by_role("dialog", name="It was changed meanwhile")
    expect(dialog).to_contain_text("revision 2")
    dialog.get_by_role("button", name="Open theirs").click()
    expect(page.get_by_text("1 run", exact=True).first).to_be_visible()
    with runstone.connect(server.url) as colleague:
        colleague.update_document("vision", "view", name, spec={"search": ""})
    page.get_by_label("Find panels").fill("lo")
    menu(page, "Save")
    dialog.get_by_role("button", name="Overwrite theirs").click()
    expect(page.get_by_title("It was changed since it was saved")).to_have_count(0)
    stored = store.document("vision", "view", name)
    assert (stored.spec, stored.revision) == ({"search": "?filter=config.depth+%3D+3&panels=lo"}, 4)
