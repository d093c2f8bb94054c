from __future__ import annotations

import re

import msgspec
import pytest

from runstone.config import ServerOptions, from_environment, is_loopback
from runstone.dialects.native import Native
from runstone.errors import Invalid


def test_the_environment_is_read_and_the_command_line_goes_before_it():
    environment = {
        "RUNSTONE_PORT": "1234",
        "RUNSTONE_HOST": "0.0.0.0",
        "RUNSTONE_HOT_LANE": "0",
        "RUNSTONE_RATE": "2.5",
    }
    environment |= {"RUNSTONE_ALLOWED_HOSTS": "a.example, b.example,", "OTHER": "x", "RUNSTONE_WORKERS": ""}
    options = from_environment(environment, port=99, host=None)
    assert (options.port, options.host, options.hot_lane, options.rate) == (99, "0.0.0.0", False, 2.5)
    assert options.allowed_hosts == ("a.example", "b.example")
    assert options.workers == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNSTONE_PORT", "70000"),
        ("RUNSTONE_PORT", "-1"),
        ("RUNSTONE_PORT", "many"),
        ("RUNSTONE_WORKERS", "0"),
        ("RUNSTONE_AUTH", "off"),
        ("RUNSTONE_LOG_FORMAT", "xml"),
        ("RUNSTONE_IDLE_SECONDS", "0"),
        ("RUNSTONE_IDLE_SECONDS", "nan"),
        ("RUNSTONE_HOT_LANE", "maybe"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str):
    with pytest.raises(Invalid) as caught:
        from_environment({name: value})
    assert name.removeprefix("RUNSTONE_").lower() in caught.value.message


def test_an_unknown_option_is_refused():
    with pytest.raises(Invalid):
        from_environment({}, colour="blue")


@pytest.mark.parametrize(
    ("host", "auth", "needed"),
    [
        ("127.0.0.1", "auto", False),
        ("127.1.2.3", "auto", False),
        ("localhost", "auto", False),
        ("::1", "auto", False),
        ("127.0.0.1", "on", True),
        ("0.0.0.0", "auto", True),
        ("::", "auto", True),
        ("192.0.2.7", "auto", True),
        ("localhost.evil.example", "auto", True),
    ],
)
def test_authentication_is_only_optional_where_nobody_else_can_reach(host: str, auth: str, needed: bool):
    assert ServerOptions(host=host, auth=auth).authenticates() is needed
    assert is_loopback(host) or needed


def test_every_option_is_in_the_docs(pytestconfig: pytest.Config):
    text = (pytestconfig.rootpath / "docs" / "http.md").read_text()
    for field in msgspec.structs.fields(ServerOptions):
        assert f"`RUNSTONE_{field.name.upper()}`" in text, field.name


def test_every_route_is_in_the_docs(pytestconfig: pytest.Config):
    text = (pytestconfig.rootpath / "docs" / "http.md").read_text()
    collection = "/api/v1/collections/{ns}/{project}/{collection}"
    for route in Native().routes():
        path = route.path.replace(collection + "/versions/{version}", "V").replace(collection, "C")
        path = path.replace("/api/v1/runs/{ns}/{project}/{run}", "R")
        rows = [
            line
            for line in text.splitlines()
            if re.match(rf"\| [A-Z ]*\b{route.method}\b[A-Z ]* {re.escape(path)} \|", line)
        ]
        assert len(rows) == 1, (route.method, path)
