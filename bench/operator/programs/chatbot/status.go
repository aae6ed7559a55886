package chatbot

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Health is what the pods of a resource reported, but for what changes with every request.
type Health struct {
	Reports, Closed, HalfOpen, Open, Accepted, Offered int32
}

// DeriveStatus returns the status that follows from the live Deployment and the reports.
func DeriveStatus(owner *ChatbotDeployment, live *appsv1.Deployment, health Health, figures Figures, image string) Status {
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
	seen := figures.Windows[owner.Spec.SLO.Window]
	if health.Reports > 0 {
		status.SLO, status.Usage = seen.status(), &UsageStatus{roundedDown(figures.InputTokens), roundedDown(figures.OutputTokens)}
	}
	setReported(&status, owner, health, seen)
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
}

// setReported sets the conditions that follow from what the pods said.
func setReported(status *Status, owner *ChatbotDeployment, health Health, seen Window) {
	if health.Reports == 0 {
		for _, kind := range []string{"CredentialsValid", "ModelAvailable", "UpstreamAvailable", "SLOMet"} {
			set(status, owner, kind, metav1.ConditionUnknown, "NoReport", "No pod has reported yet: see the condition Ready if it lasts.")
		}
		return
	}
	secret, model := owner.Spec.Credentials.SecretRef, owner.Spec.Model.Name
	judge := func(kind string, good bool, reason, otherwise, message string) {
		if good {
			set(status, owner, kind, metav1.ConditionTrue, reason, message)
		} else {
			set(status, owner, kind, metav1.ConditionFalse, otherwise, "Not so: "+message)
		}
	}
	judge("CredentialsValid", health.Accepted > 0, "Accepted", "KeyRejected", fmt.Sprintf("The API accepts key %s of Secret %s.", secret.Key, secret.Name))
	judge("ModelAvailable", health.Offered > 0, "ModelFound", "ModelNotFound", fmt.Sprintf("The API offers the model %s.", model))
	judge("UpstreamAvailable", health.Open+health.HalfOpen == 0, "BreakersClosed", "BreakersOpen", "The API answers every pod.")
	if seen.Requests < owner.Spec.SLO.MinSamples {
		set(status, owner, "SLOMet", metav1.ConditionUnknown, "TooLittleTraffic", "There were too few requests to judge.")
	} else {
		judge("SLOMet", seen.Errors*100 <= seen.Requests, "ObjectivesMet", "ObjectivesMissed", "What spec.slo promises was kept.")
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
