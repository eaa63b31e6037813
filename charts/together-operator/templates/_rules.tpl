{{- /*
Everything that the operator does in a cluster, and nothing more: tests/e2e and tests/integration
compare these rules with the API server's audit log, in both directions.
deploy/clusterrole.yaml is generated from this file by `make chart`.
*/}}

{{- define "together-operator.rules.objects" -}}
# Our objects: watched; patched only for the finalizer; spec is never written.
- apiGroups: [together.ai]
  resources: [custommodels, modeldeployments]
  verbs: [get, list, watch, patch]
- apiGroups: [together.ai]
  resources: [custommodels/status, modeldeployments/status]
  verbs: [update]
# spec.ttl with action Delete.
- apiGroups: [together.ai]
  resources: [modeldeployments]
  verbs: [delete]
# Archive Jobs and their progress.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# The ConfigMaps of spec.connection: by name, never listed.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, update, delete]
# Secrets that objects refer to: by name, never listed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "together-operator.rules.cluster" -}}
# The cluster's identity: the UID of kube-system.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}

{{- define "together-operator.rules.discovery" -}}
# CRDs that are installed or changed while the operator runs.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- end }}

{{- define "together-operator.rules.orphans" -}}
# What objects of all namespaces ask for, before something at Together is said to belong to none.
- apiGroups: [together.ai]
  resources: [custommodels, modeldeployments]
  verbs: [list]
{{- end }}

{{- define "together-operator.rules.lease" -}}
# One operator acts at a time. A name can't be said for create: the object isn't there yet.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ . }}]
  verbs: [get, update]
{{- end }}
