"""MongoDB-style filters: what is taken, what it means, how the rest is refused."""

import json
import math

import pytest
from tests.domain.queries import model

from runstone.domain.queries import mongo
from runstone.errors import Invalid, Malformed, TooLarge
from runstone.query import And, Compare, Exists, In, IsNull, Match, Not, Or, Order, Query

X = "config.x"


@pytest.mark.parametrize(
    ("asked", "condition"),
    [
        (None, And(())),
        ({}, And(())),
        ("", And(())),
        ('{"config.x": 1}', Compare(X, "=", 1)),
        ({"config.x": 1}, Compare(X, "=", 1)),
        ({"config.x.value": 1}, Compare(X, "=", 1)),
        ({"config.x.value.y": 1}, Compare("config.x.y", "=", 1)),
        ({"config.x.y.value": 1}, Compare("config.x.y.value", "=", 1)),
        ({"config.value": 1}, Compare("config.value", "=", 1)),
        ({"config.x": None}, IsNull(X)),
        ({"config.x": {"$eq": None}}, IsNull(X)),
        ({"config.x": {"$ne": None}}, Not(IsNull(X))),
        ({"config.x": {"$ne": 1}}, Not(Compare(X, "=", 1))),
        ({"config.x": {"$gt": 1, "$lte": 2}}, And((Compare(X, ">", 1), Compare(X, "<=", 2)))),
        ({"config.x": {"$gt": None}}, Or(())),
        ({"config.x": {"$gte": None}}, IsNull(X)),
        ({"config.x": {"$in": [1, "a"]}}, In(X, (1, "a"))),
        ({"config.x": {"$in": [None]}}, IsNull(X)),
        ({"config.x": {"$nin": [None, 1]}}, Not(Or((IsNull(X), In(X, (1,)))))),
        ({"config.x": {"$exists": True}}, Exists(X)),
        ({"config.x": {"$exists": 0}}, Not(Exists(X))),
        ({"config.x": {"$regex": "a.b", "$options": "mi"}}, Match(X, "regex", "(?im)a.b")),
        ({"config.x": {"$options": "", "$regex": "a"}}, Match(X, "regex", "a")),
        ({"config.x": {"$contains": "a"}}, Match(X, "contains", "a")),
        ({"config.x": {"$not": {"$gt": 1}}}, Not(Compare(X, ">", 1))),
        ({"config.x": {"$not": "^a"}}, Not(Match(X, "regex", "^a"))),
        ({"config.x": {"$or": [{"$lt": 1}, 5]}}, Or((Compare(X, "<", 1), Compare(X, "=", 5)))),
        ({"$not": {"state": "failed"}}, Not(Compare("state", "=", "failed"))),
        (
            {"$nor": [{"state": "a"}, {"state": "b"}]},
            Not(Or((Compare("state", "=", "a"), Compare("state", "=", "b")))),
        ),
        (
            {"$and": [{"state": "a"}], "group": "g"},
            And((Compare("state", "=", "a"), Compare("group", "=", "g"))),
        ),
        ({"summary_metrics.loss": {"$lt": 1}}, Compare("summary.loss", "<", 1)),
        ({"summaryMetrics.a.b": 1}, Compare("summary.a.b", "=", 1)),
        ({"keys_info.keys.loss": {"$exists": True}}, Exists("summary.loss:count")),
        ({"keys_info.keys.loss": {"$ne": None}}, Not(IsNull("summary.loss:count"))),
        ({"name": "abc"}, Compare("id", "=", "abc")),
        ({"displayName": "abc"}, Compare("name", "=", "abc")),
        (
            {"jobType": "train", "sweep": "s"},
            And((Compare("job_type", "=", "train"), Compare("sweep", "=", "s"))),
        ),
        ({"tags": "a"}, Exists("tags.a")),
        ({"tags": {"$ne": "a"}}, Not(Exists("tags.a"))),
        ({"tags": {"$in": ["a", "b c"]}}, Or((Exists("tags.a"), Exists("tags.b c")))),
        ({"tags": {"$in": []}}, Or(())),
        ({"tags": {"$nin": ["a"]}}, Not(Exists("tags.a"))),
        ({"tags": {"$all": ["a", "b"]}}, And((Exists("tags.a"), Exists("tags.b")))),
        ({"tags": {"$all": []}}, Or(())),
        ({"tags": {"$exists": True}}, And(())),
        ({"tags.a": "x"}, Compare("tags.a", "=", "x")),
        ({"createdAt": {"$gt": "1970-01-01T00:00:01Z"}}, Compare("created", ">", 1_000_000)),
        ({"created_at": {"$gt": "1970-01-01T01:00:01.5+01:00"}}, Compare("created", ">", 1_500_000)),
        ({"heartbeat_at": {"$lt": "1970-01-02"}}, Compare("heartbeat", "<", 86_400_000_000)),
        ({"created_at": {"$gt": 1_767_225_600}}, Compare("created", ">", 1_767_225_600_000_000)),
        ({"created_at": {"$gt": 1_767_225_600_123}}, Compare("created", ">", 1_767_225_600_123_000)),
        ({"config.x": 2**70}, Compare(X, "=", float(2**70))),
    ],
)
def test_what_a_filter_means(asked, condition):
    assert mongo.condition(asked) == condition


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "must be an object"),
        (3, "must be an object"),
        ({"$and": []}, r"\$and must be a list of at least one"),
        ({"$or": {"a": 1}}, r"\$or must be a list of at least one filter, not an object of 1"),
        ({"$and": [1]}, "must be an object"),
        ({"$where": "1"}, r"\$where is not known at this place"),
        ({"loss": 1}, "'loss' is not a field of a run; use config.<key>"),
        ({"config": {"x": 1}}, "'config' is not a field"),
        ({"config.": 1}, "is not a field"),
        ({"config.x": {}}, "must hold operators"),
        ({"config.x": {"y": 1}}, r"name a nested value by its path, config\.x\.<key>"),
        ({"config.x": {"$gt": 1, "y": 2}}, "must hold operators"),
        ({"config.x": [1]}, "not a list of 1"),
        ({"config.x": {"$gt": [1]}}, "not a list of 1"),
        ({"config.x": {"$in": 1}}, r"\$in takes a list, not 1"),
        ({"config.x": {"$in": [{}]}}, "not an object of 0"),
        ({"config.x": {"$size": 1}}, r"\$size is for lists"),
        ({"config.x": {"$near": 1}}, r"\$near is not known; use one of"),
        ({"config.x": {"$regex": 1}}, r"\$regex takes text, not 1"),
        ({"config.x": {"$regex": "a", "$options": "x"}}, r"\$options must be of i, m and s"),
        ({"config.x": {"$options": "i"}}, "only beside"),
        ({"config.x": {"$exists": "yes"}}, r"\$exists takes true or false, not 'yes'"),
        ({"tags": 1}, r"tags: \$eq takes text, not 1"),
        ({"tags": ["a"]}, "cannot be asked"),
        ({"tags": {"$regex": "a"}}, "cannot be asked"),
        ({"keys_info.keys.loss": 1}, r"only \$exists can be asked"),
        ({"created_at": {"$gt": "yesterday"}}, "'yesterday' is not a time; write it as"),
        ({"created_at": True}, "a time must be text"),
        ({"created_at": {"$regex": "2026"}, "a": 1}, "'a' is not a field"),
    ],
)
def test_what_cannot_be_asked_is_said(asked, message):
    with pytest.raises(Invalid, match=message):
        mongo.condition(asked)


