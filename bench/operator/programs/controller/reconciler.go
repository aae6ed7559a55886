package main

import (
	"context"
	"reflect"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"chatbot.dev/bench/operator/chatbot"
)

const (
	workers  = 8
	patience = 30 * time.Second // for how long a rollout may go on before it is worth a status, and between two counts or figures
)

type rendered struct {
	generation int64
	children   []client.Object
}

// told says when the status of a generation was written, or that generation was first seen.
type told struct {
	generation int64
	at         time.Time
}

type reconciler struct {
	client.Client
	image   string
	reports *reports
	lock    sync.Mutex
	memo    map[types.UID]rendered
	told    map[types.UID]told
}

func newReconciler(cluster client.Client, image string, reports *reports) *reconciler {
	return &reconciler{Client: cluster, image: image, reports: reports, memo: map[types.UID]rendered{}, told: map[types.UID]told{}}
}

func (r *reconciler) setUp(manager ctrl.Manager) error {
	slices := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		key := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetLabels()[chatbot.InstanceLabel]}
		r.reports.nudge(key)
		return []reconcile.Request{{NamespacedName: key}}
	})
	return ctrl.NewControllerManagedBy(manager).
		For(&chatbot.ChatbotDeployment{}).
		Owns(&corev1.ServiceAccount{}).
		Owns(&corev1.Service{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Owns(&appsv1.Deployment{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Watches(&discoveryv1.EndpointSlice{}, slices).
		WatchesRawSource(source.Channel(r.reports.changed, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
}

// Reconcile brings the children to what the resource says, and the status to what is live.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var owner chatbot.ChatbotDeployment
	if err := r.Get(ctx, request.NamespacedName, &owner); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if owner.DeletionTimestamp != nil {
		r.forget(owner.UID)
		return ctrl.Result{}, nil
	}
	children, err := r.render(&owner)
	if err != nil {
		return ctrl.Result{}, err
	}
	var deployment appsv1.Deployment
	for _, child := range children {
		live, err := r.apply(ctx, child)
		if err != nil {
			return ctrl.Result{}, err
		}
		if found, ok := live.(*appsv1.Deployment); ok {
			deployment = *found
		}
	}
	health, figures, known := r.reports.of(request.NamespacedName)
	status := chatbot.DeriveStatus(&owner, &deployment, health, figures, chatbot.Image(&owner, r.image))
	if status.ReadyReplicas > 0 && !known {
		return ctrl.Result{}, nil // the poll that is about to end leads here again
	}
	return r.writeStatus(ctx, &owner, status)
}

func (r *reconciler) render(owner *chatbot.ChatbotDeployment) ([]client.Object, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if known, ok := r.memo[owner.UID]; ok && known.generation == owner.Generation {
		return known.children, nil
	}
	children, err := chatbot.Children(owner, r.image)
	if err == nil {
		r.memo[owner.UID] = rendered{owner.Generation, children}
	}
	return children, err
}

// apply writes a child unless the live one is as it should be, and returns the live one.
func (r *reconciler) apply(ctx context.Context, child client.Object) (client.Object, error) {
	live := reflect.New(reflect.TypeOf(child).Elem()).Interface().(client.Object)
	err := r.Get(ctx, client.ObjectKeyFromObject(child), live)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if err == nil && (live.GetDeletionTimestamp() != nil || same(child, live)) {
		return live, nil
	}
	answer := child.DeepCopyObject().(client.Object)
	return answer, r.Patch(ctx, answer, client.Apply, client.FieldOwner(chatbot.FieldManager), client.ForceOwnership)
}

// same tells whether everything that child says is so in live; what it does not say belongs to others.
func same(child, live client.Object) bool {
	if child.GetAnnotations()[chatbot.IntentAnnotation] != live.GetAnnotations()[chatbot.IntentAnnotation] {
		return false
	}
	if !equality.Semantic.DeepDerivative(child.GetLabels(), live.GetLabels()) ||
		!equality.Semantic.DeepDerivative(child.GetOwnerReferences(), live.GetOwnerReferences()) {
		return false
	}
	switch child := child.(type) {
	case *appsv1.Deployment:
		return equality.Semantic.DeepDerivative(child.Spec, live.(*appsv1.Deployment).Spec)
	case *corev1.Service:
		return equality.Semantic.DeepDerivative(child.Spec, live.(*corev1.Service).Spec)
	case *corev1.ServiceAccount:
		return equality.Semantic.DeepEqual(child.AutomountServiceAccountToken, live.(*corev1.ServiceAccount).AutomountServiceAccountToken)
	case *networkingv1.NetworkPolicy:
		return equality.Semantic.DeepDerivative(child.Spec, live.(*networkingv1.NetworkPolicy).Spec)
	case *policyv1.PodDisruptionBudget:
		return equality.Semantic.DeepDerivative(child.Spec, live.(*policyv1.PodDisruptionBudget).Spec)
	}
	return false
}

func (r *reconciler) writeStatus(ctx context.Context, owner *chatbot.ChatbotDeployment, status chatbot.Status) (ctrl.Result, error) {
	if equality.Semantic.DeepEqual(owner.Status, status) {
		return ctrl.Result{}, nil
	}
	if wait := r.patience(owner, status); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	body := &chatbot.ChatbotDeployment{TypeMeta: metav1.TypeMeta{APIVersion: chatbot.GroupVersion.String(), Kind: "ChatbotDeployment"}, Status: status}
	body.Namespace, body.Name = owner.Namespace, owner.Name
	err := r.Status().Patch(ctx, body, client.Apply, client.FieldOwner(chatbot.FieldManager), client.ForceOwnership)
	r.lock.Lock()
	r.told[owner.UID] = told{owner.Generation, time.Now()}
	r.lock.Unlock()
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// patience returns for how long the status is not worth a write: a rollout that goes well costs one, at its end.
func (r *reconciler) patience(owner *chatbot.ChatbotDeployment, status chatbot.Status) time.Duration {
	r.lock.Lock()
	defer r.lock.Unlock()
	last, known := r.told[owner.UID]
	if !known || last.generation != owner.Generation {
		last = told{owner.Generation, time.Now()}
		r.told[owner.UID] = last
	}
	turned := owner.Status.State != status.State
	if owner.Status.ObservedGeneration == owner.Generation && turned || status.State == "Ready" && owner.Status.ObservedGeneration != owner.Generation {
		return 0
	}
	return patience - time.Since(last.at)
}

func (r *reconciler) forget(uid types.UID) {
	r.lock.Lock()
	defer r.lock.Unlock()
	delete(r.memo, uid)
	delete(r.told, uid)
}
