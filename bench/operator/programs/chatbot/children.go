package chatbot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What both halves of the contract with the pods agree on.
const (
	FieldManager     = "controller-runtime"
	ManagedByLabel   = "app.kubernetes.io/managed-by"
	InstanceLabel    = "app.kubernetes.io/instance"
	IntentAnnotation = "chatbot.dev/intent-hash"
	ReportPort       = 9090
	chatPort         = 8080
	userID           = 1001
	minReadySeconds  = 5
)

// Children returns what a resource needs, in the order of application, each with the digest of its own intent.
func Children(owner *ChatbotDeployment, defaultImage string) ([]client.Object, error) {
	children := []client.Object{
		serviceAccount(owner), service(owner), networkPolicy(owner), deployment(owner, defaultImage), disruptionBudget(owner),
	}
	for _, child := range children {
		rendered, err := json.Marshal(child)
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(rendered)
		child.SetAnnotations(map[string]string{IntentAnnotation: hex.EncodeToString(digest[:16])})
	}
	return children, nil
}

// Image returns what the pods run.
func Image(owner *ChatbotDeployment, defaultImage string) string {
	if owner.Spec.Image != "" {
		return owner.Spec.Image
	}
	return defaultImage
}

// SelectorLabels select the pods of a resource.
func SelectorLabels(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": "chatbot", InstanceLabel: name, ManagedByLabel: FieldManager}
}

func childLabels(name string) map[string]string {
	all := SelectorLabels(name)
	all["app.kubernetes.io/component"] = "chat-service"
	all["app.kubernetes.io/part-of"] = "chatbot-operator"
	return all
}

func head(owner *ChatbotDeployment, apiVersion, kind string) (metav1.TypeMeta, metav1.ObjectMeta) {
	reference := metav1.OwnerReference{
		APIVersion: GroupVersion.String(), Kind: "ChatbotDeployment", Name: owner.Name, UID: owner.UID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(false),
	}
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}, metav1.ObjectMeta{
		Name: owner.Name, Namespace: owner.Namespace, Labels: childLabels(owner.Name), OwnerReferences: []metav1.OwnerReference{reference},
	}
}

func serviceAccount(owner *ChatbotDeployment) client.Object {
	kind, metadata := head(owner, "v1", "ServiceAccount")
	return &corev1.ServiceAccount{TypeMeta: kind, ObjectMeta: metadata, AutomountServiceAccountToken: ptr.To(false)}
}

func service(owner *ChatbotDeployment) client.Object {
	kind, metadata := head(owner, "v1", "Service")
	return &corev1.Service{TypeMeta: kind, ObjectMeta: metadata, Spec: corev1.ServiceSpec{
		Type:     owner.Spec.Service.Type,
		Selector: SelectorLabels(owner.Name),
		Ports: []corev1.ServicePort{{
			Name: "http", Port: owner.Spec.Service.Port, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http"), AppProtocol: ptr.To("http"),
		}},
	}}
}

func networkPolicy(owner *ChatbotDeployment) client.Object {
	kind, metadata := head(owner, "networking.k8s.io/v1", "NetworkPolicy")
	port := func(protocol corev1.Protocol, number int) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: ptr.To(intstr.FromInt(number))}
	}
	operator := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": FieldManager}}}
	return &networkingv1.NetworkPolicy{TypeMeta: kind, ObjectMeta: metadata, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: SelectorLabels(owner.Name)},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{
			{Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, chatPort)}},
			{From: []networkingv1.NetworkPolicyPeer{operator}, Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, ReportPort)}},
		},
		Egress: []networkingv1.NetworkPolicyEgressRule{
			{Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53)}},
			{Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, 443)}},
		},
	}}
}

func disruptionBudget(owner *ChatbotDeployment) client.Object {
	kind, metadata := head(owner, "policy/v1", "PodDisruptionBudget")
	return &policyv1.PodDisruptionBudget{TypeMeta: kind, ObjectMeta: metadata, Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable:             ptr.To(intstr.FromInt(1)),
		Selector:                   &metav1.LabelSelector{MatchLabels: SelectorLabels(owner.Name)},
		UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
	}}
}

func deployment(owner *ChatbotDeployment, defaultImage string) client.Object {
	kind, metadata := head(owner, "apps/v1", "Deployment")
	return &appsv1.Deployment{TypeMeta: kind, ObjectMeta: metadata, Spec: appsv1.DeploymentSpec{
		Replicas:                &owner.Spec.Replicas,
		RevisionHistoryLimit:    ptr.To(int32(5)),
		MinReadySeconds:         minReadySeconds,
		ProgressDeadlineSeconds: ptr.To(int32(600)),
		Strategy: appsv1.DeploymentStrategy{
			Type:          appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(intstr.FromInt(1)), MaxUnavailable: ptr.To(intstr.FromInt(0))},
		},
		Selector: &metav1.LabelSelector{MatchLabels: SelectorLabels(owner.Name)},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: childLabels(owner.Name)}, Spec: podSpec(owner, defaultImage)},
	}}
}

