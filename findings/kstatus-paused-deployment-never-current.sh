#!/usr/bin/env bash
# kstatus takes a paused Deployment whose pods are all there, and all of its template, for one in progress, for ever.
#
# Version:   github.com/fluxcd/cli-utils v1.2.2 (kstatus, by which Flux waits for what it has applied).
# Behaviour: a Deployment with spec.paused has a condition Progressing of reason DeploymentPaused (status Unknown), as its
#            controller writes it. All replicas are updated, ready and available, and the generation is observed; kstatus says
#            InProgress all the same, "ReplicaSet not Available", and nothing but a resume ends that. The same object with the
#            condition of a finished rollout is Current.
# Output:    the two lines that this script prints last.
# What to do: whoever waits for a Deployment that is paused on purpose needs a check of its own.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func deployment(paused bool, progressing map[string]any) *unstructured.Unstructured {
	spec := map[string]any{"replicas": int64(2), "progressDeadlineSeconds": int64(600)}
	if paused {
		spec["paused"] = true
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "shop", "namespace": "shop", "generation": int64(3)},
		"spec":     spec,
		"status": map[string]any{
			"observedGeneration": int64(3), "replicas": int64(2), "updatedReplicas": int64(2),
			"readyReplicas": int64(2), "availableReplicas": int64(2),
			"conditions": []any{
				map[string]any{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}, progressing,
			},
		},
	}}
}

func main() {
	said := map[bool]status.Status{}
	for paused, progressing := range map[bool]map[string]any{
		false: {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
		true:  {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"},
	} {
		result, err := status.Compute(deployment(paused, progressing))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		said[paused] = result.Status
		fmt.Printf("paused=%v: %s, %s\n", paused, result.Status, result.Message)
	}
	if said[false] != status.CurrentStatus || said[true] != status.InProgressStatus {
		fmt.Println("it is no longer so")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/fluxcd/cli-utils@v1.2.2 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go list -m github.com/fluxcd/cli-utils
go run .
