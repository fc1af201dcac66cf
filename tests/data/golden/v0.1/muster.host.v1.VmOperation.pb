
'muster.host.v1.VmOperation.operation_id muster.host.v1.VmOperation.vm_id