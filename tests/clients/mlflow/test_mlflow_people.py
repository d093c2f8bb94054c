"""Users, roles, permissions and workspaces through mlflow's own clients, on a server that asks for keys."""

import secrets
import warnings

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from runstone.config import ServerOptions
from runstone.domain import accounts, keys
from runstone.domain.context import Context
from runstone.server.background import Background

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow.server.auth.client import AuthServiceClient

pytestmark = pytest.mark.filterwarnings("ignore")


def a_key():
    return "hf_" + secrets.token_hex(24)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    data = str(tmp_path_factory.mktemp("guarded") / "data")
    with Background(
        ServerOptions(data=data, port=0, log_format="off", auth="on", max_failed_logins=0)
    ) as server:
        yield server


@pytest.fixture
def login(guarded, monkeypatch):
    def into(name, password):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    into("local", keys.create(guarded.store, Context(), "local", "test").key)
    return into


@pytest.fixture
def auth(guarded, login):
    return AuthServiceClient(guarded.url)


def refused(code, call, *given):
    with pytest.raises(MlflowException) as error:
        call(*given)
    assert error.value.error_code == code, error.value
    return error.value.message


def test_a_user_is_made_logs_in_changes_its_key_and_is_deleted(auth, guarded, login):
    first, second = a_key(), a_key()
    assert "API key" in refused("INVALID_PARAMETER_VALUE", auth.create_user, "bob", "a good password")
    made = auth.create_user("bob", first)
    assert (made.username, made.is_admin) == ("bob", False)
    assert auth.get_user("bob").id == made.id
    refused("RESOURCE_ALREADY_EXISTS", auth.create_user, "bob", second)
    admin_key = keys.create(guarded.store, Context(), "local", "again").key

    login("bob", first)
    client = mlflow.MlflowClient(guarded.url)
    assert client.get_experiment("0").name == "Default"
    refused("PERMISSION_DENIED", auth.create_user, "eve", second)
    refused("PERMISSION_DENIED", auth.update_user_admin, "bob", True)
    refused("INVALID_PARAMETER_VALUE", auth.update_user_password, "bob", second)
    auth.update_user_password("bob", second, current_password=first)
    refused("UNAUTHENTICATED", client.get_experiment, "0")
    login("bob", second)
    assert client.get_experiment("0").name == "Default"

    login("local", admin_key)
    auth.update_user_admin("bob", True)
    assert auth.get_user("bob").is_admin
    refused("BAD_REQUEST", auth.delete_user, "local")
    auth.delete_user("bob")
    refused("RESOURCE_DOES_NOT_EXIST", auth.get_user, "bob")
    login("bob", second)
    refused("UNAUTHENTICATED", client.get_experiment, "0")
    login("local", admin_key)
    third = a_key()
    assert not auth.create_user("bob", third).is_admin


def test_roles_and_permissions_are_those_of_namespaces(auth, guarded, login):
    admin_key = keys.create(guarded.store, Context(), "local", "once more").key
    ann = a_key()
    auth.create_user("ann", ann)
    accounts.create_namespace(guarded.store, Context(), "lab")
    roles = {role.name: role for role in auth.list_roles("lab")}
    assert {name: role.permissions[0].permission for name, role in roles.items()} == {
        "reader": "READ",
        "member": "EDIT",
        "owner": "MANAGE",
    }
    assert auth.get_role(roles["member"].id).workspace == "lab"
    assert auth.list_user_roles("ann")[0].workspace == "ann"
    auth.assign_role("ann", roles["reader"].id)
    assert {role.workspace: role.name for role in auth.list_user_roles("ann")} == {
        "ann": "owner",
        "lab": "reader",
    }
    assert [each.user_id for each in auth.list_role_users(roles["reader"].id)] == [auth.get_user("ann").id]
    assert auth.get_user_permission("ann", "workspace", "lab").permission == "READ"
    auth.grant_user_permission("ann", "workspace", "lab", "EDIT")
    assert auth.get_user_permission("ann", "workspace", "lab").allowed

    login("ann", ann)
    mlflow.set_tracking_uri(guarded.url)
    mlflow.set_workspace("lab")
    try:
        number = mlflow.MlflowClient(guarded.url).create_experiment("of the lab")
        assert mlflow.MlflowClient(guarded.url).get_experiment(number).workspace == "lab"
        names = {each.name for each in mlflow.list_workspaces()}
        assert {"default", "lab"} <= names
    finally:
        mlflow.set_workspace(None)
    login("local", admin_key)
    assert auth.get_user_permission("ann", "experiment", number).permission == "EDIT"
    auth.revoke_user_permission("ann", "workspace", "lab")
    assert auth.get_user_permission("ann", "workspace", "lab").permission == "NO_PERMISSIONS"
    login("ann", ann)
    refused("RESOURCE_DOES_NOT_EXIST", mlflow.MlflowClient(guarded.url).get_experiment, number)
    login("local", admin_key)
    for call in (
        lambda: auth.create_role("lab", "special"),
        lambda: auth.delete_role(roles["reader"].id),
        lambda: auth.add_role_permission(roles["reader"].id, "experiment", "*", "EDIT"),
        lambda: auth.grant_user_permission("ann", "experiment", number, "READ"),
    ):
        refused("NOT_IMPLEMENTED", call)
    refused("RESOURCE_DOES_NOT_EXIST", auth.get_role, 10**9)


def test_workspaces_are_namespaces(auth, guarded):
    mlflow.set_tracking_uri(guarded.url)
    made = mlflow.create_workspace("team-x", description="ours")
    assert (made.name, made.description) == ("team-x", "ours")
    assert accounts.get_namespace(guarded.store, Context(), "team-x").description == "ours"
    assert mlflow.get_workspace("team-x").name == "team-x"
    refused("RESOURCE_ALREADY_EXISTS", mlflow.create_workspace, "team-x")
    refused("RESOURCE_DOES_NOT_EXIST", mlflow.get_workspace, "nothing")
