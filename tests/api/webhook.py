"""A validating admission webhook that refuses every NetworkPolicy of a namespace: what administrators have, and what breaks with them."""

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster.controlplane import ControlPlane

NAME = "policies.example.com"


@contextmanager
def answering_webhook(plane: ControlPlane, *, refusal: str, code: int | None) -> Iterator[int]:
    """Serve the webhook, which refuses in the words `refusal`, by the status `code` unless that is None; yield its port on 127.0.0.1."""
    status = {"message": refusal} | ({} if code is None else {"code": code})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {"uid": review["request"]["uid"], "allowed": False, "status": status}
            body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}).encode()
            self.send_response(http.HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    pair = plane.authority.issue("webhook", name="webhook", hosts=["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def registered_webhook(plane: ControlPlane, namespace: str, *, port: int) -> Iterator[None]:
    """Have the API server ask whoever listens on `port` of 127.0.0.1, and refuse when nobody does."""
    webhook = {
        "name": NAME,
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(plane.authority.certificate.read_bytes()).decode(),
        },
        "rules": [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["networkpolicies"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 5,
    }
    manifest = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [webhook],
    }
    plane.kubectl("create", "--filename=-", input=json.dumps(manifest))
    yield
    plane.kubectl("delete", "validatingwebhookconfiguration", NAME)
