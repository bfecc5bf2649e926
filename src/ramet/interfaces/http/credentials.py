"""Who sends a request, as far as its headers say: a bearer token, or the cookies of our own pages."""

from __future__ import annotations

from ramet.errors import Problem
from ramet.identity import cookies
from ramet.interfaces.http.cors import Cors
from ramet.interfaces.transport.request import Request
from ramet.operations.operation import Operation


class Credentials:
    """Finds tokens. `public_url` is the address that users see, when a proxy is in front."""

    def __init__(self, cors: Cors, public_url: str) -> None:
        self._cors = cors
        public = cookies.parse_origin("/".join(public_url.split("/")[:3]))  # its path is no part of an origin
        self._own_origins = set() if public is None else {public}

    def identify(self, request: Request, operation: Operation, method: str) -> None:
        """Finds the token: a header wins over a cookie, and a cookie only counts on our own pages.

        So it is with the position that the caller has seen, though nobody gains by another's.

        Raises Problem `invalid_token` or `cross_site`.
        """
        operation.after = request.header("ramet-position") or ""
        authorization = request.header("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Problem("invalid_token", "Authorization takes `Bearer <access token>`.")
            operation.token = token.strip()
            return
        cookie = request.header("cookie")
        if cookie is None:
            return
        access, refresh = cookies.read(cookie)
        if access is None and refresh is None:
            return
        if self.cross_site(request, method):
            raise Problem("cross_site")
        operation.exchange.browser = True
        operation.after = operation.after or cookies.read_position(cookie)
        operation.token, operation.via = access, "cookie"

    def cross_site(self, request: Request, method: str) -> bool:
        """Whether another site may have made a browser send this request."""
        header = request.header
        return cookies.cross_site(
            method,
            header("sec-fetch-site"),
            header("origin"),
            header("host"),
            request.scheme,
            self._cors.origins | self._own_origins,
        )
