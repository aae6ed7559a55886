{{/* Fails where a value would take the place of what the chart itself sets, or says nothing at all. */}}
{{- define "chatbot-operator.checks" -}}
{{- $own := include "chatbot-operator.labels" (dict "Chart" .Chart "Release" .Release "Values" dict) | fromYaml -}}
{{- $given := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels -}}
{{- range $part := list "serviceMonitor" "rules" "dashboards" -}}
{{- $_ := set $given (printf "monitoring.%s.labels" $part) (get $.Values.monitoring $part).labels -}}
{{- end -}}
{{- range $value, $labels := $given -}}
{{- range $label, $_ := $labels -}}
{{- if hasKey $own $label -}}
{{- fail (printf "%s must not set %s: the chart sets it itself, and others select by it" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $instead := dict
  "OPERATOR_SERVICE_IMAGE" "serviceImage" "OPERATOR_LOG_LEVEL" "logLevel" "OPERATOR_WATCH_NAMESPACES" "watchNamespaces"
  "OPERATOR_LEASE_NAME" "fullnameOverride" "OPERATOR_NAMESPACE" "the release's namespace" "OPERATOR_POD_NAME" "the pod's name"
  "OPERATOR_HTTP_HOST" "the address that the probes ask" "OPERATOR_HTTP_PORT" "the port that the probes and the policy know"
  "OPERATOR_LEADER_ELECTION" "the chart: of several replicas one may work"
-}}
{{- range .Values.extraEnv -}}
{{- if hasKey $instead .name -}}
{{- fail (printf "extraEnv must not set %s, which comes from %s" .name (get $instead .name)) -}}
{{- end -}}
{{- end -}}
{{- $name := include "chatbot-operator.fullname" . -}}
{{- if and .Values.monitoring.serviceMonitor.enabled (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) -}}
{{- fail (printf "monitoring.serviceMonitor needs a Service, whose name is lower-case letters, digits and hyphens and begins with a letter: %s is not, set fullnameOverride" $name) -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) -}}
{{- fail "podDisruptionBudget needs maxUnavailable or minAvailable; podDisruptionBudget.enabled=false leaves it out" -}}
{{- end -}}
{{- end -}}
{{- end -}}
