
muster.jobs.v1.VmTarget.vm_id