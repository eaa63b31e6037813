"""All routes of the management API."""

from aiohttp import web

from tests.support.simulators.together import endpoint_routes, model_routes, rollout_routes
from tests.support.simulators.together.web import endpoint

_ROUTES = [*model_routes.ROUTES, *endpoint_routes.ROUTES, *rollout_routes.ROUTES]


def add_routes(app: web.Application) -> None:
    """Register them."""
    for method, path, handler in _ROUTES:
        app.router.add_route(method, path, endpoint(handler))
