// Command proxy is the least that stands between a client and an API: Go's reverse proxy. The unit of the benchmark's ratios.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	to := flag.String("to", "", "URL of the API")
	flag.Parse()
	target, err := url.Parse(*to)
	if err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target) // flushes every event of a text/event-stream by itself
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1000}
	log.Fatal(http.ListenAndServe(*listen, proxy))
}
