"""The Ingress in front of the Service: one host, every path."""

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.desired.ports import HTTP_PORT_NAME
from chatbot_operator.resource import ChatbotDeployment, Manifest


def build_ingress(resource: ChatbotDeployment) -> Manifest | None:
    """Return the Ingress where one is asked for; its TLS Secret is read by the Ingress controller alone."""
    ingress = resource.spec.ingress
    if ingress is None:
        return None
    backend = {"service": {"name": names.service(resource.name), "port": {"name": HTTP_PORT_NAME}}}
    spec: Manifest = {"rules": [{"host": ingress.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}
    if ingress.class_name is not None:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret_name is not None:
        spec["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret_name}]
    name = names.ingress(resource.name)
    head = build_child(resource, api_version="networking.k8s.io/v1", kind="Ingress", name=name, annotations=ingress.annotations)
    return head | {"spec": spec}
