,
(muster.jobs.v1.JobParams.vm_delete.vm_id