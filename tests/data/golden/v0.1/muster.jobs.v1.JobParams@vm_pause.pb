:+
'muster.jobs.v1.JobParams.vm_pause.vm_id