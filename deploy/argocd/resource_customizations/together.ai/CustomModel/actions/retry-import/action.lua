-- Asks for another round of attempts without a change of the spec: any new value does.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["together.ai/retry"] = obj.metadata.resourceVersion
return obj
