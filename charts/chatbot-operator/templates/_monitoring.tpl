{{/* The groups of files/rules.yaml, without the alerts that are disabled, and with what is overridden. */}}
{{- define "chatbot-operator.ruleGroups" -}}
{{- $values := .Values.monitoring.rules -}}
{{- $base := $values.runbookBaseURL | default "docs/runbooks" -}}
{{- $all := (.Files.Get "files/rules.yaml" | fromYaml).groups -}}
{{- $seen := dict -}}
{{- $groups := list -}}
{{- range $group := $all -}}
  {{- $rules := list -}}
  {{- range $rule := $group.rules -}}
    {{- $name := $rule.alert | default "" -}}
    {{- with get $values.overrides $name -}}
      {{- if and .expr (hasKey $seen $name) -}}
        {{- fail (printf "monitoring.rules.overrides.%s.expr: the alert has several rules, which cannot all have one expression; disable it and add your own by extraObjects" $name) -}}
      {{- end -}}
    {{- end -}}
    {{- $_ := set $seen $name true -}}
    {{- if not (has $name $values.disabled) -}}
      {{- if $name -}}
        {{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s.md" $base $name) -}}
        {{- $rule = mergeOverwrite $rule (get $values.overrides $name | default dict | deepCopy) -}}
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
