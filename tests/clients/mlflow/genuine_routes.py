"""Every route that the genuine server has, by its own account, as JSON: a program, for loading that server takes long and warns."""

import json
import re

import fastapi
import mlflow.server
from mlflow.server import auth, fastapi_app, handlers
from mlflow.server.auth import routes as auth_routes

#: A path that the genuine server lets a client put a name or id into.
_PART = re.compile(r"<(?:\w+:)?(\w+)>|\{(\w+)(?::path)?\}")


def routes():
    """(method, path) of each, with names in braces."""
    found = {
        (method, rule.rule)
        for rule in mlflow.server.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    found |= {(method, path) for path, _, methods in handlers.get_endpoints() for method in methods}
    for router in vars(fastapi_app).values():
        if isinstance(router, fastapi.APIRouter):
            prefixes = ("",)
            if router is fastapi_app.mcp_server_router:
                prefixes = fastapi_app.get_mcp_server_api_route_prefixes()
            for prefix in prefixes:
                found |= {(method, prefix + each.path) for each in router.routes for method in each.methods}
    return {(method, _PART.sub(r"{\1\2}", path)) for method, path in found}


def auth_paths():
    """The paths of users, roles and permissions, which have methods only once the genuine server asks for passwords."""
    assert auth is not None
    return {
        path
        for path in vars(auth_routes).values()
        if isinstance(path, str) and path.startswith(("/api", "/ajax"))
    }


if __name__ == "__main__":
    print(json.dumps({"routes": sorted(routes()), "auth": sorted(auth_paths())}))
