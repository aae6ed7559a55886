"""The Service in front of the chat port; the admin port is not behind it."""

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.desired.ports import HTTP_PORT_NAME
from chatbot_operator.resource import ChatbotDeployment, Manifest


def build_service(resource: ChatbotDeployment) -> Manifest:
    """Return the Service, whose name is the host part of the endpoint."""
    spec = resource.spec.service
    name = names.service(resource.name)
    return build_child(resource, api_version="v1", kind="Service", name=name, annotations=spec.annotations) | {
        "spec": {
            "type": spec.type,
            "selector": names.selector_labels(resource.name),
            "ports": [{"name": HTTP_PORT_NAME, "port": spec.port, "protocol": "TCP", "targetPort": HTTP_PORT_NAME, "appProtocol": "http"}],
        }
    }
