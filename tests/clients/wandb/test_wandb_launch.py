"""Queues, jobs and agents of Launch: stored and handed out as the SDK's own commands need."""

from __future__ import annotations

from sdk import since_newer

from runstone.domain import launch
from runstone.domain.context import Context


@since_newer
def test_jobs_are_queued_handed_out_once_and_followed(served, sdk):
    said = sdk.run("""
        from wandb.sdk.launch.api import LaunchApi
        api = wandb.Api()
        queue = api.create_run_queue(name="gpu", type="local-process", entity="local", prioritization_mode="V0", config={"gpus": 1})
        say([queue.name, queue.access, queue.type, queue.default_resource_config, queue.prioritization_mode])
        calls = LaunchApi()
        push = lambda n, p: calls.push_to_run_queue_by_name("local", "model-registry", "gpu", json.dumps({"n": n}), None, p)["runQueueItemId"]
        first, second = push(1, 2), push(2, 0)
        say([len(api.run_queue("local", "gpu").items), [each.state for each in api.run_queue("local", "gpu").items]])
        agent = calls.create_launch_agent("local", "model-registry", ["gpu"], {"max": 1}, "0.31")["launchAgentId"]
        one = calls.pop_from_run_queue("gpu", "local", "model-registry", agent)
        two = calls.pop_from_run_queue("gpu", "local", "model-registry", agent)
        say([one["runSpec"], two["runSpec"], calls.pop_from_run_queue("gpu", "local", "model-registry", agent)])
        say(calls.ack_run_queue_item(one["runQueueItemId"], "run-1"))
        calls.update_run_queue_item_warning(two["runQueueItemId"], "slow", "start")
        say(calls.fail_run_queue_item(two["runQueueItemId"], "broke", "start"))
        calls.update_launch_agent_status(agent, "RUNNING")
        held = calls.get_launch_agent(agent)
        say([held["agentStatus"], held["stopPolling"], len(held["runQueues"])])
        say(sorted(each.state for each in api.run_queue("local", "gpu").items))
        api.upsert_run_queue("gpu", {"resource_args": {}}, "local-process", entity="local")
        api.run_queue("local", "gpu").delete()
        say(calls.get_project_run_queues("local", "model-registry"))
    """)
    assert said[0] == [
        "gpu",
        "PROJECT",
        "local-process",
        {"resource_args": {"local-process": {"gpus": 1}}},
        "V0",
    ]
    assert said[1] == [2, ["pending", "pending"]]
    assert said[2] == [{"n": 2}, {"n": 1}, None]
    assert said[3:5] == [True, True]
    assert said[5] == ["RUNNING", False, 1]
    assert said[6] == ["claimed", "failed"]
    assert said[7] == []
    assert launch.queues(served.store, Context(), "local/models") == []
