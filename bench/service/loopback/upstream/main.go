// Command upstream is a cheap stand-in for the Anthropic Messages API on loopback: whole answers, and streams whose every piece of text
// carries the moment at which it was sent, as @nanoseconds since 1970@. It checks nothing.
//
// What it does is asked for in the conversation's text, which every gateway passes on as it is: "events=100 every=20ms burst=1" is a
// hundred pieces, one each 20 ms. GET /open tells how many streams are open. With -root it speaks TLS, by a certificate made for this run,
// and writes what a client has to trust to that file. It prints its URL and ends when its standard input does.
package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const usage = `{"input_tokens":12,"output_tokens":34}`

const message = `{"id":"msg_01bench","type":"message","role":"assistant","model":"claude-sonnet-5-5",` +
	`"content":[%s],"stop_reason":%s,"stop_sequence":null,"usage":` + usage + `}`

var (
	started = time.Now()
	open    atomic.Int64  // streams
	opened  atomic.Uint64 // streams, since the start
)

var asked = regexp.MustCompile(`events=(\d+) every=([0-9a-z]+) burst=(\d+)`)

// plan is how a stream goes: `events` pieces of text, `burst` at a time, `every` apart.
type plan struct {
	events, burst int
	every         time.Duration
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	rootFile := flag.String("root", "", "speak TLS, and write the root of its certificate to this file, as PEM")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	scheme := "http"
	if *rootFile != "" {
		scheme = "https"
		listener = secured(listener, *rootFile)
	}
	http.HandleFunc("/v1/messages", serveMessages)
	http.HandleFunc("/v1/models/", serveModel)
	http.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, open.Load()) })
	fmt.Printf("%s://%s\n", scheme, listener.Addr())
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	io.Copy(io.Discard, os.Stdin)
}

// secured speaks TLS, and no HTTP/2 within it.
func secured(listener net.Listener, rootFile string) net.Listener {
	chain, err := newChain(listener.Addr().(*net.TCPAddr).IP, rootFile)
	if err != nil {
		log.Fatal(err)
	}
	return tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{chain}, NextProtos: []string{"http/1.1"}})
}

func serveModel(w http.ResponseWriter, r *http.Request) {
	head(w, "application/json")
	fmt.Fprintf(w, `{"type":"model","id":%q,"display_name":"Bench","created_at":"2026-01-01T00:00:00Z","lifecycle":"active","retires_at":null,`+
		`"max_input_tokens":200000,"max_tokens":64000}`, strings.TrimPrefix(r.URL.Path, "/v1/models/"))
}

func serveMessages(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if bytes.Contains(body, []byte(`"stream":true`)) || bytes.Contains(body, []byte(`"stream": true`)) {
		stream(w, r, planOf(body))
		return
	}
	head(w, "application/json")
	fmt.Fprintf(w, message, `{"type":"text","text":"`+words()+`"}`, `"end_turn"`)
}

func planOf(body []byte) plan {
	found := asked.FindSubmatch(body)
	if found == nil {
		return plan{events: 1, burst: 1}
	}
	events, _ := strconv.Atoi(string(found[1]))
	every, _ := time.ParseDuration(string(found[2]))
	burst, _ := strconv.Atoi(string(found[3]))
	return plan{events, max(burst, 1), every}
}

// stream sends the first burst at once and the others at its own beat.
func stream(w http.ResponseWriter, r *http.Request, p plan) {
	open.Add(1)
	defer open.Add(-1)
	head(w, "text/event-stream; charset=utf-8")
	event(w, "message_start", `"message":`+fmt.Sprintf(message, "", "null"))
	event(w, "content_block_start", `"index":0,"content_block":{"type":"text","text":""}`)
	event(w, "ping", "")
	due := lastBeat(p.every)
	for sent := 0; sent < p.events; {
		for end := min(sent+p.burst, p.events); sent < end; sent++ {
			event(w, "content_block_delta", `"index":0,"delta":{"type":"text_delta","text":"`+words()+`"}`)
		}
		w.(http.Flusher).Flush()
		due = due.Add(p.every)
		if sent < p.events && !wait(r, time.Until(due)) {
			return
		}
	}
	event(w, "content_block_stop", `"index":0`)
	event(w, "message_delta", `"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":`+usage)
	event(w, "message_stop", "")
}

// lastBeat returns when a new stream would have sent before now. However many streams were opened one after the other, and whenever, their
// beats are spread evenly over the interval (multiples of the golden ratio are): pieces that come together cost less, and are not to by chance.
func lastBeat(every time.Duration) time.Time {
	now := time.Now()
	if every <= 0 {
		return now
	}
	_, share := math.Modf(float64(opened.Add(1)) * math.Phi)
	return now.Add(-(now.Sub(started) + time.Duration(share*float64(every))) % every)
}

// wait tells whether the client is still there after d.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func event(w io.Writer, name, fields string) {
	if fields != "" {
		fields = "," + fields
	}
	io.WriteString(w, "event: "+name+"\ndata: {\"type\":\""+name+"\""+fields+"}\n\n")
}

func words() string {
	return "@" + strconv.FormatInt(time.Now().UnixNano(), 10) + "@ and on "
}

// head sets as many headers as the real API does.
func head(w http.ResponseWriter, contentType string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Request-Id", "req_011CSHoEeqs5C35K2UUqR7Fy")
	h.Set("Anthropic-Organization-Id", "00000000-0000-4000-8000-000000000000")
	for _, kind := range []string{"Requests", "Tokens"} {
		h.Set("Anthropic-Ratelimit-"+kind+"-Limit", "4000000")
		h.Set("Anthropic-Ratelimit-"+kind+"-Remaining", "3999999")
		h.Set("Anthropic-Ratelimit-"+kind+"-Reset", "2026-11-01T00:00:00Z")
	}
}
