"""The admin page, and the paths of the endpoints for it."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from lnbits.core.models import User
from lnbits.decorators import check_admin, check_user_exists
from lnbits.helpers import template_renderer

from .configuration import configuration
from .helpers import PUBLIC_ENDPOINT, private_path
from .models import REFUSED, Endpoints

nostrclient_generic_router = APIRouter(responses=REFUSED)


@nostrclient_generic_router.get(
    "/",
    response_class=HTMLResponse,
    include_in_schema=False,
    dependencies=[Depends(check_admin)],
)
async def index(
    request: Request, user: User = Depends(check_user_exists)
) -> HTMLResponse:
    """Show LNbits' own shell, in which static/routes.json opens the admin page."""
    renderer = template_renderer(["nostrclient/templates"])
    page: HTMLResponse = renderer.TemplateResponse(
        request, "nostrclient/index.html", {"user": user.json()}
    )
    return page


@nostrclient_generic_router.get(
    "/api/v1/endpoints",
    dependencies=[Depends(check_admin)],
    summary="Return the endpoints' paths",
)
async def api_get_endpoints() -> Endpoints:
    """Return the paths of both endpoints; the private one differs each time."""
    return Endpoints(
        public=f"/nostrclient/api/v1/{PUBLIC_ENDPOINT}",
        public_url=configuration.config.face.public_url,
        private=private_path(),
    )
