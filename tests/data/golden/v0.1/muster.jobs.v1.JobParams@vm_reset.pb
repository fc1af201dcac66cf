2+
'muster.jobs.v1.JobParams.vm_reset.vm_id