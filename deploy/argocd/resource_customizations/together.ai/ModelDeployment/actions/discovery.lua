local deleting = obj.metadata.deletionTimestamp ~= nil
local suspended = obj.spec.suspend == true
local stopped = obj.spec.replicas == 0

return {
  ["suspend"] = { ["disabled"] = suspended or deleting },
  ["resume"] = { ["disabled"] = not suspended or deleting },
  ["stop"] = { ["disabled"] = stopped or deleting },
  ["start"] = { ["disabled"] = not stopped or deleting },
  ["release"] = { ["disabled"] = not deleting },
}
