"""The ports of a chat pod, fixed for every one."""

HTTP_PORT = 8080
HTTP_PORT_NAME = "http"
ADMIN_PORT = 9090
ADMIN_PORT_NAME = "admin"
