
muster.jobs.v1.VmUpdate.vm_idmuster.jobs.v1.VmUpdate.owner#muster.jobs.v1.VmUpdate.description"T
'muster.jobs.v1.VmUpdate.set_tags[0].key)muster.jobs.v1.VmUpdate.set_tags[0].value"T
'muster.jobs.v1.VmUpdate.set_tags[1].key)muster.jobs.v1.VmUpdate.set_tags[1].value*&muster.jobs.v1.VmUpdate.remove_tags[0]*&muster.jobs.v1.VmUpdate.remove_tags[1]