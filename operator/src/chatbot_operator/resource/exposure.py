"""How the pods are reached, and by whom: Service, Ingress, NetworkPolicy."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from chatbot_operator.resource.values import Admission, Annotations, Cidr, Labels, Model, ObjectName, rules

_HOST_PATTERN = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


class ServiceSpec(Model):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP",
        description="Who can reach the chat service: the cluster, its nodes' addresses, or the world.",
        examples=["LoadBalancer"],
    )
    port: Annotated[int, Admission(minimum=1, maximum=65_535)] = Field(
        default=80, description="Port on which the Service listens.", examples=[8080]
    )
    annotations: Annotations = Field(
        default={},
        description="Annotations of the Service, for example for the cloud's load balancer.",
        examples=[{"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}],
    )


class IngressSpec(Model):
    """The Ingress in front of the Service: one host, every path."""

    host: Annotated[
        str, Admission(("!isIP(self)", "must be a name, not an IP address"), min_length=1, max_length=253, pattern=_HOST_PATTERN)
    ] = Field(
        description="Name under which the chat service is reached, in lower case; `*.` in front means every name below.",
        examples=["chat.example.com"],
    )
    class_name: ObjectName | None = Field(
        default=None,
        description="IngressClass, that is which controller serves it. Unset means the cluster's default one.",
        examples=["nginx"],
    )
    tls_secret_name: ObjectName | None = Field(
        default=None,
        description="TLS Secret with the host's certificate, in the namespace of the resource. Unset means plain http.",
        examples=["chat-example-com-tls"],
    )
    annotations: Annotations = Field(
        default={},
        description="Annotations of the Ingress, for its controller or for cert-manager. Streamed answers want proxy buffering off.",
        examples=[{"cert-manager.io/cluster-issuer": "letsencrypt"}],
    )


class IpBlock(Model):
    """A range of addresses."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "!has(self.except) || !isCIDR(self.cidr)"
                    " || self.except.all(part, !isCIDR(part) || part != self.cidr && cidr(self.cidr).containsCIDR(cidr(part)))"
                ),
                "except must hold parts of the network in cidr",
            )
        )
    )

    cidr: Cidr = Field(description="The network.", examples=["10.0.0.0/8"])
    except_: Annotated[tuple[Cidr, ...], Admission(max_items=32)] = Field(
        default=(), alias="except", description="Networks within it that are left out.", examples=[["10.1.0.0/16"]]
    )


class LabelRequirement(Model):
    """One demand on an object's labels."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                "values are for the operators In and NotIn, which need some",
            )
        )
    )

    key: Annotated[str, Admission(min_length=1, max_length=316)] = Field(description="Key of the label.", examples=["team"])
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label relates to the values.", examples=["In"])
    values: Annotated[tuple[Annotated[str, Admission(max_length=63)], ...], Admission(max_items=32)] = Field(
        default=(), description="Values, for In and NotIn.", examples=[["a", "b"]]
    )


class LabelSelector(Model):
    """Objects by their labels; an empty selector means all of them."""

    match_labels: Labels | None = Field(default=None, description="Labels that an object must have.", examples=[{"team": "a"}])
    match_expressions: Annotated[tuple[LabelRequirement, ...], Admission(max_items=16)] | None = Field(
        default=None, description="Further demands on the labels.", examples=[[{"key": "team", "operator": "Exists"}]]
    )


class NetworkPeer(Model):
    """Somebody on the network: pods, by their labels and those of their namespace, or a range of addresses."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
                "must have an ipBlock, or a podSelector and a namespaceSelector, or one of the two",
            )
        )
    )

    pod_selector: LabelSelector | None = Field(
        default=None, description="Pods, in the namespace of the resource or in those of namespaceSelector; {} means all."
    )
    namespace_selector: LabelSelector | None = Field(default=None, description="Namespaces; {} means all.")
    ip_block: IpBlock | None = Field(default=None, description="A range of addresses, for peers outside the cluster.")


Peers = Annotated[tuple[NetworkPeer, ...], Admission(max_items=16)]


class NetworkPolicySpec(Model):
    """Who may connect to the pods; what they may connect to is DNS, port 443 and the upstream."""

    enabled: bool = Field(
        default=True,
        description="Whether there is a NetworkPolicy. Without one the pods are open to the cluster, and the cluster to them.",
        examples=[False],
    )
    from_: Peers = Field(
        default=(),
        alias="from",
        description="Who may connect to the chat port; an Ingress controller must be among them. Empty means everybody.",
        examples=[[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]],
    )
