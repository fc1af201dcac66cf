".
*muster.jobs.v1.JobParams.vm_shutdown.vm_id