"""Ways to the API server that are not straight: a reverse proxy under a path, and a tunnel (CONNECT), both on 127.0.0.1.

They serve on the loop of whoever opens them, who must not block it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from devcluster.controlplane import ControlPlane
from tests.api.operator_process import Account

BASE_PATH = "/k8s/clusters/c-1"
_KEPT = ("accept", "content-type", "user-agent")
_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: way, cluster: {{server: {server}}}}}]
users: [{{name: way, user: {{}}}}]
contexts: [{{name: way, context: {{cluster: way, user: way}}}}]
current-context: way
"""


@asynccontextmanager
async def under_a_path(plane: ControlPlane, account: Account, directory: Path) -> AsyncIterator[Account]:
    """Yield the account with a way through a proxy that serves the API under a path, as Rancher does, and logs in for it."""
    pair = plane.authority.issue(account.user.replace(":", "-"), name=account.user, organizations=("system:serviceaccounts",))
    tls = ssl.create_default_context(cafile=plane.authority.certificate)
    tls.load_cert_chain(pair.certificate, pair.key)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=tls), timeout=timeout) as session:

        async def relay(request: web.Request) -> web.StreamResponse:
            url = URL(plane.url + request.raw_path.removeprefix(BASE_PATH), encoded=True)
            headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT}
            async with session.request(request.method, url, headers=headers, data=await request.read() or None) as upstream:
                response = web.StreamResponse(status=upstream.status, headers={"Content-Type": upstream.content_type})
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                return response

        application = web.Application()
        application.router.add_route("*", BASE_PATH + "/{rest:.*}", relay)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        kubeconfig = directory / "path.kubeconfig"
        kubeconfig.write_text(_KUBECONFIG.format(server=f"http://127.0.0.1:{runner.addresses[0][1]}{BASE_PATH}"))
        try:
            yield replace(account, kubeconfig=kubeconfig)
        finally:
            await runner.cleanup()


@asynccontextmanager
async def through_a_tunnel(plane: ControlPlane, account: Account, directory: Path) -> AsyncIterator[Account]:
    """Yield the account with a way that only the proxy knows: the server that its kubeconfig names answers nobody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        upstream = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, upstream[1]), _pump(upstream[0], writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        kubeconfig = directory / "tunnel.kubeconfig"
        way = f'"https://127.0.0.1:1", proxy-url: "http://127.0.0.1:{port}"'
        kubeconfig.write_text(account.kubeconfig.read_text().replace(f'"{plane.url}"', way))
        yield replace(account, kubeconfig=kubeconfig)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until one of the two ends closes."""
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