func podSpec(owner *ChatbotDeployment, defaultImage string) corev1.PodSpec {
	secret := owner.Spec.Credentials.SecretRef
	spread := func(key string) corev1.TopologySpreadConstraint {
		return corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway, MatchLabelKeys: []string{"pod-template-hash"},
			LabelSelector: &metav1.LabelSelector{MatchLabels: SelectorLabels(owner.Name)},
		}
	}
	return corev1.PodSpec{
		ServiceAccountName:            owner.Name,
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To(int64(45)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(int64(userID)), RunAsGroup: ptr.To(int64(userID)), FSGroup: ptr.To(int64(userID)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")},
		Containers:                []corev1.Container{container(owner, defaultImage)},
		Volumes: []corev1.Volume{
			{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(resource.MustParse("64Mi"))}}},
			{Name: "credentials", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: secret.Name, Optional: ptr.To(true), DefaultMode: ptr.To(int32(0o440)),
				Items: []corev1.KeyToPath{{Key: secret.Key, Path: "anthropic-api-key"}},
			}}},
		},
	}
}

func container(owner *ChatbotDeployment, defaultImage string) corev1.Container {
	return corev1.Container{
		Name:                     "chatbot",
		Image:                    Image(owner, defaultImage),
		ImagePullPolicy:          corev1.PullIfNotPresent,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		Env:                      environment(owner),
		Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: chatPort, Protocol: corev1.ProtocolTCP}, {Name: "admin", ContainerPort: ReportPort, Protocol: corev1.ProtocolTCP},
		},
		Resources: owner.Spec.Resources,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		StartupProbe:   probe("/health/live", 1, 2, 60),
		LivenessProbe:  probe("/health/live", 10, 5, 6),
		ReadinessProbe: probe("/health/ready", 5, 3, 2),
		VolumeMounts:   []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}, {Name: "credentials", MountPath: "/etc/chatbot/credentials", ReadOnly: true}},
	}
}

func environment(owner *ChatbotDeployment) []corev1.EnvVar {
	fromPod := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
	}
	upstream, limits := owner.Spec.Upstream, owner.Spec.Limits
	return []corev1.EnvVar{
		{Name: "SERVICE_NAME", Value: owner.Name},
		{Name: "PORT", Value: fmt.Sprint(chatPort)},
		{Name: "ADMIN_PORT", Value: fmt.Sprint(ReportPort)},
		{Name: "ADMIN_HOST", Value: "0.0.0.0"},
		{Name: "LOG_LEVEL", Value: owner.Spec.Logging.Level},
		{Name: "LOG_FORMAT", Value: owner.Spec.Logging.Format},
		{Name: "DRAIN_DELAY", Value: owner.Spec.Drain.Delay},
		{Name: "DRAIN_TIMEOUT", Value: owner.Spec.Drain.Timeout},
		{Name: "CLAUDE_MODEL", Value: owner.Spec.Model.Name},
		{Name: "CLAUDE_MAX_TOKENS", Value: fmt.Sprint(owner.Spec.Model.MaxTokens)},
		{Name: "ANTHROPIC_BASE_URL", Value: upstream.BaseURL},
		{Name: "UPSTREAM_CONNECT_TIMEOUT", Value: upstream.Timeouts.Connect},
		{Name: "UPSTREAM_FIRST_BYTE_TIMEOUT", Value: upstream.Timeouts.FirstByte},
		{Name: "UPSTREAM_IDLE_TIMEOUT", Value: upstream.Timeouts.Idle},
		{Name: "UPSTREAM_TOTAL_TIMEOUT", Value: upstream.Timeouts.Total},
		{Name: "ANTHROPIC_MAX_RETRIES", Value: fmt.Sprint(upstream.Retries.MaxAttempts)},
		{Name: "ANTHROPIC_INITIAL_BACKOFF", Value: upstream.Retries.InitialBackoff},
		{Name: "ANTHROPIC_MAX_BACKOFF", Value: upstream.Retries.MaxBackoff},
		{Name: "RETRY_BUDGET_PERCENT", Value: fmt.Sprint(upstream.Retries.BudgetPercent)},
		{Name: "BREAKER_FAILURE_THRESHOLD", Value: fmt.Sprint(upstream.CircuitBreaker.FailureThreshold)},
		{Name: "BREAKER_RESET_TIMEOUT", Value: upstream.CircuitBreaker.ResetTimeout},
		{Name: "REQUEST_TIMEOUT", Value: limits.RequestTimeout},
		{Name: "MAX_REQUEST_SIZE", Value: fmt.Sprint(limits.MaxRequestBytes)},
		{Name: "RATE_LIMIT_RPS", Value: fmt.Sprint(limits.RequestsPerSecond)},
		{Name: "MAX_IN_FLIGHT", Value: fmt.Sprint(limits.MaxInFlight)},
		{Name: "QUEUE_SIZE", Value: fmt.Sprint(limits.Queue)},
		{Name: "QUEUE_TIMEOUT", Value: limits.QueueTimeout},
		{Name: "CLIENT_AUTH_MODE", Value: owner.Spec.ClientAuth.Mode},
		{Name: "ANTHROPIC_API_KEY_FILE", Value: "/etc/chatbot/credentials/anthropic-api-key"},
		fromPod("POD_UID", "metadata.uid"),
		fromPod("POD_TEMPLATE_HASH", "metadata.labels['pod-template-hash']"),
	}
}

func probe(path string, period, timeout, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("admin"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: timeout, FailureThreshold: failures, SuccessThreshold: 1,
	}
}
