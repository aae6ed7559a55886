-- What Argo CD makes of a ChatbotDeployment. Without it Argo CD calls one Healthy as soon as it exists.
--
-- Argo CD reads it from its ConfigMap argocd-cm. This adds it and leaves the rest of that ConfigMap alone:
--
--   kubectl create configmap argocd-cm --namespace argocd --dry-run=client --output=yaml \
--     --from-file=resource.customizations.health.chatbot.dev_ChatbotDeployment=deploy/argocd/health.lua \
--     | kubectl apply --server-side --field-manager=chatbot-health --filename=-
--
-- The status is in kstatus format: Reconciling and Stalled are there only while true, and Ready always.
local hs = { status = "Progressing", message = "Waiting for the operator to look at it." }

local conditions = {}
local status = obj.status or {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is_true(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

-- What was said of an earlier generation is no answer to this one.
if status.observedGeneration == obj.metadata.generation then
  local ready = conditions["Ready"]
  if is_true("Stalled") then
    hs.status = "Degraded"
  elseif is_true("Ready") and not is_true("Reconciling") then
    hs.status = "Healthy"
  end
  if ready ~= nil then
    hs.message = ready.message
  end
end

-- Nobody is at work on it. At replicas: 0, however, it is Healthy like any Deployment: a sync would wait for what is Suspended.
local annotations = obj.metadata.annotations or {}
if hs.status == "Progressing" and annotations["chatbot.dev/reconcile"] == "disabled" then
  hs.status = "Suspended"
  hs.message = "Not looked at: remove the annotation chatbot.dev/reconcile."
end

return hs
