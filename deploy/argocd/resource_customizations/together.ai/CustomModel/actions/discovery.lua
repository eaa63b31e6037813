local function condition(kind)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == kind then
      return found
    end
  end
  return {}
end

local deleting = obj.metadata.deletionTimestamp ~= nil
local suspended = obj.spec.suspend == true
local stalled = condition("Stalled").status == "True"

return {
  ["suspend"] = { ["disabled"] = suspended or deleting },
  ["resume"] = { ["disabled"] = not suspended or deleting },
  ["retry-import"] = { ["disabled"] = not stalled or deleting },
  ["release"] = { ["disabled"] = not deleting },
}
