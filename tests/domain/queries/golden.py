"""The golden set: questions about one dataset, each in every language that can ask it. All must find the same rows in the same order.

``QUESTIONS`` name for each language what is asked, or under ``without`` why it cannot be. SQL stands behind ``SELECT row FROM runs``.
"""

import math
import random
from typing import Any, NamedTuple

from runstone.domain.queries import mlflow, mongo, text
from runstone.query import And, Compare, Exists, Ids, In, IsNull, Match, Not, Or, Order, Query

BASE = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z in microseconds
MINUTE = 60_000_000
LANGUAGES = ("mlflow", "mongo", "text", "sql")


def dataset() -> dict[int, dict[str, Any]]:
    """200 rows by id: mixed types, missing, null, NaN, infinities, scripts, labels. The greater the id the later it was created."""
    pick = random.Random(20260101)
    found = {}
    for i in range(1, 201):
        state = ("finished", "running", "failed", "crashed", "killed", "finished")[i % 6]
        row: dict[str, Any] = {
            "id": f"{i * 2654435761 % 2**32:08x}",
            "name": ("resnet-18", "ResNet-50", "vit_b16", "实验", "Ünïcode run")[i % 5] + f"-{i}",
            "state": state,
            "created": BASE + i * MINUTE + i * 137 % 1000,
            "config.model.size": pick.choice((7, 13, 70)),
        }
        if state != "running":
            row["ended"] = row["created"] + pick.randrange(1, 500) * MINUTE
        if i % 9:
            row["user"] = ("ann", "bob", "cem", None)[i % 4]
        if i % 3:
            row["group"] = ("ablation", "sweep-7")[i % 2]
        if i % 4:
            row["notes"] = ("baseline ✓ run", "50%_off", "two\nlines", "", "see run-12")[i % 5]
        if i % 7:
            row["config.lr"] = None if i % 11 == 0 else pick.choice((1e-4, 0.001, 0.01, 0.1, 1, 1.0))
        if i % 5:
            row["config.opt"] = None if i % 13 == 0 else pick.choice(("adam", "sgd", "AdamW", "lion"))
        row["config.depth"] = "18" if i % 10 == 0 else True if i % 13 == 0 else pick.choice((18, 34, 50))
        if i % 2:
            row["config.flag"] = i % 4 == 1
        if i % 5 == 2:
            row["config.layers"] = [1, 2]
        if i % 3 == 1:
            row["config.data/set name"] = ("coco", "image net")[i % 2]
            row["config.größe"] = ("klein", "groß")[i % 4 // 2]
        row |= _summary(i, pick)
        if i % 6 == 0:
            row["tags.baseline"] = ""
        if i % 4 != 3:
            row["tags.stage"] = ("prod", "dev", "Prod")[i % 3]
        if i % 17 == 0:
            row["tags.ünï"] = "ja"
        found[i] = row
    return found


def _summary(i: int, pick: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {"summary.epoch": i % 12}
    if i % 8:
        loss: float | None = round(pick.uniform(0, 2), 2)
        row["summary.loss:min"] = loss / 2
        if i % 17 == 3:
            loss = math.nan
        elif i % 29 == 5:
            loss = math.inf
        elif i % 31 == 7:
            loss = -math.inf
        elif i % 23 == 1:
            loss = None
        row["summary.loss"] = loss
    if i % 3:
        row["summary.acc"] = pick.choice((0, 1, 0.5, 0.75, -0.0))
    if i % 4 == 1:
        row["summary.label"] = ("cat", 3, "dog", True)[i // 4 % 4]
    return row


class Question(NamedTuple):
    """One question. A language is a filter, or a filter and an order."""

    name: str
    filter: Any
    order: tuple[Order, ...] = ()
    mlflow: Any = None
    mongo: Any = None
    text: Any = None
    sql: str | None = None
    without: dict[str, str] = {}  # noqa: RUF012 - never changed

    def queries(self):
        """The question as a tree, by the language it was asked in; SQL is not compiled to one."""
        yield "tree", Query(filter=self.filter, order=self.order, limit=1000)
        if self.mlflow is not None:
            asked, order = _parts(self.mlflow)
            yield "mlflow", Query(filter=mlflow.condition(asked), order=mlflow.orders(order), limit=1000)
        if self.mongo is not None:
            asked, order = _parts(self.mongo)
            yield (
                "mongo",
                Query(filter=mongo.condition(asked), order=mongo.orders(order or "-created_at"), limit=1000),
            )
        if self.text is not None:
            asked, order = _parts(self.text)
            yield "text", Query(filter=text.condition(asked), order=text.orders(order or ""), limit=1000)


def _parts(asked):
    return asked if isinstance(asked, tuple) else (asked, None)


NO_OR = {"mlflow": "has no OR"}
TYPES = {"mlflow": "metrics are numbers, parameters are text"}
TYPED = {"sql": "a column has one type; values of several are text there"}
NULLS = {"sql": "a column does not tell null from missing"}
NAMES = {"mlflow": "has no such attribute"}

Q = Question
QUESTIONS = [
    Q("everything", And(()), (), "", {}, "", ""),
    Q("metric below", Compare("summary.loss", "<", 0.5), (), "metrics.loss < 0.5", {"summary_metrics.loss": {"$lt": 0.5}},
      "summary.loss < 0.5", 'WHERE "summary.loss" < 0.5'),
    Q("metric above leaves NaN out", Compare("summary.loss", ">", 1.5), (), "metrics.loss > 1.5", {"summary_metrics.loss": {"$gt": 1.5}},
      "summary.loss > 1.5", 'WHERE "summary.loss" > 1.5 AND NOT isnan("summary.loss")'),
    Q("metric at least, at most", And((Compare("summary.loss", ">=", 0.5), Compare("summary.loss", "<=", 1))), (),
      "metrics.loss >= 0.5 and metrics.loss <= 1", {"summary_metrics.loss": {"$gte": 0.5, "$lte": 1}},
      "summary.loss >= .5 and summary.loss <= 1", 'WHERE "summary.loss" BETWEEN 0.5 AND 1'),
    Q("metric equal, zero has no sign", Compare("summary.acc", "=", 0), (), "metrics.acc = 0", {"summary_metrics.acc": 0},
      "summary.acc = 0", 'WHERE "summary.acc" = 0'),
    Q("metric unequal finds NaN, not the missing", Compare("summary.loss", "!=", 0.5), (), "metrics.loss != 0.5",
      {"summary_metrics.loss": {"$ne": 0.5, "$exists": True}, "$nor": [{"summary_metrics.loss": None}]},
      "summary.loss != 0.5", 'WHERE "summary.loss" <> 0.5'),
    Q("metric unequal or missing", Not(Compare("summary.loss", "=", 0.5)), (), None, {"summary_metrics.loss": {"$ne": 0.5}},
      "not summary.loss = 0.5", 'WHERE "summary.loss" IS DISTINCT FROM 0.5', NO_OR),
    Q("metric is NaN", Compare("summary.loss", "=", math.nan), (), None, {"summary_metrics.loss": math.nan},
      "summary.loss = nan", 'WHERE isnan("summary.loss")', {"mlflow": "cannot write NaN"}),
    Q("metric is infinite", In("summary.loss", (math.inf, -math.inf)), (), None, {"summary_metrics.loss": {"$in": [math.inf, -math.inf]}},
      "summary.loss in (inf, -inf)", 'WHERE isinf("summary.loss")', {"mlflow": "cannot write infinity"}),
    Q("metric below everything finite", Compare("summary.loss", "<", -1e300), (), "metrics.loss < -1e300",
      {"summary_metrics.loss": {"$lt": -1e300}}, "summary.loss < -1e300", 'WHERE "summary.loss" < -1e300'),
    Q("metric missing or null", IsNull("summary.loss"), (), None, {"summary_metrics.loss": None}, "summary.loss is null",
      'WHERE "summary.loss" IS NULL', {"mlflow": "IS NULL is for parameters and tags"}),
    Q("metric exists, be it null", Exists("summary.loss"), (), None, {"summary_metrics.loss": {"$exists": True}}, "summary.loss exists",
      None, {"mlflow": "IS NULL is for parameters and tags", **NULLS}),
    Q("config null but not missing", And((Exists("config.lr"), IsNull("config.lr"))), (), None,
      {"config.lr": {"$exists": True, "$eq": None}}, "config.lr exists and config.lr is null", None,
      {"mlflow": "a parameter is never null", **NULLS}),
    Q("statistic of a metric", Compare("summary.loss:min", "<", 0.1), (), None, None, "summary.loss:min < 0.1",
      'WHERE "summary.loss:min" < 0.1', {"mlflow": "knows the latest value only", "mongo": "knows the latest value only"}),
    Q("number in the config", Compare("config.lr", "<", 0.01), (), None, {"config.lr": {"$lt": 0.01}}, "config.lr < 0.01",
      'WHERE "config.lr" < 0.01', TYPES),
    Q("number in wandb's spelling", Compare("config.lr", "=", 1), (), None, {"config.lr.value": 1.0}, "config.lr = 1.0",
      'WHERE "config.lr" = 1', TYPES),
    Q("number by its text", Compare("config.lr", "=", "0.001", True), (), "params.lr = '0.001'", None, 'text(config.lr) = "0.001"',
      None, {"mongo": "compares values of one type", "sql": "prints numbers its own way"}),
    Q("nested key", Compare("config.model.size", "=", 70), (), None, {"config.model.value.size": 70}, "config.model.size = 70",
      'WHERE "config.model.size" = 70', TYPES),
    Q("nested key by its text", Compare("config.model.size", "=", "70", True), (), "params.model.size = '70'", None,
      'text(config.model.size) = "70"', 'WHERE CAST("config.model.size" AS VARCHAR) = \'70\'', {"mongo": "compares values of one type"}),
    Q("text in the config", Compare("config.opt", "=", "adam"), (), "params.opt = 'adam'", {"config.opt": "adam"},
      'config.opt = "adam"', "WHERE \"config.opt\" = 'adam'"),
    Q("text unequal", Compare("config.opt", "!=", "adam"), (), 'param.opt != "adam"',
      {"$and": [{"config.opt": {"$ne": "adam"}}, {"config.opt": {"$not": {"$eq": None}}}]}, "config.opt != 'adam'",
      "WHERE \"config.opt\" <> 'adam'"),
    Q("text among", In("config.opt", ("adam", "sgd")), (), None, {"config.opt": {"$in": ["adam", "sgd"]}},
      'config.opt in ("adam", "sgd")', "WHERE \"config.opt\" IN ('adam', 'sgd')", {"mlflow": "lists are for run_id"}),
    Q("text not among, or missing", Not(In("config.opt", ("adam", "sgd"))), (), None, {"config.opt": {"$nin": ["adam", "sgd"]}},
      'config.opt not in ("adam", "sgd")', "WHERE \"config.opt\" NOT IN ('adam', 'sgd') OR \"config.opt\" IS NULL", NO_OR),
    Q("null among", Or((IsNull("config.opt"), In("config.opt", ("lion",)))), (), None, {"config.opt": {"$in": [None, "lion"]}},
      'config.opt is null or config.opt in ("lion")', "WHERE \"config.opt\" IS NULL OR \"config.opt\" = 'lion'", NO_OR),
    Q("like tells case", Match("config.opt", "like", "adam%"), (), "params.opt LIKE 'adam%'", {"config.opt": {"$regex": "^adam"}},
      'config.opt like "adam%"', "WHERE \"config.opt\" LIKE 'adam%'"),
    Q("ilike does not", Match("config.opt", "ilike", "ADAM_"), (), "params.opt ILIKE 'ADAM_'",
      {"config.opt": {"$regex": "^adam.$", "$options": "i"}}, 'config.opt ilike "ADAM_"', "WHERE \"config.opt\" ILIKE 'ADAM_'"),
    Q("not like", And((Not(IsNull("config.opt")), Not(Match("config.opt", "like", "%a%")))), (), None,
      {"config.opt": {"$ne": None, "$not": {"$contains": "a"}}}, 'config.opt is not null and config.opt not like "%a%"',
      "WHERE \"config.opt\" NOT LIKE '%a%'", {"mlflow": "has no NOT LIKE"}),
    Q("parameter is not there", IsNull("config.opt"), (), "params.opt IS NULL", {"config.opt": None}, "config.opt is null",
      'WHERE "config.opt" IS NULL'),
    Q("parameter is there", Not(IsNull("config.opt")), (), "params.opt is not null", {"config.opt": {"$ne": None}},
      "config.opt is not null", 'WHERE "config.opt" IS NOT NULL'),
    Q("whole number among mixed types", Compare("config.depth", "=", 18), (), None, {"config.depth": 18}, "config.depth = 18", None,
      TYPES | TYPED),
    Q("text among mixed types", Compare("config.depth", "=", "18"), (), None, {"config.depth": "18"}, "config.depth = '18'", None,
      TYPES | TYPED),
    Q("mixed types by their text", Compare("config.depth", "=", "18", True), (), "params.depth = '18'",
      {"$or": [{"config.depth": 18}, {"config.depth": "18"}]}, "text(config.depth) = '18'", "WHERE \"config.depth\" = '18'"),
    Q("true is not one", Compare("config.depth", "=", True), (), None, {"config.depth": True}, "config.depth = true", None,
      TYPES | TYPED),
    Q("flag", Compare("config.flag", "=", True), (), "params.flag = 'True'", {"config.flag": True}, "config.flag = true",
      'WHERE "config.flag"'),
    Q("flag is false or missing", Not(Compare("config.flag", "=", True)), (), None, {"config.flag": {"$ne": True}},
      "not config.flag = true", 'WHERE "config.flag" IS NOT TRUE', NO_OR),
    Q("list can only exist", Exists("config.layers"), (), None, {"config.layers": {"$exists": True}}, "config.layers exists",
      'WHERE "config.layers" IS NOT NULL', {"mlflow": "parameters are text"}),
    Q("odd name", Compare("config.data/set name", "=", "image net"), (), "params.`data/set name` = 'image net'",
      {"config.data/set name": "image net"}, 'config.`data/set name` = "image net"', "WHERE \"config.data/set name\" = 'image net'"),
    Q("name and text of another script", Compare("config.größe", "=", "groß"), (), "params.größe = 'groß'", {"config.größe": "groß"},
      "config.größe = 'groß'", "WHERE \"config.größe\" = 'groß'"),
    Q("label", Exists("tags.baseline"), (), "tags.baseline IS NOT NULL", {"tags": "baseline"}, "tags.baseline exists",
      'WHERE "tags.baseline" IS NOT NULL'),
    Q("without a label", Not(Exists("tags.baseline")), (), "tags.baseline IS NULL", {"tags": {"$ne": "baseline"}},
      "not tags.baseline exists", 'WHERE "tags.baseline" IS NULL'),
    Q("any of some labels", Or((Exists("tags.baseline"), Exists("tags.ünï"))), (), None, {"tags": {"$in": ["baseline", "ünï"]}},
      "tags.baseline exists or tags.ünï exists", 'WHERE "tags.baseline" IS NOT NULL OR "tags.ünï" IS NOT NULL', NO_OR),
    Q("all of some labels", And((Exists("tags.baseline"), Exists("tags.stage"))), (),
      "tag.baseline IS NOT NULL AND tag.stage IS NOT NULL", {"tags": {"$all": ["baseline", "stage"]}},
      "tags.baseline exists and tags.stage exists", 'WHERE "tags.baseline" IS NOT NULL AND "tags.stage" IS NOT NULL'),
    Q("none of some labels", Not(Or((Exists("tags.baseline"), Exists("tags.stage")))), (),
      "tags.baseline IS NULL AND tags.stage IS NULL", {"tags": {"$nin": ["baseline", "stage"]}},
      "not (tags.baseline exists or tags.stage exists)", 'WHERE "tags.baseline" IS NULL AND "tags.stage" IS NULL'),
    Q("tag's text", Compare("tags.stage", "=", "prod"), (), "tags.stage = 'prod'", {"tags.stage": "prod"}, 'tags.stage = "prod"',
      "WHERE \"tags.stage\" = 'prod'"),
    Q("tag unequal", Compare("tags.stage", "!=", "prod"), (), "tags.stage != 'prod'",
      {"tags.stage": {"$nin": ["prod", None]}}, 'tags.stage != "prod"', "WHERE \"tags.stage\" <> 'prod'"),
    Q("state", Compare("state", "=", "finished"), (), "attributes.status = 'FINISHED'", {"state": "finished"}, 'state = "finished"',
      "WHERE state = 'finished'"),
    Q("mlflow's failed are two states", In("state", ("failed", "crashed")), (), "status = 'FAILED'",
      {"state": {"$in": ["failed", "crashed"]}}, 'state in ("failed", "crashed")', "WHERE state IN ('failed', 'crashed')"),
    Q("status by pattern", In("state", ("finished", "failed", "crashed")), (), "status LIKE 'F%'",
      {"$or": [{"state": "finished"}, {"state": "failed"}, {"state": "crashed"}]},
      'state = "finished" or state = "failed" or state = "crashed"', "WHERE state IN ('failed', 'crashed', 'finished')"),
    Q("display name by pattern", Match("name", "regex", "^(?:res|Res)[Nn]et-.*[05]$"), (), None,
      {"display_name": {"$regex": "^(?:res|Res)[Nn]et-.*[05]$"}}, 'name ~ "^(?:res|Res)[Nn]et-.*[05]$"',
      "WHERE regexp_matches(name, '^(?:res|Res)[Nn]et-.*[05]$')", {"mlflow": "has no regular expressions for runs"}),
    Q("underscore is a wildcard", Match("name", "like", "vit_b16-_2"), (), "run_name LIKE 'vit_b16-_2'",
      {"displayName": {"$regex": "^vit.b16-.2$"}}, 'name like "vit_b16-_2"', "WHERE name LIKE 'vit_b16-_2'"),
    Q("name of another script", Match("name", "contains", "实验"), (), "`run name` LIKE '%实验%'", {"display_name": {"$contains": "实验"}},
      'name contains "实验"', "WHERE contains(name, '实验')"),
    Q("percent sign as such", Match("notes", "contains", "%_"), (), None, {"notes": {"$regex": "%_"}}, 'notes contains "%_"',
      "WHERE contains(notes, '%_')", NAMES),
    Q("wildcard crosses lines", Match("notes", "like", "two%lines"), (), None, {"notes": {"$regex": "two.*lines", "$options": "s"}},
      'notes like "two%lines"', "WHERE notes LIKE 'two%lines'", NAMES),
    Q("empty text is not missing", Compare("notes", "=", ""), (), None, {"notes": ""}, "notes = ''", "WHERE notes = ''", NAMES),
    Q("null user", IsNull("user"), (), None, {"username": None}, "user is null", 'WHERE "user" IS NULL',
      {"mlflow": "IS NULL is for parameters and tags"}),
    Q("user", Compare("user", "=", "ann"), (), "user_id = 'ann'", {"username": "ann"}, 'user = "ann"', "WHERE \"user\" = 'ann'"),
    Q("group is not this", Not(Compare("group", "=", "sweep-7")), (), None, {"group": {"$ne": "sweep-7"}}, 'not group = "sweep-7"',
      "WHERE \"group\" IS DISTINCT FROM 'sweep-7'", NAMES),
    Q("created after", Compare("created", ">=", BASE + 150 * MINUTE), (), "attributes.start_time >= 1767234600000",
      {"createdAt": {"$gte": "2026-01-01T02:30:00Z"}}, "created >= 2026-01-01T02:30", f"WHERE created >= {BASE + 150 * MINUTE}"),
    Q("created within", And((Compare("created", ">=", BASE + 3600_000_000), Compare("created", "<", BASE + 2 * 3600_000_000))), (),
      "start_time >= 1767229200000 AND created < 1767232800000",
      {"created_at": {"$gte": "2026-01-01T01:00:00+00:00", "$lt": "2026-01-01T03:00:00+01:00"}},
      'created >= "2026-01-01 01:00" and created < 2026-01-01T02:00Z',
      f"WHERE created >= {BASE + 3600_000_000} AND created < {BASE + 2 * 3600_000_000}"),
    Q("created in a millisecond", And((Compare("created", ">=", BASE + 77 * MINUTE), Compare("created", "<", BASE + 77 * MINUTE + 1000))),
      (), "start_time = 1767230220000", {"createdAt": {"$gte": "2026-01-01T01:17:00.000Z", "$lt": "2026-01-01T01:17:00.001Z"}},
      "created >= 2026-01-01T01:17:00.000Z and created < 2026-01-01T01:17:00.001Z", f"WHERE created // 1000 = {BASE // 1000 + 77 * 60000}"),
    Q("still going", IsNull("ended"), (), None, None, "ended is null", "WHERE ended IS NULL",
      {"mlflow": "IS NULL is for parameters and tags", "mongo": "wandb has no such field"}),
    Q("or", Or((Compare("summary.loss", "<", 0.1), Compare("config.opt", "=", "lion"))), (), None,
      {"$or": [{"summary_metrics.loss": {"$lt": 0.1}}, {"config.opt": "lion"}]}, 'summary.loss < 0.1 or config.opt = "lion"',
      "WHERE \"summary.loss\" < 0.1 OR \"config.opt\" = 'lion'", NO_OR),
    Q("neither", Not(Or((Compare("summary.loss", "<", 1), Compare("config.opt", "=", "lion")))), (), None,
      {"$nor": [{"summary_metrics.loss": {"$lt": 1}}, {"config.opt": "lion"}]}, 'not (summary.loss < 1 or config.opt = "lion")',
      "WHERE coalesce(\"summary.loss\" >= 1, true) AND \"config.opt\" IS DISTINCT FROM 'lion'", NO_OR),
    Q("nested",
      And((Or((Compare("config.lr", "<", 0.01), Not(Compare("state", "=", "failed")))),
           Not(And((Exists("tags.baseline"), Compare("summary.acc", ">", 0)))))),
      (), None,
      {"$or": [{"config.lr": {"$lt": 0.01}}, {"state": {"$ne": "failed"}}],
       "$not": {"tags": "baseline", "summary_metrics.acc": {"$gt": 0}}},
      '(config.lr < 0.01 or not state = "failed") and not (tags.baseline exists and summary.acc > 0)',
      "WHERE (\"config.lr\" < 0.01 OR state <> 'failed') AND NOT (\"tags.baseline\" IS NOT NULL AND coalesce(\"summary.acc\" > 0, false))",
      NO_OR),
    Q("metric, param, tag and attribute",
      And((Compare("summary.loss", "<", 1), Compare("config.opt", "=", "sgd", True),
           Compare("tags.stage", "=", "dev"), Compare("user", "!=", "bob"))),
      (), "metrics.loss < 1 AND params.opt = 'sgd' AND tags.stage = 'dev' AND attr.user_id != 'bob'",
      {"summary_metrics.loss": {"$lt": 1}, "config.opt": "sgd", "tags.stage": "dev", "username": {"$nin": ["bob", None]}},
      'summary.loss < 1 and config.opt = "sgd" and tags.stage = "dev" and user != "bob"',
      "WHERE \"summary.loss\" < 1 AND \"config.opt\" = 'sgd' AND \"tags.stage\" = 'dev' AND \"user\" <> 'bob'"),
    Q("runs by id", In("id", ("9e3779b1", "3c6ef362", "ffffffff")), (), "run_id IN ('9e3779b1', '3c6ef362', \"ffffffff\")",
      {"name": {"$in": ["9e3779b1", "3c6ef362", "ffffffff"]}}, "id in ('9e3779b1', '3c6ef362', 'ffffffff')",
      "WHERE id IN ('9e3779b1', '3c6ef362', 'ffffffff')"),
    Q("rows", Ids((5, 7, 999)), (), None, None, "rows(5, 7, 999)", "WHERE row IN (5, 7, 999)",
      {"mlflow": "names runs, not rows", "mongo": "names runs, not rows"}),
    Q("nothing", Or(()), (), None, {"config.lr": {"$in": []}}, "false", "WHERE false", {"mlflow": "cannot say no"}),
    Q("by a metric", And(()), (Order("summary.loss"),), ("", ["metrics.loss ASC"]), ({}, "+summary_metrics.loss,-created_at"),
      ("", "summary.loss"), 'ORDER BY "summary.loss" NULLS LAST, row DESC'),
    Q("by a metric downwards, NaN still behind", And(()), (Order("summary.loss", True),), ("", ["metrics.loss DESC"]),
      ({}, "-summary_metrics.loss,-created_at"), ("", "summary.loss desc"),
      'ORDER BY "summary.loss" IS NULL, isnan("summary.loss"), "summary.loss" DESC, row DESC'),
    Q("by a text", And(()), (Order("config.opt", True), Order("created")), ("", ["params.opt DESC", "start_time"]),
      ({}, "-config.opt.value,+created_at"), ("", "config.opt desc, created asc"), 'ORDER BY "config.opt" DESC NULLS LAST, row'),
    Q("by number and text and truth", And(()), (Order("summary.label"),), None, ({}, "summary_metrics.label,-created_at"),
      ("", "summary.label"), None, TYPES | TYPED),
    Q("by number and text and truth downwards", Not(IsNull("config.depth")), (Order("config.depth", True),), None,
      ({"config.depth": {"$ne": None}}, "-config.depth,-created_at"), ("config.depth is not null", "config.depth desc"), None, TYPES | TYPED),
    Q("filtered and ordered", And((Compare("summary.loss", "<", 1), Compare("config.opt", "=", "adam"))), (Order("summary.loss"),),
      ("metrics.loss < 1 AND params.opt = 'adam'", ["metrics.`loss` asc"]),
      ({"summary_metrics.loss": {"$lt": 1}, "config.opt": "adam"}, "+summary_metrics.loss,-created_at"),
      ('summary.loss < 1 and config.opt = "adam"', "summary.loss"),
      "WHERE \"summary.loss\" < 1 AND \"config.opt\" = 'adam' ORDER BY \"summary.loss\", row DESC"),
    Q("by tag, then attribute", Compare("summary.epoch", "<", 3), (Order("tags.stage"), Order("name", True)),
      ("metrics.epoch < 3", ["tags.stage", "attributes.run_name DESC"]),
      ({"summary_metrics.epoch": {"$lt": 3}}, "+tags.stage,-display_name"), ("summary.epoch < 3", "tags.stage, name desc"),
      'WHERE "summary.epoch" < 3 ORDER BY "tags.stage" NULLS LAST, name DESC'),
]  # fmt: skip
