select 1;
{{ template "shared/v1.sql" . }}
