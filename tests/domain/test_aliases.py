import threading
from itertools import pairwise

import pytest

from runstone.errors import AliasMoved, Invalid, Missing, Quarantined
from runstone.types import FileEntry


@pytest.fixture
def three(library):
    for n in range(3):
        library.put("demo/m", files=[FileEntry(path=f"f{n}", size=1, url="s3://b/k", etag="e")])
    return library


def test_an_alias_moves_by_compare_and_set(three):
    assert three.set_alias("demo/m@v1", "prod", expected=0).version == 1
    assert three.set_alias("demo/m@v2", "prod", expected=1, reason="better").version == 2
    with pytest.raises(AliasMoved) as caught:
        three.set_alias("demo/m@v3", "prod", expected=1)
    assert caught.value.details == {"current": 2, "expected": 1}
    assert three.set_alias("demo/m@prod", "stage").version == 2
    assert three.set_alias("demo/m@v3", "prod").version == 3
    assert [alias.alias for alias in three.aliases("demo/m")] == ["prod", "stage"]
    assert three.version("demo/m@v3").aliases == ("prod",)
    assert three.version("demo/m@v2").aliases == ("stage",)


def test_the_whole_history_is_kept_and_readable_as_of_then(three):
    for number, reason in ((1, "first"), (2, ""), (1, "rollback")):
        three.set_alias(f"demo/m@v{number}", "prod", reason=reason)
    three.delete_alias("demo/m", "prod", expected=1)
    three.set_alias("demo/m@v3", "prod")
    steps = three.alias_history("demo/m", "prod")
    assert [(s.previous, s.version) for s in steps] == [(0, 1), (1, 2), (2, 1), (1, 0), (0, 3)]
    assert [s.reason for s in steps[:3]] == ["first", "", "rollback"]
    assert three.alias_history("demo/m", "prod", after=steps[2].seq) == steps[3:]
    for step in steps:
        assert three.alias_at("demo/m", "prod", seq=step.seq) == step.version
    assert three.alias_at("demo/m", "prod", seq=steps[0].seq - 1) == 0
    assert three.alias_at("demo/m", "prod", time=steps[-1].time) == 3
    assert three.alias_at("demo/m", "prod", time=0) == 0
    with pytest.raises(Invalid):
        three.alias_at("demo/m", "prod")


def test_bad_alias_requests_change_nothing(three):
    before = three.store.log.head()
    for alias in ("v3", "3", "", "a\0b", "x" * 200, "../up", " a", "a//b"):
        with pytest.raises(Invalid):
            three.set_alias("demo/m@v1", alias)
    with pytest.raises(Invalid, match="which version"):
        three.set_alias("demo/m", "prod")
    with pytest.raises(Missing):
        three.set_alias("demo/m@v9", "prod")
    with pytest.raises(Missing):
        three.delete_alias("demo/m", "prod")
    with pytest.raises(Missing):
        three.alias_history("demo/m", "prod")
    assert three.store.log.head() == before


def test_of_a_hundred_concurrent_movers_one_wins_each_time(three):
    three.set_alias("demo/m@v1", "prod")
    wins, losses = [], []

    def move(n, now):
        try:
            three.set_alias(f"demo/m@v{1 + n % 3}", "prod", expected=now)
            wins.append(n)
        except AliasMoved:
            losses.append(n)

    for _ in range(3):
        now = three.alias("demo/m", "prod").version
        target = [n for n in range(300) if 1 + n % 3 != now][:100]
        threads = [threading.Thread(target=move, args=(n, now)) for n in target]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(wins) == 3 and len(losses) == 297
    steps = three.alias_history("demo/m", "prod")
    assert all(a.version == b.previous for a, b in pairwise(steps))


def test_an_alias_does_not_move_to_a_quarantined_version(three):
    from runstone.domain.versions import QuarantineVersion

    collection = three.collection("demo/m").id
    three.store.log.submit(QuarantineVersion(actor="t", collection=collection, number=2, why="bits"))
    with pytest.raises(Quarantined):
        three.set_alias("demo/m@v2", "prod")
