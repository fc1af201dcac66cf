J*
&muster.jobs.v1.JobParams.vm_save.vm_id