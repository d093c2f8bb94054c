"""The last module of this folder: it looks at what the others did."""

from runstone.dialects.native import Native


def test_every_route_was_tried_with_success(used):
    routes = {(route.method, route.path) for route in Native().routes()}
    assert routes - used == set()
