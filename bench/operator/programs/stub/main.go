// Stub answers the reports of kwok's pods, whose addresses are this machine's: each with the pod's own uid.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// The report of a pod that serves and whose key is good, of the size that a service's has.
const answer = `{"version":1,"pod":{"uid":%q,"templateHash":%q},"state":"ready","breaker":{"claude-sonnet-5-5":{"state":"closed","trips":0}},` +
	`"lastErrorType":null,"credentials":{"state":"Accepted","fingerprintChangedAt":"2026-01-01T00:00:00Z"},` +
	`"model":{"name":"claude-sonnet-5-5","state":"Available","lifecycle":"active","retiresAt":null},"clientTokens":null,"inFlight":2,` +
	`"windows":{"5m":%[3]s,"1h":%[3]s},"tokens":{"input":481516,"output":2342108}}`

const window = `{"requests":512,"errors":3,` +
	`"latencyMs":{"bounds":[50,100,250,500,1000,2500,5000,10000,30000,60000],"counts":[0,0,3,40,210,190,60,8,1,0,0]},` +
	`"firstTokenMs":{"bounds":[50,100,250,500,1000,2500,5000,10000,30000,60000],"counts":[0,2,60,300,120,25,5,0,0,0,0]}}`

func main() {
	address := flag.String("listen", ":9090", "where the reports are asked for")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		log.Fatal(err)
	}
	reports := &sync.Map{} // by address
	if err := follow(kubernetes.NewForConfigOrDie(config), reports); err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(*address, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		host, _, _ := net.SplitHostPort(request.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		body, known := reports.Load(host)
		if !known {
			http.Error(response, "no pod has this address", http.StatusNotFound)
			return
		}
		response.Header().Set("Content-Type", "application/json")
		if _, err := response.Write(body.([]byte)); err != nil {
			log.Print(err)
		}
	})))
}

// follow keeps the reports of the pods that have an address.
func follow(cluster kubernetes.Interface, reports *sync.Map) error {
	factory := informers.NewSharedInformerFactory(cluster, 0)
	pods := factory.Core().V1().Pods().Informer()
	learn := func(object any) {
		if pod := object.(*corev1.Pod); pod.Status.PodIP != "" && pod.DeletionTimestamp == nil {
			reports.Store(pod.Status.PodIP, fmt.Appendf(nil, answer, pod.UID, pod.Labels["pod-template-hash"], window))
		}
	}
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: learn, UpdateFunc: func(_, object any) { learn(object) }})
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	return err
}
