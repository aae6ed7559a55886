{{/* The text of files/rules.yaml with the objectives of the values in place of its own, and with this release as the operator that must be there. */}}
{{- define "chatbot-operator.rulesFile" -}}
{{- $objectives := .Values.monitoring.rules.objectives -}}
{{- $seconds := float64 $objectives.latencySeconds -}}
{{- $errors := float64 $objectives.errorPercent -}}
{{- $availability := float64 $objectives.availabilityPercent -}}
{{- $errorBudget := round (divf $errors 100) 8 -}}
{{- $availabilityBudget := round (divf (subf 100 $availability) 100) 8 -}}
{{- $text := .Files.Get "files/rules.yaml" -}}
{{- $text = $text | replace "le=\"3.0\"" (printf "le=\"%.1f\"" $seconds) -}}
{{- $text = $text | replace "p95 < 3 s" (printf "p95 < %v s" $seconds) | replace "more than 3 s over" (printf "more than %v s over" $seconds) -}}
{{- $text = $text | replace "errors < 1 %" (printf "errors < %v %%" $errors) -}}
{{- $text = $text | replace "availability > 99.9 %" (printf "availability > %v %%" $availability) -}}
{{- $text = regexReplaceAll "(requests_failed:ratio_rate[0-9a-z]+ > [0-9.]+ [*]) 0[.]01" $text (printf "${1} %v" $errorBudget) -}}
{{- $text = regexReplaceAll "(requests_unserved:ratio_rate[0-9a-z]+ > [0-9.]+ [*]) 0[.]001" $text (printf "${1} %v" $availabilityBudget) -}}
{{- $running := "absent(controller_runtime_max_concurrent_reconciles{controller=\"chatbotdeployment\"" -}}
{{- $text | replace $running (printf "%s, namespace=%q" $running .Release.Namespace) -}}
{{- end -}}

{{/* The groups of that, without the alerts that are disabled, and with what is overridden. */}}
{{- define "chatbot-operator.ruleGroups" -}}
{{- $values := .Values.monitoring.rules -}}
{{- $base := $values.runbookBaseURL | default "docs/runbooks" -}}
{{- $all := (include "chatbot-operator.rulesFile" . | fromYaml).groups -}}
{{- $overrides := $values.overrides | default dict -}}
{{- $seen := dict -}}
{{- $groups := list -}}
{{- range $group := $all -}}
  {{- $rules := list -}}
  {{- range $rule := $group.rules -}}
    {{- $name := $rule.alert | default "" -}}
    {{- with get $overrides $name -}}
      {{- if and .expr (hasKey $seen $name) -}}
        {{- fail (printf "monitoring.rules.overrides.%s.expr: the alert has several rules, which cannot all have one expression; disable it and add your own by extraObjects, its braces opened by %s" $name `{{ "{{" }}`) -}}
      {{- end -}}
    {{- end -}}
    {{- $_ := set $seen $name true -}}
    {{- if not (has $name $values.disabled) -}}
      {{- if $name -}}
        {{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s.md" $base $name) -}}
        {{- $rule = mergeOverwrite $rule (get $overrides $name | default dict | deepCopy) -}}
      {{- end -}}
      {{- $rules = append $rules $rule -}}
    {{- end -}}
  {{- end -}}
  {{- if $rules -}}
    {{- $groups = append $groups (dict "name" $group.name "rules" $rules) -}}
  {{- end -}}
{{- end -}}
{{ toYaml (dict "groups" $groups) }}
{{- end -}}
