"""The admin page."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from lnbits.core.models import User
from lnbits.decorators import check_admin, check_user_exists
from lnbits.helpers import template_renderer

nostrclient_generic_router = APIRouter()


@nostrclient_generic_router.get(
    "/", response_class=HTMLResponse, dependencies=[Depends(check_admin)]
)
async def index(
    request: Request, user: User = Depends(check_user_exists)
) -> HTMLResponse:
    """Show the admin page."""
    renderer = template_renderer(["nostrclient/templates"])
    page: HTMLResponse = renderer.TemplateResponse(
        request, "nostrclient/index.html", {"user": user.json()}
    )
    return page
