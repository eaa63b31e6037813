-- 0 replicas stop the bill; the endpoint keeps its name.
obj.spec.replicas = 0
return obj
