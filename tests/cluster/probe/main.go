// Command probe is the program of the cluster tests' pods: it serves its host name, resolves names and fetches URLs.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const patience = 15 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "get" {
		return get(arguments[1])
	}
	if len(arguments) == 2 && arguments[0] == "resolve" {
		return resolve(arguments[1])
	}
	if len(arguments) == 1 && arguments[0] == "serve" {
		return serve()
	}
	return fmt.Errorf("usage: probe serve | get URL | resolve NAME")
}

func serve() error {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		fmt.Println("served", request.URL.Path)
		fmt.Fprint(response, name)
	})}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	fmt.Println("serving")
	select {
	case err := <-failed:
		return err
	case <-ended.Done():
		return nil
	}
}

func get(url string) error {
	client := http.Client{Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func resolve(name string) error {
	deadline, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(deadline, name)
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(addresses, " "))
	return nil
}
