// Floor applies the same children and one status for every resource, and nothing else: no watch, no cache, no comparison.
//
// It says "done" when it has, and stays until it is ended, so that its CPU time and memory can be read.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"chatbot.dev/bench/operator/chatbot"
)

const workers = 8

var plurals = map[string]string{
	"ServiceAccount": "api/v1/namespaces/%s/serviceaccounts", "Service": "api/v1/namespaces/%s/services",
	"NetworkPolicy":       "apis/networking.k8s.io/v1/namespaces/%s/networkpolicies",
	"Deployment":          "apis/apps/v1/namespaces/%s/deployments",
	"PodDisruptionBudget": "apis/policy/v1/namespaces/%s/poddisruptionbudgets",
	"ChatbotDeployment":   "apis/chatbot.dev/v1alpha1/namespaces/%s/chatbotdeployments",
}

type cluster struct {
	http  *http.Client
	host  string
	image string
}

func main() {
	image := flag.String("image", "", "image of the chat pods")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		log.Fatal(err)
	}
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		log.Fatal(err)
	}
	if err := (&cluster{transport, config.Host, *image}).applyAll(); err != nil {
		log.Fatal(err)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("done")
	<-ended
}

func (c *cluster) applyAll() error {
	answer, err := c.http.Get(c.host + "/apis/chatbot.dev/v1alpha1/chatbotdeployments")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var all chatbot.ChatbotDeploymentList
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return err
	}
	var group sync.WaitGroup
	failed := make(chan error, len(all.Items))
	next := make(chan *chatbot.ChatbotDeployment)
	for range workers {
		group.Go(func() {
			for owner := range next {
				if err := c.apply(owner); err != nil {
					failed <- err
				}
			}
		})
	}
	for index := range all.Items {
		next <- &all.Items[index]
	}
	close(next)
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (c *cluster) apply(owner *chatbot.ChatbotDeployment) error {
	children, err := chatbot.Children(owner, c.image)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := c.patch(child, ""); err != nil {
			return err
		}
	}
	body := &chatbot.ChatbotDeployment{TypeMeta: v1.TypeMeta{APIVersion: chatbot.GroupVersion.String(), Kind: "ChatbotDeployment"}}
	body.Namespace, body.Name = owner.Namespace, owner.Name
	body.Status = chatbot.DeriveStatus(owner, &appsv1.Deployment{}, chatbot.Health{}, chatbot.Figures{}, chatbot.Image(owner, c.image))
	return c.patch(body, "/status")
}

func (c *cluster) patch(object client.Object, subresource string) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	kind := object.GetObjectKind().GroupVersionKind().Kind
	path := fmt.Sprintf(plurals[kind], object.GetNamespace()) + "/" + object.GetName() + subresource
	request, err := http.NewRequest(http.MethodPatch, c.host+"/"+path+"?fieldManager="+chatbot.FieldManager+"&force=true", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/apply-patch+yaml")
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("PATCH %s: %s: %s", path, answer.Status, said)
	}
	return err
}
