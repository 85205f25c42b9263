"""``/docs``: Swagger UI, with nothing from elsewhere.

The page works without the internet, and its policy lets the browser load and run nothing of other
hosts: users paste their keys here.
"""

from functools import cache
from importlib import resources

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import HTTPException

from app import etags

router = APIRouter(include_in_schema=False)

# The package that holds a built Swagger UI.
_PACKAGE = "fastapi_swagger.resources"
# Addresses are relative, so that the page works behind a prefix of a proxy too.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Accrue API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# No validator: it would send the document's address to its makers.
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
_TYPES = {
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
# Swagger UI has icons in its style sheet, and shows images that were answered.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/docs")
async def docs() -> Response:
    """Return the page."""
    return Response(_PAGE, headers=_HEADERS, media_type="text/html")


@router.get("/docs/{file}")
def docs_file(file: str, request: Request) -> Response:
    """Return a file of the page."""
    if file not in _TYPES:
        raise HTTPException(404, "The documentation has no such file.")
    content, tag = _read(file)
    # They change with the software only, but under the same name.
    headers = {"Cache-Control": "no-cache", "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if etags.names(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[file])


@cache
def _read(file: str) -> tuple[bytes, str]:
    """Return a file and its entity tag."""
    if file == "start.js":
        content = _START.encode()
    else:
        content = resources.files(_PACKAGE).joinpath(file).read_bytes()
    return content, etags.strong(content)
