// Command load asks one URL again and again over a fixed number of kept connections and reads each answer to its end: a whole one, or a
// stream. An answer is good when it has status 200 and exactly `stamps` moments of sending (@nanoseconds@), whatever surrounds them.
//
// Each connection asks as soon as it has its answer; with `rate`, when the next request is due, and late if all connections are taken. What
// is due does not depend on what was answered, as with clients that know nothing of each other, and latency counts from that moment on.
//
// Every line of standard input is answered by one line of JSON: what happened since the line before. It ends with its standard input, or
// after `seconds`.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

const (
	failuresInARow = 5 // after which a connection gives up
	openingAtOnce  = 64
	overdueAtMost  = 1 << 16
)

// report is what happened since the report before; `Open` answers have begun and not ended.
type report struct {
	Seconds   float64        `json:"seconds"`
	Requests  int            `json:"requests"`
	Stamps    int            `json:"stamps"`
	Open      int            `json:"open"`
	Failed    int            `json:"failed"`
	Reasons   map[string]int `json:"reasons"`
	RequestMs [2]float64     `json:"request_ms"` // p50 and p99 from when it was due, or sent, to the last byte received
	StampMs   [2]float64     `json:"stamp_ms"`   // p50 and p99 from a stamp's moment to its arrival
}

type load struct {
	address string
	request []byte
	stamps  int
	opening chan struct{}  // held from connecting to the first stamp
	due     chan time.Time // when to ask; nil without a rate

	mu        sync.Mutex
	since     time.Time
	now       report
	open      int
	requestMs []float64
	stampMs   []float64
}

func main() {
	target := flag.String("url", "", "what to ask")
	headers := flag.String("headers", "", "more headers, as \"name: value\" lines")
	body := flag.String("body", "", "the request's body")
	connections := flag.Int("connections", 1, "connections, each with one request at a time")
	stamps := flag.Int("stamps", 1, "stamps in a good answer")
	rate := flag.Float64("rate", 0, "requests a second of all connections together; 0 is as many as there can be")
	seconds := flag.Float64("seconds", 60, "when to end at the latest")
	flag.Parse()
	parsed, err := url.Parse(*target)
	if err != nil {
		log.Fatal(err)
	}
	l := &load{
		address: parsed.Host,
		request: requestBytes(parsed, *headers, *body),
		stamps:  *stamps,
		opening: make(chan struct{}, openingAtOnce),
		since:   time.Now(),
	}
	if *rate > 0 {
		l.due = make(chan time.Time, overdueAtMost)
		go l.pace(*rate)
	}
	for range *connections {
		go l.run()
	}
	time.AfterFunc(time.Duration(*seconds*float64(time.Second)), func() { os.Exit(0) })
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, _ := json.Marshal(l.report())
		fmt.Printf("%s\n", answer)
	}
}

func requestBytes(target *url.URL, headers, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", target.RequestURI(), target.Host, len(body))
	for _, line := range strings.Split(strings.TrimSpace(headers), "\n") {
		if line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// pace says when requests are due: at random, independent of each other, `rate` a second in the long run.
func (l *load) pace(rate float64) {
	for due := time.Now(); ; {
		due = due.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		l.due <- due
	}
}

// next returns the moment from which the next request counts, once it has come.
func (l *load) next() time.Time {
	if l.due == nil {
		return time.Now()
	}
	return <-l.due
}

// run asks over one connection after the other until too many failures in a row.
func (l *load) run() {
	for failures := 0; failures < failuresInARow; {
		answered, err := l.connection()
		if answered > 0 {
			failures = 0
		}
		failures++
		l.failed(err)
		time.Sleep(50 * time.Millisecond)
	}
}

// connection returns how many answers were good before the error that ended it.
func (l *load) connection() (int, error) {
	l.opening <- struct{}{}
	c := &connection{load: l}
	defer c.opened()
	socket, err := net.Dial("tcp", l.address)
	if err != nil {
		return 0, fmt.Errorf("connect")
	}
	defer socket.Close()
	reader := bufio.NewReader(socket)
	for answers := 0; ; answers++ {
		if err := c.exchange(socket, reader); err != nil {
			return answers, err
		}
	}
}

type connection struct {
	load    *load
	ready   bool // no longer counts as opening
	inStamp bool
	stamp   int64
	seen    int
}

// opened frees the place among those that are opening.
func (c *connection) opened() {
	if !c.ready {
		c.ready = true
		<-c.load.opening
	}
}

func (c *connection) exchange(socket net.Conn, reader *bufio.Reader) error {
	began := c.load.next()
	if _, err := socket.Write(c.load.request); err != nil {
		return fmt.Errorf("closed")
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return fmt.Errorf("no answer")
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	if err := c.read(response.Body); err != nil {
		return fmt.Errorf("cut")
	}
	if c.seen != c.load.stamps {
		return fmt.Errorf("%d of %d stamps", c.seen, c.load.stamps)
	}
	c.load.answered(time.Since(began))
	if response.Close {
		return fmt.Errorf("connection not kept")
	}
	return nil
}

func (c *connection) read(body io.Reader) error {
	c.seen, c.inStamp = 0, false
	defer func() { c.load.count(0, min(c.seen, 1)) }()
	buffer := make([]byte, 4096)
	for {
		n, err := body.Read(buffer)
		c.scan(buffer[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// scan finds the stamps, also those that are split between two reads.
func (c *connection) scan(text []byte) {
	for len(text) > 0 {
		if !c.inStamp {
			at := bytes.IndexByte(text, '@')
			if at < 0 {
				return
			}
			c.inStamp, c.stamp, text = true, 0, text[at+1:]
			continue
		}
		digit := text[0]
		text = text[1:]
		switch {
		case digit >= '0' && digit <= '9':
			c.stamp = c.stamp*10 + int64(digit-'0')
		case digit == '@':
			c.arrived()
			c.inStamp = false
		default:
			c.inStamp = false
		}
	}
}

func (c *connection) arrived() {
	c.seen++
	c.load.stampArrived(float64(time.Now().UnixNano()-c.stamp)/1e6, c.seen == 1)
	c.opened()
}

func (l *load) stampArrived(ms float64, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Stamps++
	l.stampMs = append(l.stampMs, ms)
	if first {
		l.open++
	}
}

func (l *load) count(begun, ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open += begun - ended
}

func (l *load) answered(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Requests++
	l.requestMs = append(l.requestMs, took.Seconds()*1000)
}

func (l *load) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Failed++
	if l.now.Reasons == nil {
		l.now.Reasons = map[string]int{}
	}
	l.now.Reasons[err.Error()]++
}

func (l *load) report() report {
	l.mu.Lock()
	defer l.mu.Unlock()
	answer := l.now
	answer.Seconds = time.Since(l.since).Seconds()
	answer.Open = l.open
	answer.RequestMs = percentiles(l.requestMs)
	answer.StampMs = percentiles(l.stampMs)
	l.now, l.since, l.requestMs, l.stampMs = report{}, time.Now(), nil, nil
	return answer
}

func percentiles(values []float64) [2]float64 {
	if len(values) == 0 {
		return [2]float64{}
	}
	sort.Float64s(values)
	return [2]float64{values[len(values)/2], values[len(values)*99/100]}
}
