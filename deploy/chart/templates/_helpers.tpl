{{- define "directus.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "directus.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "directus.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "directus.selector" . }}
{{- end }}

{{- define "directus.image" -}}
{{- $repository := required "image.repository is required: the name of the image without a tag" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- if eq .Values.image.tag "latest" }}{{ fail "image.tag is latest: give a commit, because a node does not pull a tag again that it has" }}{{ end -}}
{{- printf "%s:%s" $repository (required "image.tag is required: the commit of the image, or set image.digest" .Values.image.tag) -}}
{{- end -}}
{{- end }}

{{/* The variables of this deployment, as JSON: those of the description that its values switch on. */}}
{{- define "directus.settings" -}}
{{- $image := .Files.Get "files/image.yaml" | fromYaml -}}
{{- $settings := $image.settings -}}
{{- if .Values.redis.enabled -}}{{- $settings = concat $settings $image.replicas -}}{{- end -}}
{{- if eq .Values.uploads.kind "bucket" -}}{{- $settings = concat $settings $image.bucket -}}{{- end -}}
{{- $settings = concat $settings $image.drain -}}
{{- $kept := list -}}
{{- range $settings -}}
{{- if not (and .secret (has .name $.Values.secrets.without)) -}}{{- $kept = append $kept . -}}{{- end -}}
{{- end -}}
{{- toJson $kept -}}
{{- end }}

{{/* The value of a plain variable: `(list . "DB_PORT")`. */}}
{{- define "directus.value" -}}
{{- $root := first . -}}
{{- $name := last . -}}
{{- range include "directus.settings" $root | fromJsonArray -}}
{{- if eq .name $name -}}{{- get $root.Values.env $name | default .default -}}{{- end -}}
{{- end -}}
{{- end }}

{{- define "directus.secret" -}}
{{- if .Values.secrets.external.enabled -}}
{{- include "directus.name" . -}}
{{- else -}}
{{- .Values.secrets.existing -}}
{{- end -}}
{{- end }}

{{- define "directus.env" -}}
{{- $names := list -}}
{{- range include "directus.settings" . | fromJsonArray }}
{{- $names = append $names .name }}
{{- if .secret }}
{{- if hasKey $.Values.env .name }}
{{- fail (printf "env.%s would be readable in the Deployment: give it by a Secret (secrets.existing or secrets.from)" .name) }}
{{- end }}
- name: {{ .name }}_FILE
  value: /run/secrets/directus/{{ .name }}
{{- else }}
{{- $value := get $.Values.env .name | default .default }}
{{- if hasKey . "default" | not }}
{{- $value = required (printf "env.%s is required" .name) $value }}
{{- end }}
{{- if $value }}
- name: {{ .name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.env }}
{{- if eq $name "PORT" }}
{{- fail "env.PORT would be another port than that of the Service: omit it" }}
{{- end }}
{{- if not (has $name $names) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A container of restricted pod security. */}}
{{- define "directus.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "directus.podSecurity" -}}
{{- $image := .Files.Get "files/image.yaml" | fromYaml -}}
runAsNonRoot: true
{{- if not .Values.arbitraryUser }}
runAsUser: {{ $image.user }}
runAsGroup: {{ $image.group }}
# The group of the volumes, so that they can be written to.
fsGroup: {{ $image.group }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "directus.probe" -}}
exec:
  command: {{ toJson .command }}
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end }}
