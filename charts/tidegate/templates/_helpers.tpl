{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/component: operator
{{- end }}

{{- define "tidegate.labels" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "tidegate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "tidegate.namespaced" -}}
{{- if eq .Values.scope "namespaced" -}}true{{- end -}}
{{- end }}

{{- define "tidegate.subjects" -}}
- kind: ServiceAccount
  name: tidegate
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* Who lets go of what is held: a list in CEL. */ -}}
{{- define "tidegate.operators" -}}
{{- $own := printf "system:serviceaccount:%s:tidegate" .Release.Namespace -}}
{{- range $index, $account := prepend .Values.admission.guard.operators $own -}}
{{- if $index }}, {{ end }}{{ $account | squote }}
{{- end -}}
{{- end }}

{{- /* What the operator may do in a namespace that it serves: the rules of a ClusterRole, or of a Role in each. */ -}}
{{- define "tidegate.rules" -}}
# patch: finalizers, and nothing else of what the author wrote.
- apiGroups: [tidegate.dev]
  resources: [releases]
  verbs: [list, watch, patch]
- apiGroups: [tidegate.dev]
  resources: [releases/status]
  verbs: [patch]
- apiGroups: [tidegate.dev]
  resources: [rolloutpolicies]
  verbs: [list, watch]
# What people have decided; patch: what became of it.
- apiGroups: [tidegate.dev]
  resources: [releasedecisions]
  verbs: [list, watch]
- apiGroups: [tidegate.dev]
  resources: [releasedecisions/status]
  verbs: [patch]
# How rollouts went, written once; keep is what the admission policy asks for. get: whether one is there already; delete: what is
# older than recordsKept.
- apiGroups: [tidegate.dev]
  resources: [releaserecords]
  verbs: [get, list, create, delete, keep]
# Whether those who have decided may still do so, when their decision is to count.
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, patch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list, watch, create, patch, delete]
# Checks: a Job of a CronJob that lets Tidegate run it, made where a policy has such a check; stopped where nobody waits for it.
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create, delete]
# Read only: how much the pods use of what they are for.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# The owner of a new version's ReplicaSet until the Deployment adopts it: see docs/adr.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# To say in words why pods of a new version do not become ready.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, patch]
# To know whether what is bound to a Service by its name follows to the two Services of a rollout.
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies, backendlbpolicies]
  verbs: [list]
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xbackendtrafficpolicies]
  verbs: [list]
- apiGroups: [networking.istio.io]
  resources: [destinationrules]
  verbs: [list]
- apiGroups: [security.istio.io]
  resources: [authorizationpolicies, requestauthentications]
  verbs: [list]
- apiGroups: [linkerd.io]
  resources: [serviceprofiles]
  verbs: [list]
- apiGroups: [networking.gke.io]
  resources: [gcpbackendpolicies, gcpsessionaffinitypolicies, healthcheckpolicies]
  verbs: [list]
- apiGroups: [gateway.k8s.aws]
  resources: [targetgroupconfigurations]
  verbs: [list]
- apiGroups: [application-networking.k8s.aws]
  resources: [targetgrouppolicies]
  verbs: [list]
- apiGroups: [alb.networking.azure.io]
  resources: [backendloadbalancingpolicies, backendtlspolicies, healthcheckpolicies]
  verbs: [list]
- apiGroups: [gateway.nginx.org]
  resources: [upstreamsettingspolicies]
  verbs: [list]
- apiGroups: [gateway.kgateway.dev]
  resources: [backendconfigpolicies]
  verbs: [list]
- apiGroups: [apisix.apache.org]
  resources: [backendtrafficpolicies]
  verbs: [list]
{{- end }}

{{- define "tidegate.rules.flags" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, patch]
- apiGroups: [core.openfeature.dev]
  resources: [featureflags]
  verbs: [get, patch]
{{- end }}

{{- define "tidegate.rules.view" -}}
- apiGroups: [tidegate.dev]
  resources: [releases, releases/status, releasedecisions, releaserecords, rolloutpolicies{{ if not (include "tidegate.namespaced" .) }}, clusterrolloutpolicies, releasefreezes{{ end }}]
  verbs: [get, list, watch]
{{- end }}

{{- /* Of a list of releases and policies. */ -}}
{{- define "tidegate.rules.edit" -}}
- apiGroups: [tidegate.dev]
  resources: [{{ join ", " . | replace "policies" "rolloutpolicies" }}]
  verbs: [create, update, patch, delete, deletecollection]
{{- end }}

{{- define "tidegate.rules.override" -}}
- apiGroups: [tidegate.dev]
  resources: [releases]
  verbs: [override]
{{- end }}

{{- define "tidegate.rules.releaser" -}}
- apiGroups: [tidegate.dev]
  resources: [releasedecisions]
  verbs: [create]
- apiGroups: [tidegate.dev]
  resources: [releases]
  verbs: [promote, rollback, pause, resume, retry, switch]
{{- end }}

{{- define "tidegate.rules.approver" -}}
- apiGroups: [tidegate.dev]
  resources: [releases, releasedecisions]
  verbs: [get, list, watch]
- apiGroups: [tidegate.dev]
  resources: [releasedecisions]
  verbs: [create]
- apiGroups: [tidegate.dev]
  resources: [releases]
  verbs: [reject]
{{- end }}

{{- define "tidegate.rules.admin" -}}
- apiGroups: [tidegate.dev]
  resources: [releases, rolloutpolicies]
  verbs: [get, list, watch, create, update, patch, delete, deletecollection]
- apiGroups: [tidegate.dev]
  resources: [releasedecisions]
  verbs: [get, list, watch, create, delete, deletecollection, keep]
- apiGroups: [tidegate.dev]
  resources: [releases]
  verbs: [promote, rollback, pause, resume, retry, switch]
{{- end }}

{{- define "tidegate.rules.record-keeper" -}}
- apiGroups: [tidegate.dev]
  resources: [releaserecords]
  verbs: [get, list, watch, delete, deletecollection, keep]
{{- end }}

{{- define "tidegate.config" -}}
{{- toYaml .Values.config }}
{{- if include "tidegate.namespaced" . }}
clusterPolicies: false
{{- end }}
{{- with .Values.clusters }}
clusters:
  {{- range $name, $cluster := . }}
  {{ $name }}:
    kubeconfig: /etc/tidegate-clusters/{{ $name }}/kubeconfig
    allow:
      {{- toYaml $cluster.allow | nindent 6 }}
  {{- end }}
{{- end }}
{{- with .Values.watchNamespaces }}
watchNamespaces:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if ne (toYaml .Values.leaderElection) "enabled: true" }}
leaderElection:
  {{- toYaml .Values.leaderElection | nindent 2 }}
{{- end }}
{{- if gt (int .Values.shards) 1 }}
shards: {{ .Values.shards }}
{{- end }}
{{- end }}
