{{- define "together-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "together-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "together-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "together-operator.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "together-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "together-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "together-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "together-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "together-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "together-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "together-operator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "together-operator.apiKeySecret" -}}
{{- if .Values.together.apiKey.existingSecret }}
{{- .Values.together.apiKey.existingSecret }}
{{- else if .Values.together.apiKey.value }}
{{- printf "%s-api-key" (include "together-operator.fullname" .) }}
{{- end }}
{{- end }}

{{- /* A value of `config` as its variable wants it: lists and maps become comma-separated. */}}
{{- define "together-operator.setting" -}}
{{- if kindIs "slice" . }}
{{- join "," . }}
{{- else if kindIs "map" . }}
{{- $pairs := list }}
{{- range $name, $value := . }}
{{- $pairs = append $pairs (printf "%s=%v" $name $value) }}
{{- end }}
{{- join "," $pairs }}
{{- else }}
{{- . | toString }}
{{- end }}
{{- end }}

{{- /* Selects the metrics of this release, by the labels that the Prometheus operator gives a target of
its monitor; without a monitor nobody knows them. */}}
{{- define "together-operator.metricsSelector" -}}
{{- $name := include "together-operator.fullname" . }}
{{- if .Values.metrics.serviceMonitor.enabled -}}
namespace="{{ .Release.Namespace }}",job="{{ $name }}",
{{- else if .Values.metrics.podMonitor.enabled -}}
namespace="{{ .Release.Namespace }}",job="{{ .Release.Namespace }}/{{ $name }}",
{{- end }}
{{- end }}

{{- /* Mistakes that the schema of the values can't see. */}}
{{- define "together-operator.validate" -}}
{{- with .Values }}
{{- if and .together.apiKey.existingSecret .together.apiKey.value }}
{{- fail "together.apiKey.value and together.apiKey.existingSecret are both set: keep one of them" }}
{{- end }}
{{- if and .customCA.configMap .customCA.secret }}
{{- fail "customCA.configMap and customCA.secret are both set: keep one of them" }}
{{- end }}
{{- if and .namespaces .config.orphansSeconds (not .rbac.orphans) }}
{{- fail "config.orphansSeconds: with namespaces, the operator can't compare what objects of the others ask for: set rbac.orphans to true, or leave config.orphansSeconds out" }}
{{- end }}
{{- if and .metrics.serviceMonitor.enabled .metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled, which would count everything twice: keep one of them" }}
{{- end }}
{{- end }}
{{- end }}
