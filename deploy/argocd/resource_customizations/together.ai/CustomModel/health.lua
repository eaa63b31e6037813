-- Health by the kstatus conditions, which both kinds have: "Progressing" until the operator has seen
-- this generation and the object is Ready, "Degraded" when a person has to do something ("Stalled").
local function condition(kind)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == kind then
      return found
    end
  end
  return {}
end

local function health(status, message)
  return { status = status, message = message or "" }
end

local ready = condition("Ready")
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for the operator")
end
if condition("Stalled").status == "True" then
  return health("Degraded", ready.message)
end
if ready.reason == "Suspended" then
  return health("Suspended", ready.message)
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
return health("Progressing", ready.message)