def test_text_must_be_json():
    with pytest.raises(Malformed, match="not JSON"):
        mongo.condition("{'state': 'x'}")


def test_limits():
    deep = {"state": "x"}
    for _ in range(100):
        deep = {"$and": [deep]}
    with pytest.raises(TooLarge, match="deeper than 64"):
        mongo.condition(deep)
    with pytest.raises(TooLarge, match="deeper than 64"):
        mongo.condition("[" * 100_000)
    deep = {"$gt": 1}
    for _ in range(100):
        deep = {"$not": deep}
    with pytest.raises(TooLarge, match="deeper than 64"):
        mongo.condition({"config.x": deep})
    with pytest.raises(TooLarge, match="more than 1000 conditions"):
        mongo.condition({"$or": [{"state": str(i)} for i in range(1001)]})
    with pytest.raises(TooLarge, match="the most is 100000"):
        mongo.condition({"state": {"$in": ["x"] * 100_001}})
    with pytest.raises(TooLarge, match="characters"):
        mongo.condition(" " * (1 << 21))


@pytest.mark.parametrize(
    ("source", "orders"),
    [
        (None, (Order("created"),)),
        ("", (Order("created"),)),
        ("-created_at", (Order("created", True),)),
        ("createdAt", (Order("created"),)),
        ("+summary_metrics.loss", (Order("summary.loss"),)),
        ("-config.lr.value, heartbeat_at", (Order("config.lr", True), Order("heartbeat"))),
        ("-summary_metrics.a.value", (Order("summary.a.value", True),)),
    ],
)
def test_what_an_order_means(source, orders):
    assert mongo.orders(source) == orders


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("-", "must name a field"),
        ("created_at,", "must name a field"),
        ("loss", "is not a field"),
        ("-tags", "has no order"),
        (",".join(["name"] * 17), "more than 16"),
    ],
)
def test_orders_that_cannot_be(source, message):
    with pytest.raises(Invalid, match=message):
        mongo.orders(source)


def test_missing_means_what_mongodb_means():
    rows = {1: {}, 2: {X: None}, 3: {X: 1}, 4: {X: True}, 5: {X: "1"}, 6: {X: math.nan}, 7: {X: [1]}}

    def found(asked):
        return sorted(model.execute(Query(filter=mongo.condition({X: asked})), rows))

    assert found(None) == [1, 2]
    assert found({"$exists": True}) == [2, 3, 4, 5, 6, 7]
    assert found({"$ne": 1}) == [1, 2, 4, 5, 6, 7]
    assert found({"$nin": [1, None]}) == [4, 5, 6, 7]
    assert found({"$not": {"$gt": 0}}) == [1, 2, 4, 5, 6, 7]
    assert found(math.nan) == [6]
    assert found({"$gte": 1}) == [3]


def test_the_sdk_speaks_it():
    """Filters as the wandb SDK's own operators print them."""
    asked = json.dumps(
        {
            "$and": [
                {"tags": {"$in": ["a"]}},
                {"$or": [{"config.x": {"$gte": 1}}, {"$nor": [{"state": {"$eq": "x"}}]}]},
            ]
        }
    )
    assert mongo.condition(asked) == And(
        (
            Exists("tags.a"),
            Or((Compare(X, ">=", 1), Not(Compare("state", "=", "x")))),
        )
    )
