
muster.host.v1.VmRef.vm_id