#!/usr/bin/env bash
# fluxcd/pkg/ssa takes `paused: false` out of a Deployment before it applies it, so that Git cannot say it.
#
# Version:   github.com/fluxcd/pkg/ssa v0.76.1 (what Flux' kustomize-controller applies with).
# Behaviour: normalize.UnstructuredList, through which each manifest goes, makes a typed Deployment of it and back. Fields with
#            their zero value are not there any more: `spec.paused: false` is dropped, without a word. `spec.replicas: 0`, a pointer in
#            the type, stays. A server-side apply without the field does not own it, so that a Deployment which somebody has
#            paused stays paused, whatever Git says.
# Output:    the two lines that this script prints last.
# What to do: resume by hand (kubectl rollout resume), or by whatever owns the field.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/fluxcd/pkg/ssa/normalize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	labels := map[string]any{"app": "shop"}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "shop", "namespace": "shop"},
		"spec": map[string]any{
			"paused": false, "replicas": int64(0),
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "shop:1"}}},
			},
		},
	}}
	if err := normalize.UnstructuredList([]*unstructured.Unstructured{object}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	spec := object.Object["spec"].(map[string]any)
	_, paused := spec["paused"]
	replicas, counted := spec["replicas"]
	fmt.Printf("spec.paused: false    is applied: %v\n", paused)
	fmt.Printf("spec.replicas: 0      is applied: %v (%v)\n", counted, replicas)
	if paused || !counted {
		fmt.Println("it is no longer so")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/fluxcd/pkg/ssa@v0.76.1 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go list -m github.com/fluxcd/pkg/ssa
go run .
