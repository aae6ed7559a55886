package chatbot

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Health is what the pods of a resource reported.
type Health struct {
	Reports, Closed, HalfOpen, Open, Accepted int32
}

// DeriveStatus returns the status that follows from the live Deployment and the reports.
func DeriveStatus(owner *ChatbotDeployment, live *appsv1.Deployment, health Health, image string) Status {
	status := Status{
		ObservedGeneration: owner.Generation,
		Replicas:           live.Status.Replicas,
		ReadyReplicas:      live.Status.ReadyReplicas,
		UpdatedReplicas:    live.Status.UpdatedReplicas,
		Selector:           labels.SelectorFromSet(SelectorLabels(owner.Name)).String(),
		Ready:              fmt.Sprintf("%d/%d", live.Status.ReadyReplicas, owner.Spec.Replicas),
		Image:              image,
		Endpoint:           fmt.Sprintf("http://%s.%s.svc", owner.Name, owner.Namespace),
		OperatorVersion:    "bench",
		Upstream:           upstream(health),
		Credentials:        &CredentialsStatus{State: "Unverified", PodsCurrent: health.Accepted},
	}
	status.Conditions = append(status.Conditions, owner.Status.Conditions...)
	if health.Accepted > 0 {
		status.Credentials.State = "Accepted"
	}
	setConditions(&status, owner, RolledOut(owner, live), health)
	return status
}

// RolledOut tells whether every pod is of the newest template and has been ready for long enough.
func RolledOut(owner *ChatbotDeployment, live *appsv1.Deployment) bool {
	wanted := owner.Spec.Replicas
	return live.Status.ObservedGeneration >= live.Generation && live.Generation > 0 && live.Status.UpdatedReplicas == wanted &&
		live.Status.Replicas == wanted && live.Status.AvailableReplicas == wanted
}

func setConditions(status *Status, owner *ChatbotDeployment, ready bool, health Health) {
	if ready {
		status.State, status.Summary = "Ready", "All pods are ready."
		set(status, owner, "Ready", metav1.ConditionTrue, "PodsReady", status.Summary)
		meta.RemoveStatusCondition(&status.Conditions, "Reconciling")
	} else {
		status.State, status.Summary = "Progressing", fmt.Sprintf("%s pods are ready; the rollout goes on.", status.Ready)
		set(status, owner, "Ready", metav1.ConditionFalse, "RollingOut", status.Summary)
		set(status, owner, "Reconciling", metav1.ConditionTrue, "RollingOut", status.Summary)
	}
	if status.ReadyReplicas > 0 {
		set(status, owner, "Available", metav1.ConditionTrue, "PodsServing", "At least one pod serves.")
	} else {
		set(status, owner, "Available", metav1.ConditionFalse, "NoReadyPods", "No pod serves: see the condition Ready.")
	}
	if health.Accepted > 0 {
		set(status, owner, "CredentialsValid", metav1.ConditionTrue, "Accepted", "The API accepts the key.")
	} else {
		set(status, owner, "CredentialsValid", metav1.ConditionUnknown, "NoReport", "No pod has reported yet: see the condition Ready if it lasts.")
	}
}

func set(status *Status, owner *ChatbotDeployment, kind string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: owner.Generation,
	})
}

func upstream(health Health) *UpstreamStatus {
	if health.Reports == 0 {
		return nil
	}
	worst := "closed"
	if health.HalfOpen > 0 {
		worst = "half_open"
	}
	if health.Open > 0 {
		worst = "open"
	}
	return &UpstreamStatus{Breaker: worst, BreakerClosed: health.Closed, BreakerOpen: health.Open, BreakerHalfOpen: health.HalfOpen}
}
