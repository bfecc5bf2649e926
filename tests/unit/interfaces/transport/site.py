"""An application of somebody else's, to be mounted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

DEADLINE = 20.0


class Site:
    """A Starlette application that tells what happens to it."""

    def __init__(self, folder: Path) -> None:
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        self.file = folder / "file.bin"
        self.file.write_bytes(b"f" * 300_000)
        self.app = Starlette(
            routes=[
                Route("/about", self.about, name="about"),
                Route("/echo", self.echo, methods=["POST"]),
                Route("/chunks", self.chunks, methods=["POST"]),
                Route("/stream", self.stream),
                Route("/forever", self.forever),
                Route("/wait", self.wait),
                Route("/file", self.send_file),
                Route("/break", self.break_),
                Route("/empty", self.empty),
                WebSocketRoute("/socket", self.socket),
                WebSocketRoute("/refuse", self.refuse),
                WebSocketRoute("/leave", self.leave),
                WebSocketRoute("/fail", self.fail),
                WebSocketRoute("/listen", self.listen),
                WebSocketRoute("/choose", self.choose),
                WebSocketRoute("/flood", self.flood),
            ],
            lifespan=self.live,
        )

    @contextlib.asynccontextmanager
    async def live(self, app: Starlette) -> AsyncIterator[dict[str, str]]:
        self.events.put_nowait("start")
        yield {"name": "site"}
        self.events.put_nowait("stop")

    async def about(self, request: Request) -> Response:
        scope = request.scope
        return JSONResponse(
            {
                "url": str(request.url),
                "self": str(request.url_for("about")),
                "path": scope["path"],
                "root_path": scope["root_path"],
                "query": scope["query_string"].decode(),
                "method": scope["method"],
                "version": scope["http_version"],
                "client": scope["client"][0],
                "server": scope["server"][0],
                "accept": request.headers.getlist("accept"),
                "state": request.state.name,
            }
        )

    async def echo(self, request: Request) -> Response:
        return Response(await request.body(), 201, {"x-a": "ü"})

    async def chunks(self, request: Request) -> Response:
        try:
            async for chunk in request.stream():
                self.events.put_nowait(f"got {len(chunk)}")
        except ClientDisconnect:
            self.events.put_nowait("disconnected")
        return PlainTextResponse("done")

    async def stream(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first;"
            await self.go.wait()
            yield b"second;"

        return StreamingResponse(parts())

    async def forever(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x"

        return StreamingResponse(parts())

    async def wait(self, request: Request) -> Response:
        self.events.put_nowait("waiting")
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.events.put_nowait("disconnected")
        return PlainTextResponse("nobody reads this")

    async def send_file(self, request: Request) -> Response:
        return FileResponse(self.file)

    async def break_(self, request: Request) -> Response:
        raise ZeroDivisionError("a secret")

    async def empty(self, request: Request) -> Response:
        return Response(status_code=204)

    async def socket(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(
            [socket.url.path, socket.scope["scheme"], socket.scope["subprotocols"], socket.state.name]
        )
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if message.get("text") is not None:
                    await socket.send_text(message["text"].upper())
                else:
                    await socket.send_bytes(message["bytes"][::-1])
        finally:
            self.events.put_nowait("left")

    async def refuse(self, socket: WebSocket) -> None:
        await socket.close()

    async def leave(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4000)

    async def fail(self, socket: WebSocket) -> None:
        raise ZeroDivisionError("a secret")

    async def listen(self, socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await socket.receive_text()
        self.events.put_nowait("left")

    async def choose(self, socket: WebSocket) -> None:
        await socket.accept(socket.scope["subprotocols"][-1], headers=[(b"x-b", b"c")])
        message = await socket.receive()
        self.events.put_nowait(f"left with {message['code']}")

    async def flood(self, socket: WebSocket) -> None:
        await socket.accept()
        for number in range(64):
            await socket.send_bytes(bytes([number]) * 2**20)
        self.events.put_nowait("sent")

    async def next(self) -> str:
        async with asyncio.timeout(DEADLINE):
            return await self.events.get()
