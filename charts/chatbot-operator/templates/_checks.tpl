{{/* Fails where a value would take the place of what the chart itself sets, or says nothing at all. */}}
{{- define "chatbot-operator.checks" -}}
{{- $own := include "chatbot-operator.labels" (dict "Chart" .Chart "Release" .Release "Values" dict) | fromYaml -}}
{{- range $value := list "commonLabels" "podLabels" -}}
{{- range $label, $_ := get $.Values $value -}}
{{- if hasKey $own $label -}}
{{- fail (printf "%s must not set %s: the chart sets it itself, and others select the operator's pods by it" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $instead := dict
  "OPERATOR_SERVICE_IMAGE" "serviceImage" "OPERATOR_LOG_LEVEL" "logLevel" "OPERATOR_WATCH_NAMESPACES" "watchNamespaces"
  "OPERATOR_LEASE_NAME" "fullnameOverride" "OPERATOR_NAMESPACE" "the release's namespace" "OPERATOR_POD_NAME" "the pod's name"
-}}
{{- range .Values.extraEnv -}}
{{- if hasKey $instead .name -}}
{{- fail (printf "extraEnv must not set %s, which comes from %s" .name (get $instead .name)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) -}}
{{- fail "podDisruptionBudget needs maxUnavailable or minAvailable; podDisruptionBudget.enabled=false leaves it out" -}}
{{- end -}}
{{- end -}}
{{- end -}}
