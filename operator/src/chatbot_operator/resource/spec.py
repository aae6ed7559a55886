"""What the user wants: every field of the spec in its place, and the rules that cross the borders of its parts."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from chatbot_operator.resource.exposure import IngressSpec, NetworkPolicySpec, ServiceSpec
from chatbot_operator.resource.model import CredentialsSpec, ModelSpec, SystemPrompt, SystemPromptSource
from chatbot_operator.resource.operations import AutoscalingSpec, LoggingSpec, MonitoringSpec, RolloutSpec, SloSpec
from chatbot_operator.resource.placement import PodDisruptionBudgetSpec, SchedulingSpec, TopologySpreadSpec
from chatbot_operator.resource.pods import DrainSpec, EnvironmentVariable, ProbesSpec, ResourcesSpec
from chatbot_operator.resource.traffic import ApiSpec, ClientAuthSpec, LimitsSpec
from chatbot_operator.resource.upstream import UpstreamSpec
from chatbot_operator.resource.values import Admission, Annotations, FurtherLabels, Model, ObjectName, compare_durations, list_map, rules

_IMAGE_PART = "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
_IMAGE_TAG = "[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}"

Image = Annotated[
    str,
    Admission(
        (
            rf"self.matches(r'^{_IMAGE_PART}(:[0-9]{{1,5}})?(/{_IMAGE_PART})*(:{_IMAGE_TAG})?(@sha256:[0-9a-f]{{64}})?$')",
            "must be an image reference: [registry[:port]/]name:tag or name@sha256:digest, the name in lower case",
        ),
        (
            rf"self.matches(r'^[^@]*:{_IMAGE_TAG}(@|$)') || self.contains('@sha256:')",
            "must have a tag or a digest, so that every pod runs the same program",
        ),
        min_length=1,
        max_length=512,
    ),
]


class LocalObjectReference(Model):
    """The name of an object in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the object, in the namespace of the resource.", examples=["registry-credentials"])


class ChatbotSpec(Model):
    """What the user wants."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!(has(self.systemPrompt) && has(self.systemPromptFrom))", "systemPrompt and systemPromptFrom exclude each other"),
            compare_durations(
                "self.upstream.timeouts.firstByte",
                "<=",
                "self.limits.requestTimeout",
                "upstream.timeouts.firstByte must not exceed limits.requestTimeout",
            ),
            compare_durations(
                "self.limits.requestTimeout",
                "<=",
                "self.upstream.timeouts.total",
                "limits.requestTimeout must not exceed upstream.timeouts.total",
            ),
            (
                "!self.autoscaling.enabled || self.autoscaling.targetInFlightPerPod <= self.limits.maxInFlight",
                "autoscaling.targetInFlightPerPod must not exceed limits.maxInFlight: no pod could ever have more",
            ),
        )
    )

    replicas: Annotated[int, Admission(minimum=0, maximum=1000)] = Field(
        default=3,
        description="Number of chat pods; 0 stops the service and keeps its address. Written by kubectl scale and autoscalers too.",
        examples=[5],
    )
    image: Image | None = Field(
        default=None,
        description="Image of the chat service, with a tag or a digest. Unset means the image that the operator was installed with.",
        examples=["registry.example.com/general-purpose-chatbot:0.1.0"],
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        default="IfNotPresent", description="When a node asks the registry for the image.", examples=["Always"]
    )
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], list_map("name", at_most=8)] = Field(
        default=(),
        description="Secrets with the registry's credentials, in the namespace of the resource.",
        examples=[[{"name": "registry-credentials"}]],
    )
    model: ModelSpec = Field(default=ModelSpec(), description="Which model answers, and how much it may say.")
    system_prompt: SystemPrompt | None = Field(
        default=None,
        description="Instructions that the model gets before every conversation. At most 32 KiB, not blank; unset means none.",
        examples=["You answer questions about our products, briefly."],
    )
    system_prompt_from: SystemPromptSource | None = Field(
        default=None, description="Where the instructions come from instead, if they have a life of their own. Not beside systemPrompt."
    )
    credentials: CredentialsSpec = Field(default=CredentialsSpec(), description="Where the Anthropic API key comes from.")
    upstream: UpstreamSpec = Field(default=UpstreamSpec(), description="The API that the pods talk to.")
    limits: LimitsSpec = Field(default=LimitsSpec(), description="What one pod takes on; the whole service takes replicas times as much.")
    client_auth: ClientAuthSpec = Field(default=ClientAuthSpec(), description="Whether clients must show a token.")
    api: ApiSpec = Field(default=ApiSpec(), description="What the pods offer beside the plain chat.")
    autoscaling: AutoscalingSpec = Field(
        default=AutoscalingSpec(), description="The operator's own scaling, by requests in flight. An HPA or KEDA needs none of it."
    )
    rollout: RolloutSpec = Field(default=RolloutSpec(), description="How a change reaches the pods.")
    drain: DrainSpec = Field(default=DrainSpec(), description="How a pod that ends finishes its work, so that no answer is lost.")
    probes: ProbesSpec = Field(default=ProbesSpec(), description="How kubelet finds out that a pod is up, alive and ready.")
    slo: SloSpec = Field(default=SloSpec(), description="What the service promises; the condition SLOMet says whether it is kept.")
    service: ServiceSpec = Field(default=ServiceSpec(), description="The Service in front of the pods.")
    ingress: IngressSpec | None = Field(default=None, description="The Ingress in front of the Service. Unset means none.")
    network_policy: NetworkPolicySpec = Field(
        default=NetworkPolicySpec(), description="Who may connect to the pods; they may connect to name servers, port 443 and the upstream."
    )
    resources: ResourcesSpec = Field(
        default=ResourcesSpec(), description="Compute resources of one pod; each of the four values has its own default."
    )
    pod_disruption_budget: PodDisruptionBudgetSpec = Field(
        default=PodDisruptionBudgetSpec(), description="Whether node drains take one pod at a time."
    )
    topology_spread: TopologySpreadSpec = Field(
        default=TopologySpreadSpec(), description="Whether the pods are spread over nodes and zones."
    )
    scheduling: SchedulingSpec = Field(default=SchedulingSpec(), description="On which nodes the pods run.")
    logging: LoggingSpec = Field(default=LoggingSpec(), description="What the pods write to their log.")
    monitoring: MonitoringSpec = Field(default=MonitoringSpec(), description="How Prometheus finds the pods' metrics.")
    pod_labels: FurtherLabels = Field(
        default={},
        description="Further labels of the pods, for example the cost centre. A change rolls the pods.",
        examples=[{"cost-centre": "4711"}],
    )
    pod_annotations: Annotated[
        Annotations,
        Admission(("self.all(key, !key.startsWith('kubectl.kubernetes.io/'))", "keys under kubectl.kubernetes.io/ are kubectl's own")),
    ] = Field(
        default={},
        description="Further annotations of the pods, for example for a service mesh. A change rolls the pods.",
        examples=[{"sidecar.istio.io/inject": "false"}],
    )
    env: Annotated[tuple[EnvironmentVariable, ...], list_map("name", at_most=64)] = Field(
        default=(),
        description="Further variables of the pods' environment, for what the resource has no field for.",
        examples=[[{"name": "TZ", "value": "Europe/Berlin"}]],
    )
