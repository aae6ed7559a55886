{{/* The name of everything in the release; the release's name when that already says what it is. */}}
{{- define "chatbot-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Never changes between versions, nor with an alias: a selector is immutable, and the chat pods' policies know the operator by its name. */}}
{{- define "chatbot-operator.selectorLabels" -}}
app.kubernetes.io/name: chatbot-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* As it can stand in a label and in a tag, which have no plus. */}}
{{- define "chatbot-operator.version" -}}
{{- .Chart.AppVersion | replace "+" "_" -}}
{{- end -}}

{{- define "chatbot-operator.labels" -}}
{{ include "chatbot-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ include "chatbot-operator.version" . | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels of an object and its annotations, if there are any. */}}
{{- define "chatbot-operator.marks" -}}
{{- include "chatbot-operator.furtherMarks" (list . dict dict) -}}
{{- end -}}

{{/* The labels and annotations of an object with further ones: (list $ labels annotations). */}}
{{- define "chatbot-operator.furtherMarks" -}}
{{- $root := index . 0 -}}
labels:
  {{- mergeOverwrite (include "chatbot-operator.labels" $root | fromYaml) (index . 1 | default dict) | toYaml | nindent 2 }}
{{- with mergeOverwrite (deepCopy ($root.Values.commonAnnotations | default dict)) (index . 2 | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "chatbot-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "chatbot-operator.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* An image by digest, else by tag, else by the chart's appVersion: (list $ .Values.image). */}}
{{- define "chatbot-operator.image" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default (include "chatbot-operator.version" $root) }}
{{- end -}}
{{- end -}}
{{- end -}}
