{{/* The name of the resource and of all that is made of it: the release's. */}}
{{- define "chatbot.name" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$" $name) -}}
{{- fail (printf "%s cannot be the name of a chat service, which has at most 50 lower-case letters, digits and hyphens and begins with a letter: set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* As it can stand in a label and in a tag, which have no plus. */}}
{{- define "chatbot.version" -}}
{{- .Chart.AppVersion | replace "+" "_" -}}
{{- end -}}

{{- define "chatbot.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ include "chatbot.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Fails where a common label would take the place of one that the chart itself sets. */}}
{{- define "chatbot.refuseLabels" -}}
{{- $own := include "chatbot.labels" (dict "Chart" .Chart "Release" .Release "Values" dict) | fromYaml -}}
{{- range $label, $_ := .Values.commonLabels -}}
{{- if hasKey $own $label -}}
{{- fail (printf "commonLabels must not set %s: the chart sets it itself, and others select by it" $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The resource's spec: the values without those that are the chart's own. What nobody set is not there, replicas least of all:
rendered, an upgrade would take back what kubectl scale or an autoscaler has decided. A null is as good as not set, a 0 is not. */}}
{{- define "chatbot.spec" -}}
{{- $spec := dict -}}
{{- range $name, $value := omit .Values "global" "enabled" "fullnameOverride" "commonLabels" "commonAnnotations" "test" -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $spec $name $value }}{{ end -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* Fails where a value is an API key, or named like one. */}}
{{- define "chatbot.refuseKeys" -}}
{{- $credentials := .Values.credentials | default dict -}}
{{- $found := list -}}
{{- range $name, $_ := .Values }}{{ if include "chatbot.isKey" $name }}{{ $found = append $found $name }}{{ end }}{{ end -}}
{{- range $name, $_ := .Values.global -}}
{{- if and (regexMatch "^(?i)(anthropic|claude)" $name) (include "chatbot.isKey" $name) }}{{ $found = append $found (printf "global.%s" $name) }}{{ end -}}
{{- end -}}
{{- range $name, $_ := $credentials }}{{ if include "chatbot.isKey" $name }}{{ $found = append $found (printf "credentials.%s" $name) }}{{ end }}{{ end -}}
{{- range .Values.env }}{{ if include "chatbot.isKey" .name }}{{ $found = append $found (printf "env %s" .name) }}{{ end }}{{ end -}}
{{- if contains "sk-ant-" (toJson .Values) }}
{{- $found = append $found "what begins with sk-ant-" }}
{{- $credentials = dict }}
{{- end -}}
{{- with $found -}}
{{- $reference := $credentials.secretRef | default dict -}}
{{- $secret := $reference.name | default "chatbot-secrets" -}}
{{- $key := $reference.key | default "anthropic-api-key" -}}
{{- fail (printf `an API key must not be among the values (%s): they stay in the shell's history and in the release. Put it into a Secret, which the pods read, and leave it out here:

  kubectl create secret generic %s --namespace=%s --from-file=%s=/dev/stdin   # paste the key, Enter, Ctrl-D

credentials.secretRef.name is %s, credentials.secretRef.key is %s` (join ", " .) $secret $.Release.Namespace $key $secret $key) -}}
{{- end -}}
{{- end -}}

{{- define "chatbot.isKey" -}}
{{- if regexMatch "^(?i)(anthropic|claude)?[-_]?(api)?[-_]?key$" . }}yes{{ end -}}
{{- end -}}

{{/* The Secret and its key that hold the tokens which clients show. */}}
{{- define "chatbot.clientTokens" -}}
{{- $reference := (.Values.clientAuth | default dict).secretRef | default dict -}}
name: {{ $reference.name | default (printf "%s-client-token" (include "chatbot.name" .)) | quote }}
key: {{ $reference.key | default "tokens" | quote }}
{{- end -}}
