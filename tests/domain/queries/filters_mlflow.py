"""Filters and orders that mlflow's own parsers were asked about; ``record_mlflow.py`` keeps their answers beside this file."""

#: What begins with a word before ``|`` is for another search than that of runs.
FILTERS = r"""
metrics.a > 1
metrics.a>1
metrics.a > -1
metrics.a > - 1
metrics.a > +1
metrics.a > .5
metrics.a > 5.
metrics.a > 1e5
metrics.a > 1e+5
metrics.a > 1E-5
metrics.a > 1.5e-5
metrics.a > inf
metrics.a > NaN
metrics.a > '1'
metrics.a == 1
metrics.a <> 1
metrics.a !> 1
metrics.a LIKE 1
metrics.a IS NULL
metrics.a IN (1)
metrics.a BETWEEN 1 AND 2
metrics.`a b` > 1
metrics."a b" > 1
metrics.'a b' > 1
metrics.a b > 1
metrics.a.b.c > 1
metrics.1a > 1
metrics.1 > 1
metrics.a.1 > 1
metrics.order > 1
metrics.select > 1
metrics.é > 1
metrics.a > 99999999999999999999999999
metrics.a > 1,metrics.b > 2
metrics.a > 1 AND (metrics.b > 2)
metrics.a > 1 AND metrics.b
`metrics`.a > 1
"metrics".a > 1
metric.a != 1 AND metrics.a >= 1 AND metrics.a <= 3
params.a = 'x'
params.a = "x"
params.a = x
params.a = `x`
params.a = 1
params.a = 1.5
params.a = 'it''s'
params.a = 'it\'s'
params.a = "say \"x\""
params.a = ''
params.a = 'x' AND params.b = 'y'
params.a = 'x' and params.b = 'y'
params.a = 'x' AND
AND params.a = 'x'
params.a = 'x' AND AND params.b = 'x'
params.a = 'x' params.b = 'y'
params.a = 'x' OR params.b = 'y'
(params.a = 'x')
NOT params.a = 'x'
params.a like 'x%'
params.a ILIKE 'x%'
params.a NOT LIKE 'x%'
params.a RLIKE 'x'
params.a IS NULL
params.a is null
params.a IS NOT NULL
params.a IN ('x')
params.a > 'x'
params.a = params.b
params.a
params.a =
= 'x'
'x' = params.a
1 < metrics.a
params.a = 'x
params.a = x'
params.a = 'x';
params.a = 'x'; params.b = 'y'
params.a = 'x' -- c
params. = 'x'
params.`` = 'x'
parameter.a = 'x' AND parameters.b = 'y' AND param.c = 'z'
param.a='x'AND param.b='y'
params.a = 'x' AND params.b IS NULL AND params.c = 'z'
run_id IN ('a') AND params.b IS NULL
params.b IS NULL AND run_id IN ('a')
metrics.a > 1 and run_id IN ('a') and status = 'x'
tags.a != 'x'
tags.a > 'x'
tags.a IS NULL
tags.mlflow.source.name = 'x'
tags.`mlflow.runName` = 'x'
tags.`a``b` = 'x'
tags.a b = 'x'
tags.group = 'x'
tag.a LIKE '%' AND tag.b ILIKE '_'
attributes.run_id IN ('x', 'y')
run_id in ('x')
run_id IN ('x',)
run_id IN ()
run_id IN ('x' 'y')
run_id IN ('x', 1)
run_id IN ("x")
run_id NOT IN ('x', 'y')
run_id not in ('x', 'y') AND params.a = 'x'
run_id > 'x'
run_id IS NULL
status IN ('RUNNING')
status = 'RUNNING'
status = RUNNING
status = 1
status != 'NOPE'
attr.status = "RUNNING"
attribute.status = 'x'
run.status = 'x'
start_time > 1
start_time > 1.5
start_time > '1'
start_time LIKE 1
start_time = 1664067852747
end_time <= 1664067852747 AND attributes.start_time != 0
Created > 1
created > 1
`run name` = 'x'
"run name" = 'x'
run name = 'x'
attributes.`Run name` = 'x'
attributes.`Run Name` LIKE 'x%'
run_name LIKE '%x%'
artifact_uri = 'x'
user_id = 'x'
experiment_id = '1'
lifecycle_stage = 'active'
dataset.name = 'x'
datasets.digest IN ('x', 'y')
dataset.context ILIKE 'tr%'
dataset.foo = 'x'
dataset.name > 'x'
foo.bar = 'x'
foo = 'x'
experiments|name = 'x'
experiments|attribute.name LIKE 'x%'
experiments|attributes.name = 'x'
experiments|experiment_id IN ('1', '2')
experiments|experiment_id = '1'
experiments|experiment_id LIKE '1'
experiments|name IN ('x')
experiments|name > 'x'
experiments|creation_time > 1
experiments|creation_time > 1.5
experiments|creation_time > 'x'
experiments|creation_time LIKE 1
experiments|last_update_time <= 5 AND tags.a = 'x'
experiments|tags.a IS NULL
experiments|tag.a IS NOT NULL
experiments|name IS NULL
experiments|tags.a > 'x'
experiments|metrics.a > 1
experiments|foo = 'x'
experiments|name = 'x' OR name = 'y'
models|name = 'x'
models|name ILIKE 'x%'
models|name IN ('x', 'y')
models|name NOT IN ('x', 'y')
models|name > 'x'
models|name = 1
models|tag.a = 'x'
models|tags.`a b` != 'x'
models|tags.a IS NULL
models|tags.a > 'x'
models|tags.a IN ('x')
models|run_id = 'x'
models|metrics.a > 1
models|tags.`mlflow.prompt.is_prompt` = 'true'
versions|name = 'x'
versions|name IN ('x')
versions|run_id IN ('x', 'y')
versions|run_id NOT IN ('x', 'y')
versions|source_path = 'x'
versions|source_path IN ('x')
versions|version_number = 1
versions|version_number > '1'
versions|version_number = 1.5
versions|version_number = 'x'
versions|version_number LIKE 1
versions|version_number IN (1)
versions|tags.a LIKE 'x'
versions|tags.a IS NOT NULL
versions|creation_timestamp > 1
versions|name = 1
logged|name = 'x'
logged|name LIKE 'x%' AND model_type = 'y'
logged|attributes.name = 'x'
logged|attribute.name = 'x'
logged|metrics.a > 1
logged|metrics.a LIKE 1
logged|params.a = 'x'
logged|params.a = 0.1
logged|params.a IN ('x', 'y')
logged|params.a > 'x'
logged|tags.a ilike 'x'
logged|tags.a IS NULL
logged|creation_time > 1
logged|creation_timestamp >= 1 AND last_updated_timestamp < 5
logged|creation_timestamp LIKE 1
logged|source_run_id IN ('x')
logged|status = 'READY'
logged|params.a = 'x' OR params.b = 'y'
""".strip("\n").split("\n")

ORDERS = r"""
metrics.a
metrics.a ASC
metrics.a desc
metrics.`a b` DESC
metrics."a b" DESC
params.a
tags.a DESC
start_time
attributes.start_time DESC
Created
run_name
status ASC
run_id
experiment_id
dataset.name
foo
foo.a
metrics.a DESC foo
metrics.a foo
metrics.a, metrics.b
DESC
metrics.a DESC;
1
experiments|name
experiments|creation_time DESC
experiments|attribute.experiment_id ASC
experiments|tags.a
experiments|foo
models|name
models|timestamp DESC
models|last_updated_timestamp ASC
models|creation_timestamp
models|tags.a
versions|name
versions|version_number DESC
versions|creation_timestamp
versions|last_updated_timestamp DESC
versions|run_id
versions|tags.a
""".strip("\n").split("\n")
