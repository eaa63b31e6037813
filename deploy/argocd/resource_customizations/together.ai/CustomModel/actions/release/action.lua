-- Lets an object go that is being deleted, and leaves what it has at Together.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["together.ai/release"] = "true"
return obj
