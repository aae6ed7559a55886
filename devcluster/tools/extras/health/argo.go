package main

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A script has as long and the same libraries as in Argo CD 3.6 (util/lua/lua.go, useOpenLibs off), but for os.time and os.date.
const scriptTimeout = time.Second

var libraries = []struct {
	name string
	open lua.LGFunction
}{
	{lua.LoadLibName, lua.OpenPackage},
	{lua.BaseLibName, lua.OpenBase},
	{lua.TabLibName, lua.OpenTable},
}

var statuses = map[string]bool{
	"Unknown": true, "Progressing": true, "Healthy": true, "Suspended": true, "Degraded": true, "Missing": true,
}

// argoHealth returns status and message as Argo CD does: what is being deleted is not shown to a script, a broken script is Unknown.
func argoHealth(object *unstructured.Unstructured, script string) (string, string) {
	if object.GetDeletionTimestamp() != nil {
		return "Progressing", "Pending deletion"
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	status, message, err := run(state, object, script)
	if err != nil {
		return "Unknown", err.Error()
	}
	return status, message
}

func run(state *lua.LState, object *unstructured.Unstructured, script string) (string, string, error) {
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return "", "", err
		}
	}
	limited, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return "", "", err
	}
	returned, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", fmt.Errorf("expect table output from Lua script, not %s", state.Get(-1).Type())
	}
	return read(returned)
}

func read(returned *lua.LTable) (string, string, error) {
	status, message := returned.RawGetString("status"), returned.RawGetString("message")
	if !statuses[lua.LVAsString(status)] {
		return "", "", fmt.Errorf("Lua returned an invalid health status")
	}
	if message.Type() != lua.LTString && message != lua.LNil {
		return "", "", fmt.Errorf("the message is a %s, not a string", message.Type())
	}
	return lua.LVAsString(status), lua.LVAsString(message), nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch known := value.(type) {
	case bool:
		return lua.LBool(known)
	case string:
		return lua.LString(known)
	case int64:
		return lua.LNumber(known)
	case float64:
		return lua.LNumber(known)
	case []any:
		list := state.NewTable()
		for _, item := range known {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.NewTable()
		for key, item := range known {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}
