{{- define "ostiary.name" -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains "ostiary" .Release.Name -}}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name (default "ostiary" .Values.nameOverride) | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "ostiary.selector" -}}
app.kubernetes.io/name: ostiary
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ostiary.labels" -}}
{{ include "ostiary.selector" . }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
