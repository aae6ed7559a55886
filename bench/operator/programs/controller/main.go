// Controller is an operator of the same function as the one under test, written as controller-runtime's book teaches it.
//
// It keeps five children and the status by server-side apply, skips what does not differ, polls the pods' reports and adds up their
// histograms. It has the options on that help it: no client-side rate limit, no managed fields in its caches, only its own objects in
// them. It does less where nothing fails: no autoscaling, no Events, no reasons why pods are not ready.
package main

import (
	"flag"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"chatbot.dev/bench/operator/chatbot"
)

func main() {
	namespace := flag.String("namespace", "bench", "where the Lease lives")
	image := flag.String("image", "", "image of the chat pods")
	metrics := flag.String("metrics", "0", "address of /metrics")
	interval := flag.Duration("interval", 15*time.Second, "between two polls of the pods' reports")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(*namespace, *image, *metrics, *interval); err != nil {
		ctrl.Log.Error(err, "the operator ends")
		os.Exit(1)
	}
}

func run(namespace, image, metrics string, interval time.Duration) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, chatbot.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	config := ctrl.GetConfigOrDie()
	config.QPS = -1
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cacheOptions(),
		Client:                        client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
		Metrics:                       server.Options{BindAddress: metrics},
		LeaderElection:                true,
		LeaderElectionID:              "controller-runtime",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		RetryPeriod:                   ptr.To(5 * time.Second), // as often as the operator under test
	})
	if err != nil {
		return err
	}
	reports := newReports(manager.GetClient(), interval)
	if err := manager.Add(reports); err != nil {
		return err
	}
	if err := newReconciler(manager.GetClient(), image, reports).setUp(manager); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func cacheOptions() cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{chatbot.ManagedByLabel: chatbot.FieldManager})}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&appsv1.Deployment{}: ours, &corev1.Service{}: ours, &corev1.ServiceAccount{}: ours, &networkingv1.NetworkPolicy{}: ours,
			&policyv1.PodDisruptionBudget{}: ours, &discoveryv1.EndpointSlice{}: ours,
		},
	}
}
