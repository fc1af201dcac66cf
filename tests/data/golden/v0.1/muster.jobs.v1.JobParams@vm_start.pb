+
'muster.jobs.v1.JobParams.vm_start.vm_id