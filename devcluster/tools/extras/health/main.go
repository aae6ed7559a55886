// Command health says what others make of an object's status: kstatus, by the very library that Helm waits with, and Argo CD, by the
// script that it is given. Objects come in as JSON, one a line; the verdicts go out in the same way.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const longestLine = 4 << 20

type verdict struct {
	Kstatus status.Status `json:"kstatus"`
	Argo    string        `json:"argo"`
	Message string        `json:"message"`
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: health HEALTH.LUA, objects on standard input"))
	}
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		answer, err := judge(lines.Bytes(), string(script))
		if err != nil {
			fail(err)
		}
		if err := answers.Encode(answer); err != nil {
			fail(err)
		}
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

func judge(line []byte, script string) (*verdict, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(line); err != nil {
		return nil, err
	}
	computed, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	argo, message := argoHealth(object, script)
	return &verdict{computed.Status, argo, message}, nil
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "health: %v\n", err)
	os.Exit(1)
}
