// Program gitops puts questions to the libraries that Argo CD and Flux are made of, so that tests can tell what these tools make of
// an object. It reads one JSON object from standard input and writes one to standard output.
//
//	health      an object and a Lua script of Argo CD: its health, as Argo CD's interpreter runs the script
//	normalize   two objects and managers of fields: what is left to differ for Argo CD under managedFieldsManagers
//	status      an object: what kstatus, and so Flux and kubectl's relatives, make of it
//	apply       objects and Flux's ignore rules: they are applied to the cluster of $KUBECONFIG as kustomize-controller does it
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/v3/util/argo/managedfields"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/jsondiff"
	"github.com/fluxcd/pkg/ssa/normalize"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type rule struct {
	Paths  []string
	Target *jsondiff.Selector
}

type question struct {
	Object   map[string]any
	Objects  []map[string]any
	Live     map[string]any
	Config   map[string]any
	Script   string
	Managers []string
	Ignore   []rule
}

func main() {
	answers := map[string]func(question) (any, error){
		"health": health, "normalize": normalized, "status": statusOf, "apply": apply,
	}
	if len(os.Args) != 2 || answers[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: gitops health|normalize|status|apply"))
	}
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail(err)
	}
	answer, err := answers[os.Args[1]](asked)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// health opens the libraries that Argo CD opens for a check (util/lua/lua.go, runLuaWithResourceActionParameters).
func health(asked question) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	state.SetGlobal("obj", toLua(state, asked.Object))
	if err := state.DoString(asked.Script); err != nil {
		return nil, err
	}
	said, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script returns %s and not a table", state.Get(-1).Type())
	}
	return map[string]string{"status": lua.LVAsString(said.RawGetString("status")), "message": lua.LVAsString(said.RawGetString("message"))}, nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch known := value.(type) {
	case bool:
		return lua.LBool(known)
	case float64:
		return lua.LNumber(known)
	case string:
		return lua.LString(known)
	case []any:
		table := state.CreateTable(len(known), 0)
		for _, each := range known {
			table.Append(toLua(state, each))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(known))
		for key, each := range known {
			table.RawSetString(key, toLua(state, each))
		}
		return table
	}
	return lua.LNil
}

func normalized(asked question) (any, error) {
	live, config, err := managedfields.Normalize(
		&unstructured.Unstructured{Object: asked.Live}, &unstructured.Unstructured{Object: asked.Config}, asked.Managers, nil,
	)
	if err != nil {
		return nil, err
	}
	return map[string]any{"live": live.Object, "config": config.Object}, nil
}

func statusOf(asked question) (any, error) {
	found, err := status.Compute(unstructuredOf(asked.Object))
	if err != nil {
		return nil, err
	}
	return map[string]string{"status": found.Status.String(), "message": found.Message}, nil
}

// unstructuredOf reads an object as clients do: whole numbers are integers.
func unstructuredOf(object map[string]any) *unstructured.Unstructured {
	text, err := json.Marshal(object)
	if err != nil {
		fail(err)
	}
	read := &unstructured.Unstructured{}
	if err := read.UnmarshalJSON(text); err != nil {
		fail(err)
	}
	return read
}

// apply does what KustomizationReconciler.apply does with the objects of a Kustomization.
func apply(asked question) (any, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, each := range asked.Objects {
		objects = append(objects, unstructuredOf(each))
	}
	if err := normalize.UnstructuredList(objects); err != nil {
		return nil, err
	}
	options := ssa.DefaultApplyOptions()
	for _, each := range asked.Ignore {
		options.DriftIgnoreRules = append(options.DriftIgnoreRules, jsondiff.IgnoreRule{Paths: each.Paths, Selector: each.Target})
	}
	manager := ssa.NewResourceManager(cluster, nil, ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"})
	changes, err := manager.ApplyAll(context.Background(), objects, options)
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for _, change := range changes.Entries {
		said[change.Subject] = string(change.Action)
	}
	return said, nil
}
