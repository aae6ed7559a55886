// Package chatbot is what the candidates written in Go share: the resource as far as they read it, its five children and its status.
package chatbot

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	corev1 "k8s.io/api/core/v1"
)

// GroupVersion is the resource's.
var GroupVersion = schema.GroupVersion{Group: "chatbot.dev", Version: "v1alpha1"}

// AddToScheme makes the resource known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &ChatbotDeployment{}, &ChatbotDeploymentList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// ChatbotDeployment is a chat service. Spec is nil in a body that applies the status.
type ChatbotDeployment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              *Spec  `json:"spec,omitempty"`
	Status            Status `json:"status,omitempty"`
}

// ChatbotDeploymentList is a list of them.
type ChatbotDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ChatbotDeployment `json:"items"`
}

// Spec is what the children follow from; the API server has set every default.
type Spec struct {
	Replicas    int32                       `json:"replicas"`
	Image       string                      `json:"image,omitempty"`
	Model       Model                       `json:"model"`
	Credentials Credentials                 `json:"credentials"`
	Upstream    Upstream                    `json:"upstream"`
	Limits      Limits                      `json:"limits"`
	ClientAuth  ClientAuth                  `json:"clientAuth"`
	Logging     Logging                     `json:"logging"`
	Drain       Drain                       `json:"drain"`
	SLO         SLO                         `json:"slo"`
	Service     Service                     `json:"service"`
	Resources   corev1.ResourceRequirements `json:"resources"`
}

// Model is the model that answers.
type Model struct {
	Name      string `json:"name"`
	MaxTokens int64  `json:"maxTokens"`
}

// Credentials names the Secret with the API key.
type Credentials struct {
	SecretRef SecretRef `json:"secretRef"`
}

// SecretRef is a key of a Secret.
type SecretRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Upstream is the API that the pods talk to.
type Upstream struct {
	BaseURL        string         `json:"baseURL"`
	Timeouts       Timeouts       `json:"timeouts"`
	Retries        Retries        `json:"retries"`
	CircuitBreaker CircuitBreaker `json:"circuitBreaker"`
}

// Timeouts bound an attempt.
type Timeouts struct {
	Connect   string `json:"connect"`
	FirstByte string `json:"firstByte"`
	Idle      string `json:"idle"`
	Total     string `json:"total"`
}

// Retries bound the attempts.
type Retries struct {
	MaxAttempts    int64  `json:"maxAttempts"`
	InitialBackoff string `json:"initialBackoff"`
	MaxBackoff     string `json:"maxBackoff"`
	BudgetPercent  int64  `json:"budgetPercent"`
}

// CircuitBreaker says when the API is left alone.
type CircuitBreaker struct {
	FailureThreshold int64  `json:"failureThreshold"`
	ResetTimeout     string `json:"resetTimeout"`
}

// Limits protect a pod.
type Limits struct {
	RequestTimeout    string `json:"requestTimeout"`
	MaxRequestBytes   int64  `json:"maxRequestBytes"`
	RequestsPerSecond int64  `json:"requestsPerSecond"`
	MaxInFlight       int64  `json:"maxInFlight"`
	Queue             int64  `json:"queue"`
	QueueTimeout      string `json:"queueTimeout"`
}

// ClientAuth says who may chat.
type ClientAuth struct {
	Mode string `json:"mode"`
}

// Logging is how much is said.
type Logging struct {
	Level  string `json:"level"`
	Format string `json:"format"`
}

// Drain is how a pod ends.
type Drain struct {
	Delay   string `json:"delay"`
	Timeout string `json:"timeout"`
}

// SLO is what is promised; of its figures what is held against the reports here.
type SLO struct {
	Window     string `json:"window"`
	MinSamples int64  `json:"minSamples"`
}

// Service is how the pods are reached.
type Service struct {
	Type corev1.ServiceType `json:"type"`
	Port int32              `json:"port"`
}

// Status is what was found.
type Status struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Replicas           int32              `json:"replicas"`
	ReadyReplicas      int32              `json:"readyReplicas"`
	UpdatedReplicas    int32              `json:"updatedReplicas"`
	Selector           string             `json:"selector,omitempty"`
	Ready              string             `json:"ready,omitempty"`
	State              string             `json:"state,omitempty"`
	Summary            string             `json:"summary,omitempty"`
	Image              string             `json:"image,omitempty"`
	Endpoint           string             `json:"endpoint,omitempty"`
	OperatorVersion    string             `json:"operatorVersion,omitempty"`
	Upstream           *UpstreamStatus    `json:"upstream,omitempty"`
	Credentials        *CredentialsStatus `json:"credentials,omitempty"`
	SLO                *SLOStatus         `json:"slo,omitempty"`
	Usage              *UsageStatus       `json:"usage,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// UpstreamStatus counts the pods' circuit breakers.
type UpstreamStatus struct {
	Breaker         string `json:"breaker"`
	BreakerClosed   int32  `json:"breakerClosed"`
	BreakerOpen     int32  `json:"breakerOpen"`
	BreakerHalfOpen int32  `json:"breakerHalfOpen"`
}

// CredentialsStatus is what the pods say of their key.
type CredentialsStatus struct {
	State       string `json:"state"`
	PodsCurrent int32  `json:"podsCurrent"`
}

// SLOStatus is what was measured.
type SLOStatus struct {
	P95Milliseconds                 int64  `json:"p95Milliseconds"`
	TimeToFirstTokenP95Milliseconds int64  `json:"timeToFirstTokenP95Milliseconds"`
	ErrorRatePercent                string `json:"errorRatePercent"`
	AvailabilityPercent             string `json:"availabilityPercent"`
	Samples                         int64  `json:"samples"`
}

// UsageStatus is what the pods used.
type UsageStatus struct {
	InputTokens  int64 `json:"inputTokens"`
	OutputTokens int64 `json:"outputTokens"`
}

// DeepCopyInto copies the resource.
func (in *ChatbotDeployment) DeepCopyInto(out *ChatbotDeployment) {
	*out = *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	if in.Spec != nil {
		spec := *in.Spec
		in.Spec.Resources.DeepCopyInto(&spec.Resources)
		out.Spec = &spec
	}
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopyInto copies the status.
func (in *Status) DeepCopyInto(out *Status) {
	*out = *in
	if in.Upstream != nil {
		upstream := *in.Upstream
		out.Upstream = &upstream
	}
	if in.Credentials != nil {
		credentials := *in.Credentials
		out.Credentials = &credentials
	}
	if in.SLO != nil {
		slo := *in.SLO
		out.SLO = &slo
	}
	if in.Usage != nil {
		usage := *in.Usage
		out.Usage = &usage
	}
	if in.Conditions != nil {
		out.Conditions = make([]metav1.Condition, len(in.Conditions))
		copy(out.Conditions, in.Conditions) // a time.Time is never changed in place
	}
}

// DeepCopyObject copies the resource as an Object.
func (in *ChatbotDeployment) DeepCopyObject() runtime.Object {
	out := new(ChatbotDeployment)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject copies the list as an Object.
func (in *ChatbotDeploymentList) DeepCopyObject() runtime.Object {
	out := &ChatbotDeploymentList{TypeMeta: in.TypeMeta, Items: make([]ChatbotDeployment, len(in.Items))}
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	for index := range in.Items {
		in.Items[index].DeepCopyInto(&out.Items[index])
	}
	return out
}
