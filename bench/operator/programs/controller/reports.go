package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"chatbot.dev/bench/operator/chatbot"
)

const (
	settle      = 500 * time.Millisecond // from a change of an EndpointSlice to the poll
	prompt      = 5 * time.Second        // between two polls of a resource that is not ready
	concurrency = 64
)

// report is what is read of a pod's report.
type report struct {
	Version     int
	Pod         struct{ UID string }
	Breaker     map[string]struct{ State string }
	Credentials struct{ State string }
	Model       struct{ Name, State string }
	Windows     map[string]chatbot.Window
	Tokens      struct{ Input, Output int64 }
}

// reports polls the pods while this process leads, and tells of what changed.
type reports struct {
	cluster  client.Client
	interval time.Duration
	changed  chan event.GenericEvent
	pods     http.Client
	lock     sync.Mutex
	health   map[types.NamespacedName]chatbot.Health
	figures  map[types.NamespacedName]chatbot.Figures
	due      map[types.NamespacedName]time.Time
	nudged   chan struct{}
}

func newReports(cluster client.Client, interval time.Duration) *reports {
	transport := &http.Transport{IdleConnTimeout: 4 * interval, DisableCompression: true}
	return &reports{
		cluster: cluster, interval: interval, changed: make(chan event.GenericEvent, 1024),
		pods:   http.Client{Transport: transport, Timeout: 2 * time.Second},
		health: map[types.NamespacedName]chatbot.Health{}, figures: map[types.NamespacedName]chatbot.Figures{}, due: map[types.NamespacedName]time.Time{}, nudged: make(chan struct{}, 1),
	}
}

// of returns what the pods of a resource last said, and whether they were asked.
func (r *reports) of(key types.NamespacedName) (chatbot.Health, chatbot.Figures, bool) {
	r.lock.Lock()
	defer r.lock.Unlock()
	health, known := r.health[key]
	return health, r.figures[key], known
}

// nudge has a resource polled soon: its pods changed.
func (r *reports) nudge(key types.NamespacedName) {
	r.plan(key, settle)
}

func (r *reports) plan(key types.NamespacedName, after time.Duration) {
	r.lock.Lock()
	at := time.Now().Add(after)
	if planned, ok := r.due[key]; !ok || at.Before(planned) {
		r.due[key] = at
	}
	r.lock.Unlock()
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

// Start polls every resource once an interval, and those that are due in between.
func (r *reports) Start(ctx context.Context) error {
	round := time.Now()
	for ctx.Err() == nil {
		due, next := r.take(round)
		if !time.Now().Before(round) {
			var all chatbot.ChatbotDeploymentList
			if err := r.cluster.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
				return err
			}
			due = due[:0]
			for index := range all.Items {
				due = append(due, client.ObjectKeyFromObject(&all.Items[index]))
			}
			round = time.Now().Add(r.interval)
			next = round
		}
		r.poll(ctx, due)
		select {
		case <-ctx.Done():
		case <-r.nudged:
		case <-time.After(time.Until(next)):
		}
	}
	return nil
}

// take returns what is due, and when the next will be.
func (r *reports) take(round time.Time) ([]types.NamespacedName, time.Time) {
	r.lock.Lock()
	defer r.lock.Unlock()
	var due []types.NamespacedName
	now, next := time.Now(), round
	for key, at := range r.due {
		if !at.After(now) {
			due = append(due, key)
			delete(r.due, key)
		} else if at.Before(next) {
			next = at
		}
	}
	return due, next
}

func (r *reports) poll(ctx context.Context, keys []types.NamespacedName) {
	slots := make(chan struct{}, concurrency)
	var polls sync.WaitGroup
	for _, key := range keys {
		slots <- struct{}{}
		polls.Go(func() {
			defer func() { <-slots }()
			r.ask(ctx, key)
		})
	}
	polls.Wait()
}

// ask merges what every pod of one resource says.
func (r *reports) ask(ctx context.Context, key types.NamespacedName) {
	var slices discoveryv1.EndpointSliceList
	selector := client.MatchingLabels{discoveryv1.LabelServiceName: key.Name}
	if err := r.cluster.List(ctx, &slices, client.InNamespace(key.Namespace), selector, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	var health chatbot.Health
	var figures chatbot.Figures
	expected := 0
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.TargetRef == nil || endpoint.Conditions.Terminating != nil && *endpoint.Conditions.Terminating {
				continue
			}
			expected++
			if report, err := r.fetch(ctx, endpoint.Addresses[0]); err == nil && report.Pod.UID == string(endpoint.TargetRef.UID) {
				add(&health, report)
				figures.Add(report.Windows, report.Tokens.Input, report.Tokens.Output)
			}
		}
	}
	r.store(key, health, figures, expected)
}

func add(health *chatbot.Health, report report) {
	health.Reports++
	switch report.Breaker[report.Model.Name].State {
	case "open":
		health.Open++
	case "half_open":
		health.HalfOpen++
	default:
		health.Closed++
	}
	if report.Credentials.State == "Accepted" {
		health.Accepted++
	}
	if report.Model.State == "Available" {
		health.Offered++
	}
}

func (r *reports) store(key types.NamespacedName, health chatbot.Health, figures chatbot.Figures, expected int) {
	r.lock.Lock()
	before, known := r.health[key]
	r.health[key], r.figures[key] = health, figures
	r.lock.Unlock()
	if !known || health != before {
		owner := &chatbot.ChatbotDeployment{}
		owner.Namespace, owner.Name = key.Namespace, key.Name
		r.changed <- event.GenericEvent{Object: owner}
	}
	if int(health.Reports) < expected {
		r.plan(key, min(prompt, r.interval))
	}
}

func (r *reports) fetch(ctx context.Context, address string) (report, error) {
	var found report
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/report", address, chatbot.ReportPort), nil)
	if err != nil {
		return found, err
	}
	response, err := r.pods.Do(request)
	if err != nil {
		return found, err
	}
	defer response.Body.Close()
	return found, json.NewDecoder(response.Body).Decode(&found)
}
