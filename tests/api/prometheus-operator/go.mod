module chatbot.dev/tests/api/prometheus-operator

go 1.26.7

// Nothing is built of it: tests take its definitions of PodMonitor, PrometheusRule and ServiceMonitor.
require github.com/prometheus-operator/prometheus-operator v0.85.0
